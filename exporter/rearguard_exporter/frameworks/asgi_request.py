"""One HTTP request of an ASGI application, between the server and the application."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from math import nan
from time import perf_counter
from typing import Any

from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.frameworks.asgi_caller import (
    GONE,
    breaks_stream,
    has_left,
    is_from_within,
    is_of_lost_connection,
    is_raised_in,
    may_hide_failure,
    origin,
    tells_departure,
)
from rearguard_exporter.frameworks.asgi_loop import running_loop
from rearguard_exporter.frameworks.asgi_route import route_of
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest, UnfinishedResponseError

Message = MutableMapping[str, Any]

_PATIENCE = 1.0  # seconds for which an answer of 500 waits for the exception behind it
_SOON = 0.001  # seconds within which no server notices that a caller left; asking costs more than this comparison
_SMALL = 65536  # bytes that a server need not wait to send
_FINAL = 200  # statuses below it go ahead of the head
_WITHOUT_BODY = frozenset({204, 304})
_CONTENT_LENGTH = b"content-length"
_LENGTH_OF_NAME = len(_CONTENT_LENGTH)
_PROMISES = tuple((_CONTENT_LENGTH, str(length).encode()) for length in range(1024))
_BODY = "http.response.body"
_SENT_BY_SERVER = ("http.response.pathsend", "http.response.zerocopysend")  # extensions: bodies that are files


class Request(MeasuredRequest):
    """One request. `receive` and `send` are what the application calls, so it sees the answer to its last byte."""

    __slots__ = ("_is_last", "_reported", "_sent", "_timer", "ask")
    ask: Callable[[], Awaitable[Message]]  # the server's `receive`
    _is_last: bool  # of the part of the body that is sent; absent until there is one
    _reported: str  # the class of an exception that the framework answered; absent unless it told one
    _sent: float  # bytes of a stream; absent until its first part, not a number if a part was a file
    _timer: asyncio.TimerHandle  # absent unless the end of the application is waited for
    route_of = staticmethod(route_of)

    @property
    def reported_error(self) -> str:
        """The class of the exception that Django answered."""
        return getattr(self, "_reported", "")

    @reported_error.setter
    def reported_error(self, name: str) -> None:
        self._reported = name

    async def receive(self) -> Message:
        """The server's `receive`."""
        message = await self.ask()
        if message.get("type") == GONE:
            self._note_departure()
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """The server's `send`."""
        kind = message.get("type")
        if kind == _BODY:
            return self._send_body(message)
        if kind == "http.response.start":
            if self.status >= _FINAL and not self._is_answering_refusal():
                self._is_last = False  # the caller has the first one; whatever becomes of this one is a fault
            else:
                status = message.get("status")
                self.status = status if isinstance(status, int) else 0
                self.headers = message.get("headers", ())
        elif kind in _SENT_BY_SERVER:
            return self._send_body(message)
        sending: Awaitable[None] = self.forward(message)
        return sending

    def _is_answering_refusal(self) -> bool:
        """Whether another head is sent because the server refused the one before."""
        failure = sys.exception()
        return failure is not None and self._is_of_head(failure)

    async def _send_body(self, message: Message) -> None:
        at = perf_counter()
        if at - self.began > _SOON and has_left(self.ask):
            self._note_departure()
        is_last = self._is_last = not message.get("more_body")
        body = message.get("body")
        # Counted before the caller can have it: a worker that is killed now has counted what it answered.
        is_counted = (
            is_last
            and type(body) is bytes
            and (size := len(body)) <= _SMALL
            and self.is_open
            and ((self.since is None and self.end_ordinary(at, size, _PROMISES)) or self._is_ended_ahead(size, at))
        )
        try:
            await self.forward(message)
        except BaseException as failure:
            if is_counted:
                self.take_back(at)
            if is_of_lost_connection(failure):
                self._is_last = False
                self._note_departure()
            raise
        if not is_counted:
            self._note_sent(message, is_last)

    def _is_ended_ahead(self, size: int, at: float) -> bool:
        """End a request whose last so many bytes are about to be sent, unless what follows may tell more."""
        if not self.status or self.status == SERVER_ERROR or (self.is_stream and may_hide_failure()):
            return False
        self.complete = at
        self.end(self._shortage(size))
        return True

    def is_short(self, size: int) -> bool:
        """Whether a body of one piece may be shorter than its head says, so that the long way has to look."""
        try:
            for name, value in self.headers:
                if len(name) == _LENGTH_OF_NAME and name.lower() == _CONTENT_LENGTH:
                    return int(value) != size
        except Exception:  # noqa: BLE001 - headers of any shape
            return True
        return False

    def _note_sent(self, message: Message, is_last: bool) -> None:
        """The server has a part of the body that was not counted ahead."""
        if not is_last:
            self._count(message)
        elif self.is_open:
            self.complete = perf_counter()
            if self.is_stream:
                self._count(message)
            else:
                self._sent = _size(message)
            if self.status != SERVER_ERROR and not (self.is_stream and may_hide_failure()):
                self._end_complete()
            else:
                self._await_failure()

    @quiet
    def _count(self, message: Message) -> None:
        if self.since is None:
            self.since, self.is_stream, self._sent = perf_counter(), True, 0
        self._sent += _size(message)

    def _shortage(self, rest: int = 0) -> UnfinishedResponseError | None:
        """What is wrong with a body that ends, `rest` bytes from now, before the length that its head promises."""
        try:
            promised = self._promised() if self.status else None
            if promised is not None and getattr(self, "_sent", 0) + rest < promised:
                return UnfinishedResponseError()
        except Exception:  # noqa: BLE001 - headers of any shape
            report("ASGI response")
        return None

    @quiet
    def _note_departure(self) -> None:
        """The caller left now. Of an answer that is whole, or that is about to be, this is the ordinary end."""
        if self.is_open and not getattr(self, "_is_last", False) and not self._is_whole():
            self.client_left = True
            self.end()  # some servers never come back to an application that still sends

    def _is_whole(self) -> bool:
        """Whether the caller has all that the head promises, although the application may not have said so."""
        promised = self._promised() if self.status else None
        return promised is not None and getattr(self, "_sent", 0) >= promised

    def _promised(self) -> int | None:
        """The bytes of the body, as the head says, if it does."""
        if self.subject["method"] == "HEAD" or self.status in _WITHOUT_BODY:
            return 0
        lengths = [value for name, value in self.headers if name.lower() == _CONTENT_LENGTH]
        return int(lengths[0]) if lengths else None

    @quiet
    def _await_failure(self) -> None:
        # Frameworks answer 500, and BaseHTTPMiddleware ends a broken stream in good order; then they raise the
        # exception behind it. If there is none, background work may go on: only asyncio's loops do not wait for that.
        loop = running_loop()
        if loop is not None:
            self._timer = loop.call_later(_PATIENCE, self._end_complete)

    @quiet
    def over(self) -> None:
        """The application returned and has not said that the answer is complete, or has said so just now."""
        if self.complete is not None:
            self._stop_waiting()
            self._end_complete()
            return
        if has_left(self.ask):
            self._note_departure()
        # Servers answer 500 if there was no head. The sending of the last part may be given up once it has been read.
        is_unfinished = self.status and not getattr(self, "_is_last", False) and not self._is_whole()
        self.end(UnfinishedResponseError() if is_unfinished else None)

    @quiet
    def failed(self, failure: BaseException) -> None:
        """The application raised."""
        self.change_thread()  # the garbage collector may end an abandoned request in any thread
        fault: BaseException | None = origin(failure)
        if self.complete is not None:
            self._stop_waiting()
            if self.status != SERVER_ERROR and not breaks_stream(failure):
                fault = None
        elif not self.client_left:
            if tells_departure(failure, self.forward) and not (
                self.status == 0 and is_from_within(failure, self.ask)
            ):
                self.client_left, fault = not self._is_whole(), None
            elif not hasattr(self, "_is_last") and self._is_of_head(failure):
                self.status = 0
            elif has_left(self.ask):
                self._note_departure()
        self.end(fault)

    def _end_complete(self) -> None:
        self.end(self._shortage())

    def _stop_waiting(self) -> None:
        if hasattr(self, "_timer"):
            self._timer.cancel()

    def _is_of_head(self, failure: BaseException) -> bool:
        """Whether the server refused to send the head. Servers that are not written in Python do so when called."""
        return is_raised_in(failure, self.forward) or is_raised_in(failure, Request.send)


class UvicornRequest(Request):
    """One request behind uvicorn, which sends no answer that is shorter than its head promises: it raises."""

    __slots__ = ()

    def is_short(self, size: int) -> bool:  # noqa: ARG002 - the server looks at it
        """No."""
        return False


def request_class(receive: object) -> type[Request]:
    """The class of requests behind the server of this `receive`."""
    is_uvicorn = type(getattr(receive, "__self__", None)).__module__.partition(".")[0] == "uvicorn"
    return UvicornRequest if is_uvicorn else Request


def _size(message: Message) -> float:
    """Bytes of this part of a body; not a number if it is a file."""
    return len(message.get("body", b"")) if message["type"] == _BODY else nan
