"""The behaviours as a plain ASGI application."""

import anyio

from real.exporter.oracle.apps.failures import HANDLERS as FAILURES
from real.exporter.oracle.apps.failures import cancels
from real.exporter.oracle.apps.parts import FILE, LARGE, PIECE, SHORT, begins, pieces, short_pieces
from real.exporter.oracle.apps.protocol import served


class CallerLeftError(Exception):
    """The rest of the body never comes."""


async def answer(send, status=200, body=b"ok", headers=(), more=False):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def read(receive):
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeftError
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def stream(send, body, headers=()):
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    async for piece in body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def waits(_, receive, send):
    """As the specification allows: nothing is answered to a caller who left."""
    begins("waits")
    while (await receive())["type"] != "http.disconnect":
        pass


async def upload(_, receive, send):
    begins("upload")
    await answer(send, body=b"%d" % await read(receive))


async def upload_in_group(_, receive, send):
    begins("upload_in_group")
    async with anyio.create_task_group() as group:
        group.start_soon(read, receive)
    await answer(send)


async def ends_short(_, receive, send):
    await stream(send, short_pieces(), [(b"content-length", b"%d" % SHORT)])


async def short_at_once(_, _receive, send):
    await answer(send, body=PIECE, headers=[(b"content-length", b"%d" % SHORT)])


async def upload_chunked(_, receive, send):
    begins("upload_chunked")
    await answer(send, body=b"%d" % await read(receive))


async def preparing(_, receive, send):
    await answer(send, headers=[(b"x", None)])


async def raises_streaming(_, receive, send):
    await stream(send, pieces("raises_streaming", LookupError("oracle")))


async def cancels_streaming(_, receive, send):
    await answer(send, more=True)
    await cancels()


async def os_error_streaming(_, receive, send):
    await stream(send, pieces("os_error_streaming", ConnectionResetError("oracle")))


async def after_answer(_, _receive, send):
    await answer(send)
    await FAILURES["raises"]()


async def second_head(_, _receive, send):
    await answer(send, more=True)
    await answer(send, 404)


async def expects(_, receive, send):
    await answer(send, body=b"%d" % await read(receive))


HANDLERS = FAILURES | {
    "quick": lambda _scope, _receive, send: answer(send),
    "done": lambda _scope, _receive, send: answer(send),
    "head": lambda _scope, _receive, send: answer(send, headers=[(b"content-length", b"2")], body=b""),
    "missing": lambda _scope, _receive, send: answer(send, 404),
    "waits": waits,
    "streams": lambda _scope, _receive, send: stream(send, pieces("streams")),
    "large": lambda _scope, _receive, send: answer(send, body=LARGE),
    "upload": upload,
    "upload_in_group": upload_in_group,
    "ends_short": ends_short,
    "short_at_once": short_at_once,
    "upload_chunked": upload_chunked,
    "preparing": preparing,
    "raises_streaming": raises_streaming,
    "cancels_streaming": cancels_streaming,
    "os_error_streaming": os_error_streaming,
    "answers_500": lambda _scope, _receive, send: answer(send, 500),
    "range": lambda _scope, _receive, send: answer(send, 206, FILE.read_bytes()[2:6]),
    "beyond": lambda _scope, _receive, send: answer(send, 416),
    "unchanged": lambda _scope, _receive, send: answer(send, 304, b""),
    "expects": expects,
    "after_answer": after_answer,
    "second_head": second_head,
}


async def handle(scope, receive, send):
    """Serve the request."""
    await HANDLERS[scope["path"].strip("/")](scope, receive, send)


app = served(handle)
