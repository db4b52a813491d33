"""How the serving of a request by aiohttp is seen: from its beginning, over its head, until its answer was sent.

aiohttp has no hook for this. A middleware is over before the answer is sent, and makes every request go through
aiohttp's machinery for middlewares. So three methods of aiohttp's own are wrapped, once in a process: the one of the
server that handles a request and sends its answer, the one of a request that sends a head, and (of the measured
application alone) the one that finds the handler.
Never here: what a request's end means (aiohttp_request).
"""

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.frameworks.aiohttp_request import AiohttpRequest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Served:
    """A request that aiohttp serves, and that no measured application has seen when it begins."""

    __slots__ = ("is_seen", "measured", "subject")

    def __init__(self, request: Any) -> None:
        self.subject = request
        self.measured: AiohttpRequest | None = None
        self.is_seen = False
        """Whether a measured application has seen it, be it to leave it unmeasured."""


class Begins(Protocol):
    """What begins to measure requests of one application."""

    def first(self, request: web.Request) -> AiohttpRequest | None:
        """Begin to measure a request whose route was not looked up yet. None if the exporter may answer it."""

    def routed(self, this: Served | AiohttpRequest, request: web.Request) -> None:
        """Begin to measure a request whose route was looked up, unless an outer application measures it."""


BEGINS: web.AppKey[Begins] = web.AppKey("rearguard_exporter.begins")
"""On each measured application."""

SERVED: ContextVar[Served | AiohttpRequest | None] = ContextVar("rearguard_exporter.served", default=None)
"""The request that the running task serves; None, or another one, if it did not come through `watch`'s server."""

_ATTRIBUTE = "rearguard_begins"  # of the wrapped `_handle` of a measured application
_watching: list[bool] = []  # True once aiohttp's methods are wrapped


def served_as(request: web.Request) -> Served | AiohttpRequest | None:
    """What the running task serves, if it is this request or the one that it is a copy of: these share a writer."""
    this = SERVED.get()
    if this is None or this.subject is None:
        return None
    return this if this.subject is request or this.subject.writer is request.writer else None


def measured_of(request: web.Request) -> AiohttpRequest | None:
    """What is measured of the request that the running task serves; None if it is another one."""
    this = served_as(request)
    return this if this is None or isinstance(this, AiohttpRequest) else this.measured


def watch(app: web.Application, begins: Begins) -> bool:
    """See every request to `app` to its end. False if this aiohttp is unknown, and a middleware must do."""
    if not _watching:
        wrapped = (
            (RequestHandler, "_handle_request"), (web.Request, "_prepare_hook"), (web.Application, "_handle"),
        )  # fmt: skip
        if not all(hasattr(each, name) for each, name in wrapped):
            log.warning("rearguard_exporter: this aiohttp is unknown; what fails while an answer is sent is not seen")
            return False
        _watching.append(True)
        _watch_server()
        _watch_heads()
    _watch_application(app, begins)
    return True


def _watch_application(app: web.Application, begins: Begins) -> None:
    """Begin to measure each request that is handed to this application. Nested ones are handed none."""
    original: Handler = app._handle  # noqa: SLF001 - there is no other place

    @functools.wraps(original)
    def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
        this = SERVED.get()
        if this is not None and this.subject is not request:
            this = served_as(request)
        if this is None:
            return serve_alone(request, original, begins.first(request))
        if isinstance(this, Served) and not this.is_seen:  # a server of the user's own hands it over
            this.measured = begins.first(request)
            this.is_seen = this.measured is not None
        return original(request)

    setattr(handle, _ATTRIBUTE, begins)
    vars(app)["_handle"] = handle


def _watch_heads() -> None:
    original = web.Request._prepare_hook  # noqa: SLF001 - a signal costs five times as much, also where none is needed

    @functools.wraps(original)
    def prepare(self: web.Request, response: web.StreamResponse) -> Any:
        this = SERVED.get()
        if not isinstance(this, AiohttpRequest) or this.subject is not self:
            this = measured_of(self)
        if this is not None:
            try:
                this.prepared(response, self)
            except Exception:  # noqa: BLE001 - the wall between the exporter and the application
                report("aiohttp response")
        return original(self, response)

    web.Request._prepare_hook = prepare  # type: ignore[method-assign]  # noqa: SLF001 - as above


def _watch_server() -> None:
    original = RequestHandler._handle_request  # noqa: SLF001 - there is no other place

    @functools.wraps(original)
    async def handle(self: Any, request: Any, start_time: Any, request_handler: Any) -> Any:
        begins = getattr(request_handler, _ATTRIBUTE, None)
        this = None if begins is None else begins.first(request)
        if this is None:
            return await _serve_unseen(self, request, start_time, request_handler, original)
        SERVED.set(this)
        try:
            answer = await original(self, request, start_time, request_handler)
        except BaseException as failure:
            this.failed(failure, request)
            raise
        else:
            this.answered(answer[0], request, answer[1])
            return answer
        finally:
            this.subject = None  # tasks that outlive the request hold this object

    RequestHandler._handle_request = handle  # type: ignore[method-assign]  # noqa: SLF001 - as above


async def _serve_unseen(server: Any, request: Any, start_time: Any, request_handler: Any, original: Any) -> Any:
    """Serve what may become a request of a measured application later, or none at all."""
    this = Served(request)
    SERVED.set(this)
    try:
        answer = await original(server, request, start_time, request_handler)
    except BaseException as failure:
        if not this.is_seen:
            _see_late(this, request, server)
        if this.measured is not None:
            this.measured.failed(failure, request)
        raise
    else:
        if not this.is_seen:
            _see_late(this, request, server)
        if this.measured is not None:
            this.measured.answered(answer[0], request, answer[1])
        return answer
    finally:
        if this.measured is not None:
            this.measured.subject = None
        this.subject = this.measured = None


@quiet
def _see_late(this: Served, request: Any, server: Any) -> None:
    """Begin to measure what was answered before an application had it, such as a bad request."""
    match_info = getattr(request, "_match_info", None)
    if match_info is None:
        found = [getattr(server._request_handler, _ATTRIBUTE, None)]  # noqa: SLF001 - there is no other way
    else:
        found = [app.get(BEGINS) for app in match_info.apps if isinstance(app, web.Application)]
    for begins in found:
        if begins is not None and not this.is_seen:
            begins.routed(this, request)


async def serve_alone(request: web.Request, handler: Handler, measured: AiohttpRequest | None) -> web.StreamResponse:
    """Serve a request that did not come through aiohttp's server, measured until its handler returns."""
    if measured is None:
        return await handler(request)
    token = SERVED.set(measured)
    try:
        response = await handler(request)
    except BaseException as failure:
        if isinstance(failure, web.HTTPException):
            measured.answered(failure, request, False)
        else:
            measured.failed(failure, request)
        raise
    else:
        measured.answered(response, request, False)
        return response
    finally:
        SERVED.reset(token)
        measured.subject = None
