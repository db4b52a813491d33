"""Use of processors by mode, in the words of OpenTelemetry's `cpu.mode`, from two readings of the system's clocks.

Never here: idling and waiting for disks. Without them the modes add up to the use.
"""

from collections.abc import Mapping
from typing import Any

Seconds = Mapping[str, float]
"""Seconds that processors were busy since some beginning, by mode."""

# Seconds between readings: clocks tick in hundredths, and two late looks can follow each other closely.
_LEAST = 0.5


class ProcessorUse:
    """The share of each mode between the last two readings."""

    def __init__(self) -> None:
        self._before: tuple[Seconds, float] | None = None
        self._shares: dict[str, float] = {}

    def since_last(self, seconds: Seconds, whole: float) -> dict[str, float]:
        """What each mode took of the time that passed since the reading before; empty at the first one.

        `whole` is the time of which the shares are taken, in seconds since some beginning. As long as it has moved by
        less than half a second, the shares are those of before: one tick of a clock would make more than there is.
        """
        if self._before is None:
            self._before = seconds, whole
        before, began = self._before
        if whole - began >= _LEAST:
            self._before = seconds, whole
            self._shares = {
                mode: max(0.0, now - before.get(mode, 0.0)) / (whole - began) for mode, now in seconds.items()
            }
        return self._shares


def of_process(times: Any) -> Seconds:
    """The modes of a process, of what psutil reads."""
    return {"user": times.user, "system": times.system}


def of_host(times: Any) -> tuple[Seconds, float]:
    """The modes of a host, and the time of all its processors, of what psutil reads. Systems differ in the modes."""
    interrupts = [getattr(times, name, 0.0) for name in ("irq", "softirq", "interrupt")]
    kept = {name: getattr(times, name) for name in ("user", "system", "nice", "steal") if hasattr(times, name)}
    in_user = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # Linux counts guests there, too
    return {**kept, "interrupt": sum(interrupts)}, sum(times) - in_user
