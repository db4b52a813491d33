"""The limits of the HTTP interface: triggers of one operator, bytes of bodies at once.

Here: counting by the monotonic clock. `door` bounds the connections.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from rearguard_controller.api.answers import BusyError, TooManyError

MINUTE = 60.0
BODIES_AT_ONCE = 64 * 1024 * 1024  # bytes of deliveries that are read or stored at the same time
MOST_BODIES = 64  # deliveries of one sender that are read or stored at the same time
MAX_LINE = 8 * 1024  # bytes of a request line
MAX_FIELD = 8 * 1024  # bytes of one header
MAX_HEADERS = 64

Sender = tuple[
    str, str
]  # the name of a token, and an address: a proxy has one address, and senders may share a token


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


@dataclass(slots=True, eq=False)
class Body:
    """What is held of one body."""

    room: Room
    sender: Sender
    limit: asyncio.Timeout | None = None  # of its reading, which a body that must make room ends
    size: int = 0
    is_whole: bool = False
    is_pushed_out: bool = False

    def __enter__(self) -> Self:
        """It is held while the block runs."""
        return self

    def __exit__(self, *_: object) -> None:
        """It is held no more."""
        self.room.leave(self)

    def grow(self, size: int) -> None:
        """So many bytes more have come.

        Raises:
            BusyError: it had to make room, or there is none and nobody who could make it.
        """
        if self.is_pushed_out:
            raise busy()
        self.room.grow(self, size)


class Room:
    """Bytes of bodies that may be held at once. What has not come yet takes no room.

    Nobody is kept out by others: whoever holds the most gives way, and of that sender the body that began first.
    """

    def __init__(self, most: int) -> None:
        """Hold at most `most` bytes."""
        self._most = most
        self._of: dict[Sender, dict[Body, None]] = {}  # the oldest first
        self.held = 0  # bytes that are held now

    def take(self, sender: Sender) -> Body:
        """A body, to be used as a context. Of one sender's many, the one that began first gives way."""
        body, own = Body(self, sender), self._of.setdefault(sender, {})
        if len(own) >= MOST_BODIES:
            self._push_out(sender)
        own[body] = None
        return body

    def leave(self, body: Body) -> None:
        """A body is held no more."""
        own = self._of.get(body.sender)
        if own is None:
            return
        if body in own:  # else it was pushed out
            del own[body]
            self.held -= body.size
        if not own:
            del self._of[body.sender]

    def grow(self, body: Body, size: int) -> None:
        """Hold more of a body; `Body.grow` says when that fails."""
        body.size += size
        self.held += size
        while self.held > self._most:
            if not self._push_out(max(self._of, key=self._size), newcomer=body):
                raise busy()

    def _size(self, sender: Sender) -> int:
        return sum(body.size for body in self._of[sender])

    def _push_out(self, sender: Sender, newcomer: Body | None = None) -> bool:
        """End the reading of this sender's oldest body; False if it has no other than the newcomer's to read."""
        for body in self._of[sender]:
            if body is not newcomer and body.limit is not None and not body.is_whole and not body.limit.expired():
                self.held -= body.size
                body.is_pushed_out, body.size = True, 0
                del self._of[sender][body]
                body.limit.reschedule(asyncio.get_running_loop().time())
                return True
        return False


def busy() -> BusyError:
    """What a sender is told that has to make room."""
    return BusyError("Too much is being delivered at once.", hint="Deliver again in a moment.")
