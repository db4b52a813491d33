"""What became of a request to aiohttp's server: which head was sent, whether the rest followed, who left first.

aiohttp has no hook for this. A middleware is over before the answer is sent, and `on_response_prepare` is called
before the head is. So the server's own method that handles one request and sends its answer is wrapped.

Here: how a request begins to be served, and how it ends. Never here: routes and endpoints (aiohttp).
"""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import perf_counter
from types import FrameType
from typing import Any

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.frameworks.aiohttp_socket import Link, is_cancelled, is_gone, is_stopping
from rearguard_exporter.traffic.lanes import Lane
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest, UnfinishedResponseError
from rearguard_exporter.traffic.websocket import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Begin = Callable[["Served", web.Request], None]


class Served:
    """A request that aiohttp handles, with what is measured of it."""

    __slots__ = ("is_seen", "measured", "request")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.measured: AiohttpRequest | None = None
        self.is_seen = False
        """Whether a measured application has seen it, be it to leave it unmeasured."""


_WITHOUT_BODY = frozenset({204, 304})
_SMALL = 65536  # bytes that the server need not wait to send
_AT_ONCE = 0.01  # seconds in which a body that is no stream is on its way

_watching: list[bool] = []  # True once aiohttp's method is wrapped

BEGIN: web.AppKey[Begin] = web.AppKey("rearguard_exporter.begin")
"""What begins to measure a request, on each measured application."""

SERVED: ContextVar[Served | None] = ContextVar("rearguard_exporter.served", default=None)
"""The request that the running task serves; None, or another one, if it did not come through `watch`'s server."""


class AiohttpRequest(MeasuredRequest):
    """One request that is measured."""

    __slots__ = ("ahead", "broken", "head_at", "link", "opening", "reported_error", "response")

    def __init__(self, lane: Lane, route: str) -> None:
        MeasuredRequest.__init__(self, lane)  # for every request: `super()` takes longer
        self.route = route
        self.reported_error = ""
        self.ahead = False  # whether it was counted before it was sent
        self.head_at = 0.0  # when the head was sent
        self.response: web.StreamResponse | None = None  # whose head is sent
        self.broken: BaseException | None = None  # what was answered although another head had been sent
        self.link: Link | None = None  # once it became a socket
        self.opening: Callable[[], None] | None = None  # to be called when it does

    def content_type(self) -> str:
        """As aiohttp has it."""
        return "" if self.response is None else self.response.content_type

    def prepared(self, response: web.StreamResponse, request: web.Request) -> None:
        """A head is about to be sent."""
        if self.response is not None and request.writer.output_size:  # a second one: the caller sees the first
            self.broken = sys.exception()
            return
        if self.link is not None:
            self._stay(sys.exception())
        self.response = response
        self.status = status = response.status
        self.head_at = perf_counter()
        self.is_stream = not isinstance(response, web.Response)
        if self.is_stream:
            if isinstance(response, web.WebSocketResponse):
                self.leave()
                self.link = Link(response, Connection(self.lane.instruments, self.route), request)
                self.link.follow()
                if self.opening is not None:
                    self.opening()
        elif status >= SERVER_ERROR:
            failure = sys.exception()  # aiohttp answers it with this response
            if failure is not None and not isinstance(failure, web.HTTPException):
                self.reported_error = type(failure).__name__
        else:
            body = getattr(response, "body", None)
            if (
                type(body) is bytes
                and len(body) <= _SMALL
                and self.is_open
                and _is_handled()
                and not _is_short(response, request, body)
            ):
                # Before the caller can have it: a worker that is killed now has counted what it answered.
                self.ahead = True
                self.subject = request
                if not self.end_ordinary(self.head_at):
                    self.complete = self.head_at
                    self.end()

    def _is_sent_as_counted(self, response: web.StreamResponse) -> bool:
        """Whether it was counted ahead, and went out as it was then. If it did not, that is taken back."""
        if not self.ahead:
            return False
        if response is self.response and response.status == self.status and self.broken is None:
            return True
        self._take_back()
        if response is self.response:
            self.status = response.status
        return False

    def _take_back(self) -> None:
        if self.ahead:
            self.ahead = False
            self.take_back(self.head_at)

    def _stay(self, failure: BaseException | None) -> None:
        """The handshake of a socket died before its head was sent: it is a request still."""
        if self.link is not None:
            self.link.over(failure or ConnectionError())
            self.link = None
            self.is_open = True
            self.lane.active[0] += 1.0

    def answered(self, response: web.StreamResponse, request: web.Request, is_reset: bool) -> None:
        """The handler is over, and its response was sent. `is_reset`: a ConnectionError ended the sending."""
        try:
            if self.response is None:  # prepared where the signal does not know the request
                self.status = getattr(response, "status", 0)
                self.head_at = perf_counter()
            if not is_reset and self._is_sent_as_counted(response):
                self.subject = self.response = None
                return
            self._take_back()
            failure = self.broken
            if is_reset:
                # What sends a file knows before the transport that nobody takes it.
                is_file = isinstance(response, web.FileResponse) and request.writer.output_size > 0
                left = is_file or is_gone(request)
                self.client_left = left and not self._is_whole()
                if not left:
                    failure = ConnectionError()  # of the body's own source; aiohttp keeps its class to itself
            elif failure is None and self._is_unfinished(response, request):
                failure = UnfinishedResponseError()
            self._over(failure, request)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("aiohttp answer")

    @quiet
    def failed(self, failure: BaseException, request: web.Request) -> None:
        """No response was sent, or not to its end, because this was raised."""
        self._take_back()
        if isinstance(failure, ConnectionError) and failure.__context__ is not None and request.writer.output_size:
            failure = failure.__context__  # aiohttp's word for a handler that raised after the head
        was_cancelled = isinstance(failure, asyncio.CancelledError) and is_cancelled()
        if was_cancelled and is_stopping(request):
            self.client_left = request.writer.output_size > 0  # a stopping server ends streams: no fault of either
        else:
            left = is_gone(request)
            self.client_left = left and not self._is_whole()
            if left and self._is_whole():  # the caller had the answer: what is raised later concerns nobody
                self._over(None, request)
                return
        self._over(failure, request)

    def _is_unfinished(self, response: web.StreamResponse, request: web.Request) -> bool:
        """Whether it ended before the length that its head promised."""
        if self.is_stream:
            return self._falls_short(response, request)
        body = getattr(response, "body", None)
        return type(body) is bytes and _is_short(response, request, body)

    def _is_whole(self) -> bool:
        """Whether the last byte was sent; aiohttp notes the length then."""
        return self.response is not None and self.response.body_length > 0

    def _falls_short(self, response: web.StreamResponse, request: web.Request) -> bool:
        """Whether a stream ended before the length that its head promised."""
        left = getattr(request.writer, "length", None)  # which counts down what is written, but not the last of it
        if not left or request.method == "HEAD" or self.status in _WITHOUT_BODY:
            return False
        if isinstance(response, web.FileResponse):
            return False
        head = [f"HTTP/1.1 {response.status} {response.reason}", *map(": ".join, response.headers.items()), ""]
        head_size = sum(len(line.encode()) + len("\r\n") for line in head)
        return bool(request.writer.output_size < head_size + int(response.headers["Content-Length"]))

    def _over(self, failure: BaseException | None, request: web.Request) -> None:
        if self.link is not None:
            self.link.over(failure)
            return
        self.complete = now = perf_counter()
        if self.is_stream or failure is not None or now - self.head_at > _AT_ONCE:
            if request.writer.output_size:
                self.since = self.head_at or None
            elif failure is not None:
                self.status = 0  # the head was not sent
        self.subject = request
        if failure is not None or self.is_stream or self.since is not None or not self.end_ordinary(now):
            self.end(failure)
        # The request holds this object, and so may tasks that outlive it: all would wait for the garbage collector.
        self.subject = self.response = self.broken = None


def _is_short(response: web.StreamResponse, request: web.Request, body: bytes) -> bool:
    """Whether the head of an answer of one piece promises more than this body."""
    try:
        promised = int(response.headers.get(hdrs.CONTENT_LENGTH, 0))
    except ValueError:
        return False
    if promised <= len(body) or request.method == hdrs.METH_HEAD or response.status in _WITHOUT_BODY:
        return False
    return not response.compression and hdrs.CONTENT_ENCODING not in response.headers


_FINISH = getattr(getattr(RequestHandler, "finish_response", None), "__code__", None)
_DEEPEST = 8  # calls between the server's sending of an answer and its signal that it does


def _is_handled() -> bool:
    """Whether the server sends the answer now: its handler is over. A handler may also send the head by itself."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - nothing else tells who sends
    for _ in range(_DEEPEST):
        if frame is None:
            break
        if frame.f_code is _FINISH:
            return True
        frame = frame.f_back
    return False


def watch() -> None:
    """See the end of every request to aiohttp's servers in this process. A second call changes nothing."""
    original = getattr(RequestHandler, "_handle_request", None)
    if original is None:
        log.warning("rearguard_exporter: this aiohttp is unknown; what fails while an answer is sent is not seen")
        return
    if _watching:
        return
    _watching.append(True)

    @functools.wraps(original)
    async def handle(self: Any, request: Any, start_time: Any, request_handler: Any) -> Any:
        this = Served(request)
        SERVED.set(this)
        usual, began = self._request_handler, perf_counter()
        try:
            answer = await original(self, request, start_time, request_handler)
        except BaseException as failure:
            if not this.is_seen:
                _see_late(this, usual, began)
            if this.measured is not None:
                this.measured.failed(failure, request)
            raise
        else:
            if not this.is_seen:
                _see_late(this, usual, began)
            if this.measured is not None:
                response, is_reset = answer
                this.measured.answered(response, request, is_reset)
            return answer
        finally:
            this.request = this.measured = None  # tasks that outlive the request hold this object

    RequestHandler._handle_request = handle  # type: ignore[method-assign]  # noqa: SLF001 - there is no other place


@quiet
def _see_late(this: Served, usual: Any, began: float) -> None:
    """Begin to measure what was answered before any middleware of ours: a bad request, an expectation that failed."""
    match_info = getattr(this.request, "_match_info", None)
    applications = (getattr(usual, "__self__", None),) if match_info is None else match_info.apps
    for application in applications:
        begin = application.get(BEGIN) if isinstance(application, web.Application) else None
        if begin is not None and not this.is_seen:
            begin(this, this.request)
            if this.measured is not None:
                this.measured.began = began


async def serve_alone(request: web.Request, handler: Handler, begin: Begin) -> web.StreamResponse:
    """Measure a request that did not come through `watch`'s server, until its handler returns."""
    this = Served(request)
    token = SERVED.set(this)
    try:
        begin(this, request)
        response = await handler(request)
    except BaseException as failure:
        if this.measured is not None:
            if isinstance(failure, web.HTTPException):
                this.measured.answered(failure, request, False)
            else:
                this.measured.failed(failure, request)
        raise
    finally:
        SERVED.reset(token)
    if this.measured is not None:
        this.measured.answered(response, request, False)
    return response
