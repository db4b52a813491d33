"""Where requests are counted: each thread has a `Lane` for each method and scheme: nothing is locked."""

import threading
from bisect import bisect_left
from threading import get_ident
from typing import Final

from rearguard_exporter.families import HTTP_DURATION, OTHER, UNMATCHED
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.counts import Counts, Key
from rearguard_exporter.values.exemplars import Trace
from rearguard_exporter.values.instruments import Instruments

KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""The methods that OpenTelemetry's HTTP conventions know."""

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

_FAILING: Final = "400"  # statuses below it are of requests that the application serves

BOUNDS: Final = HTTP_DURATION.bounds
"""Upper bounds of the buckets of a request's duration, seconds."""


def method_label(method: str) -> str:
    """The method if it is a known one, else `_OTHER`."""
    return method if method in KNOWN_METHODS else OTHER


def scheme_label(scheme: str) -> str:
    """`http` or `https`, also of a WebSocket's handshake; anything else is `_OTHER`, because a header may say it."""
    return _SCHEMES.get(scheme, OTHER)


class Lane:
    """What one thread counts of the requests of one method and scheme. No other thread may use it."""

    __slots__ = (
        "_durations", "_table", "active", "extras", "instruments", "lanes", "method", "ordinary", "scheme", "thread",
    )  # fmt: skip

    def __init__(self, lanes: "Lanes", instruments: Instruments, method: str, scheme: str) -> None:
        self.lanes = lanes
        self.instruments = instruments
        self.method = method
        self.scheme = scheme
        self.thread = get_ident()
        self.active = instruments.http_active.mine(instruments.http_active.child(method, scheme))
        """Its only item: how many requests began on this lane, less those that ended on it."""
        self.extras = instruments.extras()
        self.ordinary: dict[tuple[str, int], Counts] = {}
        """Where answers without an error are counted, by route and status, from their third on; empty with extras."""
        self._durations = instruments.http_duration
        self._table = instruments.http_duration.table

    def here(self) -> "Lane":
        """The lane of the same requests for the thread that asks."""
        return self if self.thread == get_ident() else self.lanes.open(self.method, self.scheme)

    def observe(
        self, route: str, status: str, error_type: str, seconds: float, request: object, trace: Trace | None
    ) -> Counts:
        """Count a request that took `seconds`, and return where.

        `request` is what the user's label hooks are shown. `trace` is the request's trace, if that is over by now;
        None means the trace that is active here.
        """
        key: Key = (self.method, route, status, error_type)
        extras = self.extras
        if extras is not None:
            key = extras.labelled(key, request)
        try:
            counts = self._table[key]
        except KeyError:
            counts = self._durations.open(key)
            if route == UNMATCHED and status < _FAILING:
                self.instruments.tell_unmatched()
        else:
            if extras is None and not error_type:
                self.ordinary[route, int(status)] = counts
        counts[bisect_left(BOUNDS, seconds)] += 1.0
        counts[-1] += seconds
        if extras is not None:
            extras.note(self._durations, key, seconds, trace)
        return counts


class Lanes(threading.local):
    """The lanes of the thread that asks, by method and scheme in `of`; `open` makes those that are missing."""

    def __init__(self, instruments: Instruments) -> None:
        self.of: dict[tuple[str, str], Lane] = {}
        self._instruments = instruments
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process, which has the thread that forked alone, lanes are opened anew: its counts may move."""
        self.of.clear()

    def open(self, method: str, scheme: str = "http") -> Lane:
        """The lane of this method and scheme. Unknown ones share the lanes that `of` has under the name `_OTHER`."""
        shown = method_label(method), scheme_label(scheme)
        lane = self.of.get(shown)
        if lane is None:
            lane = self.of[shown] = Lane(self, self._instruments, *shown)
        return lane
