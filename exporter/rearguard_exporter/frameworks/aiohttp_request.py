"""What became of a request to aiohttp's server: which head was sent, whether the rest followed, who left first.

Here: how a request ends. Never here: how the server's work is seen (aiohttp_served), endpoints (aiohttp).
"""

import asyncio
import sys
from collections.abc import Callable
from time import perf_counter

from aiohttp import hdrs, web

from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.frameworks.aiohttp_socket import Link, is_cancelled, is_gone, is_stopping
from rearguard_exporter.traffic.lanes import Lane
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest, UnfinishedResponseError
from rearguard_exporter.traffic.websocket import Connection

_WITHOUT_BODY = frozenset({204, 304})
_SMALL = 65536  # bytes that the server need not wait to send
_AT_ONCE = 0.01  # seconds in which a body that is no stream is on its way
_MOST_ROUTES = 10_000  # templates kept at most: an application's own resources may make a new route for each request

Templates = dict[web.AbstractRoute | None, str]
"""The template of each route that was met; empty for the exporter's own. None is for requests without a route."""


def template_of(request: web.Request, known: Templates) -> str:
    """The template of the request's route with the prefixes of sub-applications, never the raw path.

    aiohttp may have refused the request before it looked for a route, or have made a route for it alone.
    """
    match_info = request._match_info  # noqa: SLF001 - `match_info` insists that there is one
    if match_info is None:
        return UNMATCHED
    route = match_info.route
    return known.get(route) or _template_of_new(route, known)


def _template_of_new(route: web.AbstractRoute, known: Templates) -> str:
    try:
        resource = None if route in known else route.resource  # the exporter's own are known, and have none
        template = UNMATCHED if resource is None else resource.canonical
    except Exception:  # noqa: BLE001 - a resource of any kind
        report("aiohttp route")
        return UNMATCHED
    if resource is not None and len(known) < _MOST_ROUTES:
        known[route] = template
    return known.get(route, template)


class AiohttpRequest(MeasuredRequest):
    """One request that is measured."""

    __slots__ = ("ahead", "broken", "head_at", "link", "opening", "reported_error", "response", "templates")

    def __init__(self, lane: Lane, request: web.Request, templates: Templates) -> None:
        MeasuredRequest.__init__(self, lane, request)  # for every request: `super()` takes longer
        self.templates = templates
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

    def route_in(self, request: web.Request) -> str:
        """The template of the route."""
        if not self.route:
            self.route = template_of(request, self.templates)
        return self.route

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
        route = self.route_in(request)
        if not isinstance(response, web.Response):
            self.is_stream = True
            if isinstance(response, web.WebSocketResponse):
                self.leave()
                self.link = Link(response, Connection(self.lane.instruments, route), request)
                self.link.follow()
                if self.opening is not None:
                    self.opening()
        elif status >= SERVER_ERROR:
            failure = sys.exception()  # aiohttp answers it with this response
            if failure is not None and not isinstance(failure, web.HTTPException):
                self.reported_error = type(failure).__name__
        elif _is_handled(request) and self.is_open:
            # Before the caller can have it: a worker that is killed now has counted what it answered.
            self.ahead = self._is_counted(response, request, self.head_at)

    def _is_counted(self, response: web.StreamResponse, request: web.Request, at: float) -> bool:
        """Count an answer of one piece that goes out `at` this time. False if it is not one, or falls short."""
        body = getattr(response, "body", None)
        if type(body) is not bytes or len(body) > _SMALL:
            return False
        if hdrs.CONTENT_LENGTH in response.headers and _is_short(response, request, body):
            return False
        if not self.end_ordinary(at):
            self.complete = at
            self.end()
        return True

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
            status = getattr(response, "status", 0)
            if self.response is None:  # nobody saw it being prepared
                if not self.route:
                    self.route = template_of(request, self.templates)
                self.status = status
                self.head_at = at = perf_counter()
                if not is_reset and status < SERVER_ERROR and self._is_counted(response, request, at):
                    return
            elif self.ahead and not is_reset and response is self.response and self.broken is None:
                if status == self.status:
                    self.response = None
                    return
                self._take_back()
                self.status = status
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
        self.route_in(request)
        if self.is_stream or failure is not None or now - self.head_at > _AT_ONCE:
            if request.writer.output_size:
                self.since = self.head_at or None
            elif failure is not None:
                self.status = 0  # the head was not sent
        if failure is not None or self.is_stream or self.since is not None or not self.end_ordinary(now):
            self.end(failure)
        self.response = self.broken = None  # tasks that outlive the request may hold this object


def _is_handled(request: web.Request) -> bool:
    """Whether the server sends the answer now: its handler is over. A handler may also send the head by itself."""
    return getattr(request.protocol, "_current_request", request) is None


def _is_short(response: web.StreamResponse, request: web.Request, body: bytes) -> bool:
    """Whether the head of an answer of one piece promises more than this body."""
    try:
        text = response.headers.get(hdrs.CONTENT_LENGTH)
        if text is None:
            return False
        promised = int(text)
    except ValueError:
        return False
    if promised <= len(body) or request.method == hdrs.METH_HEAD or response.status in _WITHOUT_BODY:
        return False
    return not response.compression and hdrs.CONTENT_ENCODING not in response.headers
