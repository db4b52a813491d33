"""The life of one HTTP request as metrics, whatever the framework.

Never here: frameworks. What is an error, and what stays out of the durations, is decided here once for all adapters.
"""

import time
from typing import Final

from rearguard_exporter.exemplars import Trace
from rearguard_exporter.instruments import Instruments
from rearguard_exporter.metrics import OTHER
from rearguard_exporter.slots import Key

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


_KEYS: Final = {method: (method,) for method in (*KNOWN_METHODS, OTHER)}
_STATUSES: Final = {status: str(status) for status in range(100, 600)}


def method_label(method: str) -> str:
    """The method when it is a known one, else `_OTHER`."""
    return method if method in KNOWN_METHODS else OTHER


class Exchange:
    """One request being answered: counted as active from its creation until it ends or becomes a socket.

    Every method is safe to call once more; only the first end counts.
    """

    __slots__ = ("_began", "_instruments", "_key", "_open", "_streaming_since", "trace")

    def __init__(self, instruments: Instruments, method: str) -> None:
        self._instruments = instruments
        self._key = key = _KEYS.get(method) or _KEYS[OTHER]
        instruments.http_active.add(key, 1.0)
        self._open = True
        self._streaming_since: float | None = None
        self.trace: Trace | None = None  # where the adapter knows of one that is over when the request ends
        self._began = time.perf_counter()

    @property
    def is_open(self) -> bool:
        """Whether the request is still being answered."""
        return self._open

    def streaming(self) -> None:
        """The handler sent the headers of a body and goes on writing it."""
        self._streaming_since = time.perf_counter()

    def leave(self) -> None:
        """The request is over for the HTTP metrics, without an observation (it became a socket, or is endless)."""
        if self._open:
            self._open = False
            self._instruments.http_active.add(self._key, -1.0)

    def end(
        self,
        route: str,
        status: int,
        error_type: str = "",
        *,
        endless: bool = False,
        at: float | None = None,
        request: object = None,
    ) -> None:
        """The request was answered with `status`. A status of 500 and more is an error also without a type.

        Endless and long streams are not observed. One that broke is, with the time to its headers, so that the
        error counts and the mean stays the server's. `at` is when the answer was complete, now by default; `request`
        is what the user's hooks for labels are shown.
        """
        if not self._open:
            return
        now = time.perf_counter() if at is None else at
        self._open = False
        instruments = self._instruments
        instruments.http_active.add(self._key, -1.0)
        since = self._streaming_since
        if since is not None and (endless or now - since > LONG_STREAM):
            if not error_type:
                return
            now = since
        if not error_type and status >= _SERVER_ERROR:
            error_type = str(status)
        key: Key = (self._key[0], route, _STATUSES.get(status) or str(status), error_type)
        if instruments.request_labels is not None:
            key += instruments.request_labels.of(request)
        instruments.http_duration.observe(key, now - self._began)
        if instruments.exemplars.on:
            instruments.exemplars.note(instruments.http_duration, key, now - self._began, self.trace)
