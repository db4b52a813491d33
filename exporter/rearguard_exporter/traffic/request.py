"""How a request ends, decided once for every framework: its status, its error type, and whether its time counts.

Here: what each of an adapter's facts means (which status was sent, which exception ended it, who left first).
Never here: how a framework tells these facts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, Final

from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.traffic.lanes import BOUNDS, Lane
from rearguard_exporter.values.counts import Counts
from rearguard_exporter.values.exemplars import Trace

ENDLESS_TYPES: Final = frozenset({"text/event-stream", "multipart/x-mixed-replace"})
"""Content types whose responses last as long as somebody listens: their duration says nothing about the server."""

LONG_STREAM: Final = 10.0
"""Seconds after which a body that is still being written counts as a long stream, even if its length is known."""

CLIENT_GONE: Final = 499
"""The status recorded if the caller left before the answer. It is never sent, and it is not an error."""

SERVER_ERROR: Final = 500
"""This status and those above it are errors."""

_QUICK: Final = BOUNDS[0]
_PAUSE = 0.1  # seconds after its first piece at which a body of one piece counts as a stream
_STATUSES: Final = {status: str(status) for status in range(100, 1000)}


class UnfinishedResponseError(Exception):
    """An answer that ends before its end. Never raised: its name is the error type."""


class MeasuredRequest:
    """One request, active from its creation until it ends or becomes a socket. Only the first end counts.

    An adapter subclasses it and sets the facts below as it sees them.
    """

    counts: Counts
    """Where `end` counted it; absent if it did not."""

    __slots__ = (
        "began", "client_left", "complete", "counts", "forward", "headers", "is_open", "is_stream", "lane", "route",
        "since", "status", "subject", "trace",
    )  # fmt: skip

    reported_error = ""
    """The class of an exception that the framework itself answered. Read only if the answer is an error."""

    def __init__(self, lane: Lane, subject: Any = None, forward: Any = None) -> None:
        self.lane = lane
        self.subject = subject
        """The framework's own request (scope, environ), which the user's label hooks are shown."""
        self.forward = forward
        """The server's callable by which the answer is sent, in the frameworks that have one."""
        self.is_open = True
        """Whether the request is still being answered."""
        self.route = ""
        """The template of the route; empty if `route_of` is to be asked at the end."""
        self.status = 0
        """The status that was sent; 0 while none was."""
        self.headers: Any = ()
        """The response's headers, of any shape, in the frameworks that give them."""
        self.client_left = False
        """Whether the caller left before the answer was complete."""
        self.since: float | None = None
        """When the first part of the body was sent, if more of it may follow."""
        self.is_stream = False
        """Whether more of the body follows what was sent at `since`."""
        self.complete: float | None = None
        """When the last byte was sent, if `end` is called later than that."""
        self.trace: Trace | None = None
        """The trace of the request, if it is over before `end` is called."""
        lane.active[0] += 1.0
        self.began = perf_counter()

    @staticmethod
    def route_of(subject: Any, /) -> str:  # noqa: ARG004 - subclasses read the route from it
        """The template of the route, never the raw path."""
        return UNMATCHED

    def content_type(self) -> str:
        """The media type of the response, in lower case, without parameters. Asked of streams only."""
        return content_type_in(self.headers)

    def is_short(self, size: int) -> bool:  # noqa: ARG002 - subclasses that know what was promised look at it
        """Whether a body of so many bytes may be shorter than its head says."""
        return False

    def change_thread(self) -> None:
        """Call this before `end` if `end` may run in another thread than the one that made the request."""
        if self.is_open:
            self.lane = self.lane.here()

    def leave(self) -> None:
        """The request became a socket: it is over for the HTTP metrics, and its time is not observed."""
        if self.is_open:
            self.is_open = False
            self.lane.active[0] -= 1.0

    def end_ordinary(self, at: float, size: int = -1, promises: Sequence[tuple[Any, Any]] = ()) -> bool:
        """End a request that was answered `at` this time without an error, if one like it was counted before.

        False if it is left to `end`, which takes longer and knows everything. Not to be called for streams. A body of
        `size` bytes may not be shorter than its head says; `promises` has the headers that say so, for each of the
        smallest sizes. Most heads have just that one, and it is found without a look at each of them.
        This is one function, and does without `bisect` for quick answers: what runs after a framework's work runs
        cold, so each call and each library takes about three times as long as in a loop.
        """
        try:
            if size >= 0 and (size >= len(promises) or promises[size] not in self.headers) and self.is_short(size):
                return False
            lane = self.lane
            counts = lane.ordinary.get((self.route or self.route_of(self.subject), self.status))
            if counts is None or self.client_left:
                return False
            self.is_open = False
            lane.active[0] -= 1.0
            seconds = at - self.began
            counts[0 if seconds <= _QUICK else bisect_left(BOUNDS, seconds)] += 1.0
            counts[-1] += seconds
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("request")
            return False
        return True

    def end(self, failure: BaseException | None = None) -> None:
        """The request is over, now or at `complete`; `failure` is the exception that ended it. Raises nothing.

        If the caller left, the status is 499, and there is no error type. Otherwise the error type is the class of
        `failure`; without a failure, it is the status of an answer of 500 and more. A missing or invalid status
        counts as 500.

        Endless and long streams are not observed, unless they broke. A broken one is observed with the time to its
        headers: the error counts, and the mean still tells how fast the server is.
        """
        if not self.is_open:
            return
        self.is_open = False
        try:
            at = self.complete or perf_counter()
            lane = self.lane
            lane.active[0] -= 1.0
            status, error_type = CLIENT_GONE if self.client_left else self.status, ""
            shown = _STATUSES.get(status)
            if shown is None:  # none was sent, or it is no status
                status, shown = SERVER_ERROR, "500"
            if failure is not None and not self.client_left:
                error_type = type(failure).__name__
            elif status >= SERVER_ERROR:
                error_type = self.reported_error or shown
            since = self.since
            if since is not None and (
                at - since > LONG_STREAM or (self._goes_on(failure, at - since) and self._is_endless())
            ):
                if not error_type:
                    return
                at = since
            route = self.route or self.route_of(self.subject)
            self.counts = lane.observe(route, shown, error_type, at - self.began, self.subject, self.trace)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("request")

    def take_back(self, at: float) -> None:
        """An answer that was counted `at` this time, before its last byte was given away, could not be given away.

        The request is open again. Counting ahead is what loses nothing if the process is killed; a scrape between
        the two would see one answer too many, and servers refuse what they cannot send without letting others run.
        """
        try:
            if self.complete is None:  # by `end_ordinary`
                counts = self.lane.ordinary.get((self.route or self.route_of(self.subject), self.status))
            else:
                counts = getattr(self, "counts", None)
            self.is_open, self.complete = True, None
            self.lane.active[0] += 1.0
            if counts is not None:
                seconds = at - self.began
                counts[bisect_left(BOUNDS, seconds)] -= 1.0
                counts[-1] -= seconds
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("request")

    def _goes_on(self, failure: BaseException | None, seconds: float) -> bool:
        """Whether the body came in several pieces, broke or took long. One piece, sent at once, is no stream."""
        return self.is_stream or failure is not None or self.client_left or seconds > _PAUSE

    def _is_endless(self) -> bool:
        try:
            return self.content_type() in ENDLESS_TYPES
        except Exception:  # noqa: BLE001 - headers of any shape
            report("response headers")
            return False


def content_type_in(headers: Iterable[tuple[Any, Any]]) -> str:
    """The media type in these headers (text or bytes), in lower case, without parameters; empty if there is none."""
    for name, value in headers:
        if isinstance(name, bytes):
            name, value = name.decode("latin-1"), value.decode("latin-1")  # noqa: PLW2901 - the same header as text
        if name.lower() == "content-type":
            return str(value).partition(";")[0].strip().lower()
    return ""
