"""The limits of the HTTP interface: triggers of one operator, bytes of bodies at once.

Here: counting by the monotonic clock. `door` bounds the connections.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rearguard_controller.api.answers import BusyError, TooManyError

MINUTE = 60.0
BODIES_AT_ONCE = 64 * 1024 * 1024  # bytes of deliveries that are read or stored at the same time
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
