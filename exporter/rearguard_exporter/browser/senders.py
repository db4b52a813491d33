"""Who may send beacons, and how many: origins and a rate.

Origins keep other sites' pages out. They are no defence against a program, which writes any header: the rate is.
"""

import threading
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from rearguard_exporter.fork_safety import tell_after_fork


class Sender(NamedTuple):
    """The headers of a request that say where it comes from and what it brings; empty if they are missing."""

    origin: str = ""
    host: str = ""
    site: str = ""  # Sec-Fetch-Site
    content_type: str = ""
    content_length: str = ""


class Origins:
    """The service's own origin, and those that the user listed."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._listed = {origin: origin for origin in origins}

    def listed(self, origin: str) -> str | None:
        """This origin as the user wrote it; None if it is not listed."""
        return self._listed.get(origin)

    def may_send(self, sender: Sender) -> bool:
        """Whether this page may send. Proxies may change `Host`, so the browser's own word counts, too."""
        origin = sender.origin
        if not origin or sender.site == "same-origin" or origin in self._listed:
            return True
        try:
            return bool(sender.host) and urlsplit(origin).netloc == sender.host
        except ValueError:
            return False


class RateLimit:
    """Allows `rate` a second, and twice as many at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, 2 * rate)
        self._left = self._most
        self._at = time.monotonic()
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process nobody holds the lock."""
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether one more is allowed now. If so, it is counted."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
