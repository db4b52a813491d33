"""How the script and the beacons of browsers are served by aiohttp."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from rearguard_exporter.browser.beacon import MOST_BYTES
from rearguard_exporter.browser.senders import Sender
from rearguard_exporter.endpoints.beacons import BODY_SECONDS, BeaconEndpoint, Reply
from rearguard_exporter.frameworks.body_deadline import BodyDeadline

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def script_handler(endpoint: BeaconEndpoint) -> Handler:
    """What answers a request for the script."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return _response(endpoint.script(_sender(request), request.headers.get(hdrs.ACCEPT_ENCODING, "")))

    return answer


def beacon_handler(endpoint: BeaconEndpoint) -> Handler:
    """What answers a beacon, or the question whether one may be sent."""
    deadline = BodyDeadline(BODY_SECONDS)

    async def answer(request: web.Request) -> web.StreamResponse:
        sender = _sender(request)
        if request.method == hdrs.METH_OPTIONS:
            return _response(endpoint.preflight(sender))
        refused = endpoint.refused(sender)
        if refused is not None:
            return _response(refused)
        if request.content.is_eof():  # as most are: it came together with the head, and needs no deadline
            body = request.content.read_nowait()
        else:
            try:
                body = await deadline.within(_body(request))
            except TimeoutError:
                return web.Response(status=408)
        return _response(endpoint.take(body, sender) if len(body) <= MOST_BYTES else endpoint.too_large())

    return answer


def _sender(request: web.Request) -> Sender:
    get = request.headers.get
    return Sender(
        get(hdrs.ORIGIN, ""),
        get(hdrs.HOST, ""),
        get("Sec-Fetch-Site", ""),
        get(hdrs.CONTENT_TYPE, ""),
        get(hdrs.CONTENT_LENGTH, ""),
    )


async def _body(request: web.Request) -> bytes:
    """At most a bit more than a beacon may have."""
    content, body = request.content, b""
    while len(body) <= MOST_BYTES and not content.at_eof():
        body += await content.readany()
    return body


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body or None)
