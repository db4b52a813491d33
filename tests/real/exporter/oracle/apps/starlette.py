"""The behaviours on Starlette."""

from starlette.applications import Starlette
from starlette.routing import Route

from real.exporter.oracle.apps.parts import monitor
from real.exporter.oracle.apps.starlette_handlers import HANDLERS

ROUTES = [Route(f"/{each.__name__.strip('_')}", each, methods=["GET", "POST"]) for each in HANDLERS]
app = monitor().instrument_asgi(Starlette(routes=ROUTES))
