"""What the controller itself runs short of: file descriptors, memory, processes.

Here: telling such an error from every other one, the pauses between tries, and noting it. An action that could not
begin for want of a resource has not failed: nothing has happened yet.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

DESCRIPTORS, MEMORY, PROCESSES = "file descriptors", "memory", "processes"
SHORT_OF = (DESCRIPTORS, MEMORY, PROCESSES)
PAUSE_FIRST = 0.1  # seconds until the next try; doubles up to PAUSE_MOST
PAUSE_MOST = 5.0
TOLD_EVERY = 10.0  # seconds between two lines of the log about the same resource
_ERRNOS = {
    errno.EMFILE: DESCRIPTORS,
    errno.ENFILE: DESCRIPTORS,
    errno.ENOMEM: MEMORY,
    errno.ENOBUFS: MEMORY,
    errno.EAGAIN: PROCESSES,  # of fork and exec; a connection never gives it
}
_NO_THREAD = "can't start new thread"  # Python has no type for it; a name is looked up in a thread


class Shortages:
    """Notes each try that failed for want of a resource."""

    def __init__(self, count: Callable[[str], None] = lambda _resource: None) -> None:
        """`count` is called with the resource at each try."""
        self._count = count
        self._told: dict[str, float] = {}

    def note(self, what: str, resource: str) -> None:
        """`what` could not begin."""
        self._count(resource)
        now = time.monotonic()
        if now - self._told.get(resource, float("-inf")) >= TOLD_EVERY:
            self._told[resource] = now
            log.warning("short_of_resources", what=what, resource=resource)


class Patience:
    """The tries of one action: how long it may still wait, and how long to pause."""

    def __init__(self, limit: float) -> None:
        """Try for `limit` seconds from now."""
        self._until = time.monotonic() + limit
        self._pause = PAUSE_FIRST

    def pause(self) -> float | None:
        """Seconds until the next try; None when the time is up."""
        pause, self._pause = self._pause, min(PAUSE_MOST, self._pause * 2)
        return pause if time.monotonic() + pause < self._until else None


def missing(error: BaseException) -> str:
    """The resource whose want is behind an error, or behind what caused it; empty for any other error."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MemoryError):
            return MEMORY
        if isinstance(found, RuntimeError) and _NO_THREAD in str(found):
            return PROCESSES
        if isinstance(found, socket.gaierror):  # its number does not tell
            return DESCRIPTORS if _no_descriptor_is_left() else ""
        if isinstance(found, OSError) and found.errno in _ERRNOS:
            return _ERRNOS[found.errno]
        inner = getattr(found, "os_error", None)  # of aiohttp
        found = inner if isinstance(inner, BaseException) else found.__cause__
    return ""


def _no_descriptor_is_left() -> bool:
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def sentence(what: str, resource: str) -> str:
    """What is said of an action that never began."""
    return f"{what} could not begin: the controller has no {resource} left; nothing was done"
