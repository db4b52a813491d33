"""The behaviours on FastAPI with the exporter as one of its middlewares, as `fastapi run` needs it."""

from fastapi import FastAPI

from real.exporter.oracle.apps.parts import monitor
from real.exporter.oracle.apps.starlette_handlers import HANDLERS

app = FastAPI()
for each in HANDLERS:
    app.api_route(f"/{each.__name__.strip('_')}", methods=["GET", "HEAD", "POST"], response_model=None)(each)
app.add_middleware(monitor().instrument_asgi)
