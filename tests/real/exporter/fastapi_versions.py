"""A FastAPI application with all that has a route, asked in process: prints what was counted, as JSON.

Run by test_fastapi_versions in environments of several versions; needs FastAPI and the exporter only.
"""

import asyncio
import json
import sys

import fastapi
import starlette
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from rearguard_exporter import Monitor


def application():
    app, items, nested, mounted = FastAPI(), APIRouter(), APIRouter(prefix="/nested"), FastAPI()

    async def ok():
        return "ok"

    async def crash():
        raise LookupError

    async def plain(_):
        return PlainTextResponse("ok")

    @app.get("/plain")
    def threaded():
        return "ok"

    @app.websocket("/ws/{room}")
    async def talk(socket: WebSocket):
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    items.get("/items/{item_id}")(ok)
    items.get("/crash")(crash)
    nested.get("/deep/{name}")(ok)
    items.include_router(nested)
    mounted.get("/inside/{thing}")(ok)
    app.include_router(items, prefix="/api")
    app.mount("/sub", mounted)
    app.mount("/files", PlainTextResponse("a file"))
    app.mount("/starlette", Starlette(routes=[Route("/page", plain), Mount("/more", routes=[Route("/{x}", plain)])]))
    return app


ASKED = (
    "/plain", "/plain", "/api/items/1", "/api/items/2", "/api/nested/deep/x", "/api/crash", "/sub/inside/7",
    "/files/a/b.css", "/starlette/page", "/starlette/more/1", "/nowhere", "/api/nowhere", "/sub/nowhere", "/docs",
    "/openapi.json",
)  # fmt: skip


async def ask(app, kind, path):
    messages = iter([{"type": "websocket.connect"}])

    async def receive():
        if kind == "http":
            return {"type": "http.request", "body": b"", "more_body": False}
        return next(messages, {"type": "websocket.disconnect", "code": 1000})

    async def send(_):
        pass

    scope = {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 80),
        "subprotocols": [],
    }  # fmt: skip
    try:
        await app(scope, receive, send)
    except LookupError:
        return


async def main():
    monitor = Monitor("shop", "1.0", "test")
    app = monitor.instrument_asgi(application())
    for path in ASKED:
        await ask(app, "http", path)
    await ask(app, "websocket", "/ws/blue")
    http, sockets = monitor._instruments.http_duration, monitor._instruments.socket_connections
    counted = {
        f"{route} {status} {error}".strip(): int(sum(child.counts()[:-1]))
        for (_, route, status, error), child in http.known().items()
    }
    opened = {route: int(child.counts()[0]) for (route,), child in sockets.known().items()}
    await monitor._lifecycle.leave()
    versions = {"fastapi": fastapi.__version__, "starlette": starlette.__version__}
    sys.stdout.write(json.dumps({"versions": versions, "http": counted, "sockets": opened}))


if __name__ == "__main__":
    asyncio.run(main())
