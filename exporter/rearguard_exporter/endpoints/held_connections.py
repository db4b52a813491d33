"""The connections that the port of its own holds, and the choice of the one that makes room for a new one."""

import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass


@dataclass(slots=True)
class _Held:
    address: str
    since: float  # when it began to wait for its next request, or to take an answer
    renders: bool = False


class HeldConnections:
    """Which connections are open, and what each does. Threads may call it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[socket.socket, _Held] = {}

    def enter(self, connection: socket.socket, address: str) -> None:
        """A connection is served from now on."""
        with self._lock:
            self._held[connection] = _Held(address, time.monotonic())

    def leave(self, connection: socket.socket) -> None:
        """It is served no more."""
        with self._lock:
            self._held.pop(connection, None)

    def renders(self, connection: socket.socket) -> None:
        """Its answer is being made: nothing can interrupt that."""
        with self._lock:
            if connection in self._held:
                self._held[connection].renders = True

    def waits(self, connection: socket.socket) -> None:
        """It waits for its peer: for the next request, or until the peer has taken the answer."""
        with self._lock:
            if connection in self._held:
                self._held[connection].renders = False
                self._held[connection].since = time.monotonic()

    def end_idlest(self, newcomer: str) -> None:
        """Of the address that has the most connections, end the one that waits for the longest time.

        The address of the newcomer counts one more. Nothing is ended while every answer is being made.
        """
        with self._lock:
            waiting = {each: held for each, held in self._held.items() if not held.renders}
            if not waiting:
                return
            sizes = Counter([held.address for held in self._held.values()] + [newcomer])
            most = max(sizes[held.address] for held in waiting.values())
            greediest = [each for each, held in waiting.items() if sizes[held.address] == most]
            idlest = min(greediest, key=lambda each: waiting[each].since)
            del self._held[idlest]
            with suppress(OSError):  # it has ended by itself
                idlest.shutdown(socket.SHUT_RDWR)
