"""The limits of the HTTP interface: triggers of one operator, bytes of bodies at once, connections.

Here: counting by the monotonic clock, and closing idle connections. The numbers are configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from rearguard_controller.api.answers import BusyError, TooManyError
from rearguard_controller.config import Limits

MINUTE = 60.0
BODIES_AT_ONCE = 64 * 1024 * 1024  # bytes of deliveries that are read or stored at the same time
SWEEP_EVERY = 1.0  # seconds at most between two looks at the connections
MAX_LINE = 8 * 1024  # bytes of a request line
MAX_FIELD = 8 * 1024  # bytes of one header
MAX_HEADERS = 64


@dataclass(slots=True)
class Rate:
    """How often each operator asked within the last minute."""

    monotonic: Callable[[], float] = time.monotonic
    _asked: dict[str, deque[float]] = field(default_factory=dict)

    def take(self, name: str, most: int) -> None:
        """Count one more request.

        Raises:
            TooManyError: there were `most` in the last minute already; this one does not count.
        """
        now = self.monotonic()
        asked = self._asked.setdefault(name, deque())
        while asked and now - asked[0] >= MINUTE:
            asked.popleft()
        if len(asked) >= most:
            raise TooManyError(
                f"{name} has triggered {len(asked)} times within a minute.",
                hint="Is something calling in a loop? limits.triggers_per_minute is the bound.",
                wait=asked[0] + MINUTE - now,
            )
        asked.append(now)


@dataclass(slots=True)
class Room:
    """Bytes that may be held at once."""

    most: int
    held: int = 0

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Hold `size` bytes while the block runs. With nothing held, any size is let in.

        Raises:
            BusyError: that would be too much.
        """
        if self.held and self.held + size > self.most:
            raise BusyError("Too much is being delivered at once.", hint="Deliver again in a moment.")
        self.held += size
        try:
            yield
        finally:
            self.held -= size


class Connections:
    """Knows which connections are inside a request, and closes those that are idle for too long.

    Headers that never end and a pause between two requests look the same from here, and share one limit.
    """

    def __init__(self, limits: Callable[[], Limits]) -> None:
        """`limits` is asked at each look, so that a reload counts at once."""
        self._limits = limits
        self._busy: set[object] = set()
        self._idle_since: dict[object, float] = {}

    @contextlib.contextmanager
    def inside(self, connection: object) -> Iterator[None]:
        """Count this connection as busy while the block runs."""
        self._busy.add(connection)
        try:
            yield
        finally:
            self._busy.discard(connection)
            self._idle_since.pop(connection, None)

    async def watch(self, server: web.Server) -> None:
        """Sweep for ever, at most `SWEEP_EVERY` seconds apart."""
        while True:
            self.sweep(server.connections, time.monotonic())
            await asyncio.sleep(min(SWEEP_EVERY, self._limits().idle_timeout / 2))

    def sweep(self, connections: Sequence[RequestHandler], now: float) -> None:
        """Close connections that are idle for too long, and, where there are too many, those idle the longest."""
        limits = self._limits()
        idle = [each for each in connections if each not in self._busy]
        self._idle_since = {each: self._idle_since.get(each, now) for each in idle}
        idle.sort(key=self._idle_since.__getitem__)
        surplus = max(0, len(connections) - limits.connections)
        for place, connection in enumerate(idle):
            if place < surplus or now - self._idle_since[connection] >= limits.idle_timeout:
                connection.force_close()
