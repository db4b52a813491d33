"""The behaviours of WebSockets as a plain ASGI application."""

import anyio

from real.exporter.oracle.apps.failures import HANDLERS as FAILURES
from real.exporter.oracle.apps.protocol import served


async def read(receive):
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def only_sends(receive, send):
    while True:
        await send({"type": "websocket.send", "text": "x" * 1000})
        await anyio.sleep(0.01)


async def in_group(receive, send):
    async with anyio.create_task_group() as group:
        group.start_soon(read, receive)


async def closes(send, code):
    await send({"type": "websocket.close", "code": code})


HANDLERS = FAILURES | {
    "talks": lambda receive, _send: read(receive),
    "page": lambda receive, _send: read(receive),
    "lost": lambda receive, _send: read(receive),
    "only_sends": only_sends,
    "in_group": in_group,
    "closes": lambda _receive, send: closes(send, 1000),
    "closes_1011": lambda _receive, send: closes(send, 1011),
}


async def handle(scope, receive, send):
    """Serve the connection."""
    await receive()
    name = scope["path"].rpartition("/")[2]
    if name == "refuses":
        await closes(send, 1008)
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    await HANDLERS[name](receive, send)


app = served(handle)
