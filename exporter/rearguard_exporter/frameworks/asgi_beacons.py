"""How the script and the beacons of browsers are served by ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from rearguard_exporter.browser.beacon import MOST_BYTES
from rearguard_exporter.browser.senders import Sender
from rearguard_exporter.endpoints.beacons import BODY_SECONDS, BeaconEndpoint, Reply
from rearguard_exporter.frameworks.asgi_loop import running_loop
from rearguard_exporter.frameworks.body_deadline import BodyDeadline

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = Callable[[Scope, Receive, Send], Awaitable[None]]

NO_CONTENT: Final = HTTPStatus.NO_CONTENT.value
_ACCEPT_ENCODING = b"accept-encoding"
_WANTED = {
    b"origin": 0,
    b"host": 1,
    b"sec-fetch-site": 2,
    b"content-type": 3,
    b"content-length": 4,
    _ACCEPT_ENCODING: 5,
}


def script_answer(endpoint: BeaconEndpoint) -> Answer:
    """What answers a request for the script."""

    async def answer(scope: Scope, _: Receive, send: Send) -> None:
        sender, encoding = _read_headers(scope)
        await _reply(scope, send, endpoint.script(sender, encoding))

    return answer


def beacon_answer(endpoint: BeaconEndpoint) -> Answer:
    """What answers a beacon, or the question whether one may be sent."""
    deadline = BodyDeadline(BODY_SECONDS)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        sender, _ = _read_headers(scope)
        if scope["method"] == "OPTIONS":
            await _reply(scope, send, endpoint.preflight(sender))
            return
        refused = endpoint.refused(sender)
        if refused is None:
            body = await _in_time(receive, deadline)
            if body is None:
                return  # the sender left; the server drops what is sent now
            refused = endpoint.take(body, sender) if len(body) <= MOST_BYTES else endpoint.too_large()
        await _reply(scope, send, refused)

    return answer


def _read_headers(scope: Scope) -> tuple[Sender, str]:
    found = [""] * len(_WANTED)
    for name, value in scope["headers"]:
        at = _WANTED.get(name)  # servers give names in lower case
        if at is not None:
            found[at] = value.decode("latin-1")
    return Sender(*found[:5]), found[5]


async def _in_time(receive: Receive, deadline: BodyDeadline) -> bytes | None:
    """The body, at most a bit more than a beacon may have; None if the sender left or was too slow."""
    if running_loop() is None:  # trio has no such limit, and neither have we there
        return await _body(receive)
    try:
        return await deadline.within(_body(receive))
    except TimeoutError:
        return None


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > MOST_BYTES or not message.get("more_body", False):
            return body


async def _reply(scope: Scope, send: Send, reply: Reply) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
    if reply.status != NO_CONTENT:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
