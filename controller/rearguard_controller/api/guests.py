"""Accepted connections, by the address that they come from and by what they do: which of them is missed least.

Here: the record of a connection, and the order in which the connections of one address make room.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from enum import Enum, auto, unique

GRACE = 1.0  # seconds that a new connection has for its first byte before it counts as idle
SILENT_SHARE = 2  # connections without a byte yet have one of so many parts of what their address has
STRANGE_SHARE = 4  # and those on which no token was shown one of so many


@unique
class State(Enum):
    """What a connection does."""

    SILENT = auto()  # no byte has come yet
    STRANGE = auto()  # between requests, or within headers or a handshake; no token was shown on it yet
    KNOWN = auto()  # between requests; a token was shown on it
    BUSY = auto()  # a request of it is being answered


class Guest(socket.socket):
    """An accepted connection. It tells when it is closed, whoever closes it."""

    def __init__(self, descriptor: int, party: Party, left: Callable[[Guest], None]) -> None:
        """`left` is called right before it is closed."""
        super().__init__(fileno=descriptor)
        self.party = party
        self.state = State.SILENT
        self.since = 0.0
        self.is_known = self.is_gone = False
        self.connecting: asyncio.Task[None] | None = None
        self.transport: asyncio.WriteTransport | None = None
        self._left = left

    def has_left(self) -> bool:
        """Whether the peer has closed it without a byte."""
        try:
            return not self.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close it; a second call changes nothing."""
        if self.fileno() >= 0:
            self._left(self)
        super().close()


class Party:
    """The connections of one address. Those of each state stand in the order in which they came into it."""

    def __init__(self, name: str) -> None:
        """`name` is the address."""
        self.name = name
        self.size = 0  # connections that are open
        self._of: dict[State, dict[Guest, None]] = {state: {} for state in State}

    def of(self, state: State) -> Iterable[Guest]:
        """The connections of one state."""
        return self._of[state]

    def enter(self, guest: Guest, now: float) -> None:
        """A connection came."""
        self.size += 1
        self.move(guest, State.SILENT, now)

    def move(self, guest: Guest, state: State, now: float) -> None:
        """A connection does something else from now on."""
        self._of[guest.state].pop(guest, None)
        self._of[state][guest] = None
        guest.state, guest.since = state, now

    def forget(self, guest: Guest) -> None:
        """A connection has gone."""
        self._of[guest.state].pop(guest, None)
        self.size -= 1

    def idle_since(self, oldest: float) -> list[Guest]:
        """Connections that have not been inside a request since that time."""
        idle = []
        for state in (State.SILENT, State.STRANGE, State.KNOWN):
            for guest in self._of[state]:
                if guest.since > oldest:
                    break
                idle.append(guest)
        return idle

    def idlest(self, newcomer: Guest | None, grace_began: float) -> Guest:
        """The connection that is missed least: never the newcomer, unless it is alone.

        Those that nobody knows cannot push out those that have shown a token, nor these the new ones: each keep a
        part of what the address has.

        Args:
            newcomer: the one that room is made for.
            grace_began: since when a connection without a byte does not count as idle yet.
        """
        silent, strange = self._of[State.SILENT], self._of[State.STRANGE]
        oldest = next(iter(silent), None)
        is_late = oldest is not None and oldest.since <= grace_began
        if is_late or len(silent) > self.size // SILENT_SHARE:
            order = [State.SILENT, State.STRANGE, State.KNOWN, State.BUSY]
        elif len(strange) > self.size // STRANGE_SHARE:
            order = [State.STRANGE, State.KNOWN, State.SILENT, State.BUSY]
        else:
            order = [State.KNOWN, State.STRANGE, State.SILENT, State.BUSY]
        return next(guest for state in order for guest in self._of[state] if guest is not newcomer or self.size == 1)
