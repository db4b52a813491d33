"""What is wrong with the controller itself, in sentences for status: deliveries that were refused, a failed reload.

Here: memory of what was refused lately. Each kind is logged once a minute, however often it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from rearguard_controller.errors import RearguardError, sentences
from rearguard_controller.wording import clock_time, span

log = structlog.get_logger(__name__)

TOLD_FOR = 600.0  # seconds since the last refusal in which status tells of it
LOGGED_EVERY = 60.0  # seconds between two lines about refused deliveries


@dataclass(slots=True)
class Warnings:
    """Remembers what is wrong; `clock` gives seconds since the epoch."""

    clock: Callable[[], float]
    _refused: int = field(default=0, init=False)
    _refused_at: float = field(default=0.0, init=False)
    _why: str = field(default="", init=False)
    _logged_at: float | None = field(default=None, init=False)
    _not_reloaded: str = field(default="", init=False)

    def refused(self, status: int, error: RearguardError) -> None:
        """A delivery was refused with this HTTP status, because its sender may not deliver."""
        now = self.clock()
        self._refused = self._refused + 1 if now - self._refused_at <= TOLD_FOR else 1
        self._refused_at, self._why = now, f"{status}: {sentences(error)}"
        if self._logged_at is None or not 0 <= now - self._logged_at < LOGGED_EVERY:
            self._logged_at = now
            log.warning("delivery_refused", status=status, times=self._refused, error=error.message, hint=error.hint)

    def accepted(self) -> None:
        """A delivery was taken: what was wrong with deliveries is mended."""
        self._refused = 0

    def not_reloaded(self, error: RearguardError) -> None:
        """The configuration was read again and could not be used."""
        at = clock_time(self.clock())
        self._not_reloaded = (
            f"The configuration was not reloaded at {at}, the one before still counts: {sentences(error)}"
        )

    def reloaded(self) -> None:
        """It was read again and is used."""
        self._not_reloaded = ""

    def told(self, fault: RearguardError | None = None) -> list[str]:
        """The sentences; none when nothing is wrong. `fault` is why the journal cannot be used."""
        told = [] if fault is None else [sentences(fault)]
        told += [self._not_reloaded] if self._not_reloaded else []
        ago = self.clock() - self._refused_at
        if self._refused and ago <= TOLD_FOR:
            times = "once" if self._refused == 1 else f"{self._refused} times"
            last = span(max(0.0, ago))
            told.append(f"Alertmanager's deliveries are refused, {times}, last {last} ago, with {self._why}")
        return told
