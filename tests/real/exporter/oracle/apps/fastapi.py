"""The behaviours on FastAPI."""

from fastapi import FastAPI

from real.exporter.oracle.apps.parts import monitor
from real.exporter.oracle.apps.starlette_handlers import HANDLERS

bare = FastAPI()
for each in HANDLERS:
    bare.api_route(f"/{each.__name__.strip('_')}", methods=["GET", "HEAD", "POST"], response_model=None)(each)
app = monitor().instrument_asgi(bare)
