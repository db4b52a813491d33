"""The behaviours on Starlette behind BaseHTTPMiddleware, which runs the application in a task of its own."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from real.exporter.oracle.apps.parts import monitor
from real.exporter.oracle.apps.starlette import ROUTES


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


app = monitor().instrument_asgi(Starlette(routes=ROUTES, middleware=[Middleware(Passing)] * 2))
