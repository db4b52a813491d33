"""One WSGI request: its answer is watched to the last byte, or until the server stops asking for it.

Here: what a server's way to end an answer means (all was sent, the caller left, the answer was refused).
Never here: the application's wrapper (wsgi), routes (wsgi_route).
"""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from sys import exception
from threading import get_ident
from time import perf_counter
from typing import Any, Final

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.frameworks.wsgi_leavers import tells_of_a_leaver
from rearguard_exporter.frameworks.wsgi_route import failure_of, route_of
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest, UnfinishedResponseError

_CODES: Final = {str(code): code for code in range(100, 1000)}
_WITHOUT_BODY: Final = frozenset({204, 304})
_CONTENT_LENGTH: Final = "content-length"
_LENGTH_OF_NAME: Final = len(_CONTENT_LENGTH)
_PROMISES: Final = tuple(("Content-Length", str(length)) for length in range(1024))
_SMALL: Final = 65536  # bytes that a server need not wait to send
_QUICK: Final = 0.01  # seconds in which hardly a caller leaves


class WsgiRequest(MeasuredRequest):
    """What the application calls as `start_response`, and then the body that the server iterates over."""

    __slots__ = ("__weakref__", "_sent", "_unclosed", "_write", "before", "body")
    body: Iterable[bytes]
    before: BaseException | None  # that was being handled already when the application was called
    _sent: int  # bytes of the body that the server took; absent until the first piece
    _unclosed: "_Unclosed"  # absent until the server drops the body before its end

    @property
    def reported_error(self) -> str:  # type: ignore[override]  # frameworks may report it until the request ends
        """The class of the exception that Flask or Django answered."""
        return failure_of(self.subject)

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """What the application calls as `start_response`."""
        try:
            if self.since is None:  # else the head was sent, and stays what it was
                self.status = _CODES.get(status[:3], 0)
                self.headers = headers
            self.route = route_of(self.subject)  # now: Flask takes its request away when its handler returns
            extras = self.lane.extras
            if extras is not None and self.is_open:
                self.trace = extras.trace()  # now: the framework's span ends with its handler
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("WSGI response")
        if exc_info is None:
            self._write = self.forward(status, headers)
        else:
            self._write = self.forward(status, headers, exc_info)
        return self

    def __call__(self, piece: bytes) -> None:
        """The server's `write`, which `start` returns to the application."""
        if self.since is None:
            self.since = perf_counter()
        else:
            self.is_stream = True
        try:
            self._write(piece)
        except BaseException as failure:
            self.client_left = tells_of_a_leaver(failure)
            raise
        self._sent = getattr(self, "_sent", 0) + len(piece)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self.body:
                if self.since is None:
                    self.since = perf_counter()
                    self._sent = len(piece) if piece else 0
                else:
                    self.is_stream = True
                    self._sent = getattr(self, "_sent", 0) + (len(piece) if piece else 0)
                yield piece
        except GeneratorExit:
            # The server drops the iterator first and closes the body then, or, against the protocol, never.
            if self.is_open:
                self._unclosed = _Unclosed(self)
            raise
        except BaseException as failure:
            self.failed(failure)
            raise
        if self.lane.thread != get_ident():  # servers may ask for a body in another thread
            self.change_thread()
        now = perf_counter()
        is_long = self.is_stream or self.since is None or now - self.since > _QUICK
        if is_long or not self.end_ordinary(now, self._sent, _PROMISES):
            self.end(UnfinishedResponseError() if self._falls_short() else None)

    def close(self) -> None:
        """Servers call this at the end, also if the caller left."""
        if self.is_open:  # first: what the application does when its body is closed is no part of the answer
            self.stop(exception())
        close = getattr(self.body, "close", None)
        self.body = ()  # it may hold our `start`, and so this object
        if close is not None:
            close()

    def stop(self, failure: BaseException | None) -> None:
        """The server asks for no more of the body, because it raised `failure`, or of its own accord."""
        unclosed = getattr(self, "_unclosed", None)
        if unclosed is not None:
            unclosed.request = None
        self.change_thread()
        if isinstance(failure, Exception) and not tells_of_a_leaver(failure):
            self.end(failure)  # it could not send a piece: text instead of bytes, more than Content-Length says
            return
        if failure is not None or (self.since is not None and not self._is_whole()):
            self.client_left = True
        self.end()

    def failed(self, failure: BaseException) -> None:
        """The application raised."""
        self.change_thread()
        if self.since is None:
            self.status = SERVER_ERROR  # servers send the head with the first piece, so it was not sent
        self.end(failure)

    def ready(self, body: Any) -> Iterable[bytes]:
        """What to return in the place of this list. One that is small and was quickly made is taken for sent."""
        if len(body) == 1 and type(body[0]) is bytes and (size := len(body[0])) <= _SMALL:
            now = perf_counter()
            if now - self.began < _QUICK:
                if not self.end_ordinary(now, size, _PROMISES):
                    self._sent = size
                    self.complete = now
                    self.end(UnfinishedResponseError() if self._falls_short() else None)
                return body  # type: ignore[no-any-return]
        made = ReadyBody(body)
        if all(type(piece) is bytes for piece in made):
            self._sent = sum(map(len, made))
        made.request, made.close, self.before = self, self.closed, exception()
        return made

    def closed(self) -> None:
        """A body that is a list or a file is closed by the server. If that raises nothing, everything was sent."""
        if self.is_open:
            failure = exception()
            if failure is self.before:
                if self.lane.thread != get_ident():
                    self.change_thread()
                self.end(UnfinishedResponseError() if hasattr(self, "_sent") and self._falls_short() else None)
            else:
                self.stop(failure)

    def follow_file(self, body: Any) -> None:
        """End when the server closes this file, which it sends by itself; at once if it cannot be told to say so."""
        close = getattr(body, "close", None)
        self.before = exception()

        def closed() -> None:
            self.closed()
            if close is not None:
                close()

        try:
            body.close = closed
        except (AttributeError, TypeError):  # it was made in C
            self.end()
        else:
            self.since = perf_counter()

    def _is_whole(self) -> bool:
        """Whether the server has all of the body. It need not ask again once it has what Content-Length says."""
        try:
            promised = self._promised()
            return self._is_single() if promised is None else self._sent >= promised
        except Exception:  # noqa: BLE001 - bodies and headers of any shape
            return False

    def is_short(self, size: int) -> bool:
        """Whether a body of so many bytes may be shorter than its head says, so that the long way has to look."""
        try:
            for name, value in self.headers:
                if len(name) == _LENGTH_OF_NAME and name.lower() == _CONTENT_LENGTH:
                    return int(value) != size
        except Exception:  # noqa: BLE001 - headers of any shape
            return True
        return False

    def _falls_short(self) -> bool:
        """Whether the body ended before what Content-Length says."""
        try:
            promised = self._promised()
        except Exception:  # noqa: BLE001 - as above
            return False
        return promised is not None and getattr(self, "_sent", 0) < promised

    def _promised(self) -> int | None:
        """The bytes of the body, as Content-Length says, if it does."""
        if self.subject.get("REQUEST_METHOD") == "HEAD" or self.status in _WITHOUT_BODY:
            return 0
        for name, value in self.headers:
            if name.lower() == _CONTENT_LENGTH:
                return int(value)
        return None

    def _is_single(self) -> bool:
        """Whether the piece that was sent is all of a body that does not say how long it is. Most cannot tell."""
        is_single = getattr(self.body, "streaming", None) is False  # Django's
        return not self.is_stream and (is_single or len(self.body) == 1)  # type: ignore[arg-type]


class ReadyBody(list[bytes]):
    """A body that is a list, as the application made it. Its request ends when the server closes it.

    It stays a list, because servers treat lists apart.
    """

    __slots__ = ("close", "request")
    request: WsgiRequest
    close: Callable[[], None]  # servers call this at the end, also if the caller left or the body was refused

    def __del__(self) -> None:
        """Some callers, tests among them, close nothing."""
        request = self.request
        if request.is_open:
            request.change_thread()
            request.end()


class _Unclosed:
    """Ends a request whose body was dropped, if the server goes away without closing it."""

    __slots__ = ("request",)

    def __init__(self, request: WsgiRequest) -> None:
        self.request: WsgiRequest | None = copy(request)  # the request holds this, so this cannot hold the request

    def __del__(self) -> None:
        if self.request is not None:
            self.request.stop(None)
