"""The life of one HTTP request as metrics, whatever the framework.

Here: what is an error, and what stays out of the durations, decided once for all adapters, in as few steps as can be:
a thread has a `Lane` for each method, from which a request reaches its counts by one look-up.
Never here: frameworks.
"""

import threading
from bisect import bisect_left
from threading import get_ident
from time import perf_counter
from typing import Final

from rearguard_exporter.families import HTTP_DURATION, OTHER
from rearguard_exporter.values.exemplars import Trace
from rearguard_exporter.values.instruments import Instruments
from rearguard_exporter.values.slots import Key

KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""The methods that OpenTelemetry's HTTP conventions know."""

ENDLESS_TYPES: Final = frozenset({"text/event-stream", "multipart/x-mixed-replace"})
"""Content types whose responses last as long as somebody listens: their duration says nothing about the server."""

LONG_STREAM: Final = 10.0
"""Seconds after which a body that its handler still writes, of announced length or not, counts as a long stream."""

CLIENT_GONE: Final = 499
"""The status recorded when the caller left before the answer; never sent. An error of neither side's code."""

_SERVER_ERROR = 500
_BOUNDS: Final = HTTP_DURATION.bounds
_STATUSES: Final = {status: str(status) for status in range(100, 1000)}


def method_label(method: str) -> str:
    """The method when it is a known one, else `_OTHER`."""
    return method if method in KNOWN_METHODS else OTHER


class Lane:
    """What one thread counts of the requests of one method. Used by no other thread."""

    __slots__ = ("_durations", "_table", "active", "additions", "instruments", "lanes", "method", "thread")

    def __init__(self, lanes: "Lanes", instruments: Instruments, method: str) -> None:
        self.lanes = lanes
        self.instruments = instruments
        self.method = method
        self.thread = get_ident()
        self.active = instruments.http_active.mine(instruments.http_active.child(method))
        """In its only place, how many requests began on this lane less those that ended; whoever begins adds."""
        self.additions = instruments.additions()
        self._durations = instruments.http_duration
        self._table = instruments.http_duration.table

    def here(self) -> "Lane":
        """The lane of this method for the thread that asks."""
        return self if self.thread == get_ident() else self.lanes.of.get(self.method) or self.lanes.open(self.method)

    def end(
        self,
        route: str,
        status: int,
        error_type: str,
        began: float,
        at: float,
        since: float | None = None,
        endless: bool = False,
        request: object = None,
        trace: Trace | None = None,
    ) -> None:
        """A request that was active since `began` was answered `at` with `status`; 500 and more is an error.

        Of a body that was streamed `since` then, endless and long ones are not observed. One that broke is, with the
        time to its headers, so that the error counts and the mean stays the server's. `request` is what the user's
        hooks for labels are shown, `trace` the one that it was in where that is over by now.
        """
        self.active[0] -= 1.0
        shown = _STATUSES.get(status)
        if shown is None:  # what no server sends
            status, shown = _SERVER_ERROR, "500"
        if status >= _SERVER_ERROR and not error_type:
            error_type = shown
        if since is not None and (endless or at - since > LONG_STREAM):
            if not error_type:
                return
            at = since
        key: Key = (self.method, route, shown, error_type)
        seconds = at - began
        additions = self.additions
        if additions is not None:
            key = additions.labelled(key, request)
        try:
            counts = self._table[key]
        except KeyError:
            counts = self._durations.open(key)
        counts[bisect_left(_BOUNDS, seconds)] += 1.0
        counts[-1] += seconds
        if additions is not None:
            additions.note(self._durations, key, seconds, trace)


class Lanes(threading.local):
    """The lanes of the thread that asks: `of` by method, and `open` for a method that is not there yet."""

    def __init__(self, instruments: Instruments) -> None:
        self.of: dict[str, Lane] = {}
        self._instruments = instruments

    def open(self, method: str) -> Lane:
        """The lane of this method; that of `_OTHER` for an unknown one, which is never found in `of` itself."""
        method = method_label(method)
        lane = self.of.get(method)
        if lane is None:
            lane = self.of[method] = Lane(self, self._instruments, method)
        return lane


class Exchange:
    """One request being answered: active from its creation until it ends or becomes a socket.

    Every method is safe to call once more; only the first end counts.
    """

    __slots__ = ("began", "is_open", "lane", "since")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        lane.active[0] += 1.0
        self.is_open = True
        """Whether the request is still being answered."""
        self.since: float | None = None
        """When the handler had sent the headers of a body that it goes on writing."""
        self.began = perf_counter()

    def leave(self) -> None:
        """The request is over for the HTTP metrics, without an observation (it became a socket)."""
        if self.is_open:
            self.is_open = False
            self.lane.active[0] -= 1.0

    def end(
        self,
        route: str,
        status: int,
        error_type: str = "",
        *,
        endless: bool = False,
        request: object = None,
        trace: Trace | None = None,
    ) -> None:
        """The request was answered with `status`, now."""
        if self.is_open:
            self.is_open = False
            self.lane.end(route, status, error_type, self.began, perf_counter(), self.since, endless, request, trace)
