"""The behaviours of WebSockets on Starlette."""

import anyio
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from real.exporter.oracle.apps.failures import HANDLERS as FAILURES
from real.exporter.oracle.apps.parts import monitor


async def read(socket):
    while True:
        await socket.receive_text()


async def only_sends(socket):
    while True:
        await socket.send_text("x" * 1000)
        await anyio.sleep(0.01)


async def in_group(socket):
    async with anyio.create_task_group() as group:
        group.start_soon(read, socket)


HANDLERS = FAILURES | {
    "talks": read,
    "page": read,
    "lost": read,
    "only_sends": only_sends,
    "in_group": in_group,
    "closes": lambda socket: socket.close(1000),
    "closes_1011": lambda socket: socket.close(1011),
}


async def serve(socket):
    if socket.path_params["name"] == "refuses":
        await socket.close(1008)
        return
    await socket.accept()
    await socket.send_text("hello")
    await HANDLERS[socket.path_params["name"]](socket)


app = monitor().instrument_asgi(Starlette(routes=[WebSocketRoute("/ws/{name}", serve)]))
