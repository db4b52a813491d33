"""The status of a process: healthy, degraded or unhealthy, and why.

It is judged over the last minutes, by the default thresholds and floors of the rules (rules/thresholds.yml). What may
roll a release back is unhealthy; what only warns is degraded. It is a look at one process: Prometheus decides.
Never here: clocks.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from enum import StrEnum, unique
from operator import sub
from typing import NamedTuple

WINDOW = 300.0
"""Seconds of the past that are judged."""

_ERROR_RATIO = 0.10
_MEAN_SECONDS = 5.0
_DB_MEAN_SECONDS = 1.0
_ABNORMAL_RATIO = 0.50
_MEMORY_HIGH, _MEMORY_CRITICAL = 0.80, 0.95
_PER_MINUTE = 10.0  # fewer requests, operations or disconnects say nothing
_FAILURES = 10.0
_MINUTE = 60.0


@unique
class Status(StrEnum):
    """The status, from the lightest to the heaviest."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class Totals(NamedTuple):
    """What was counted up to a moment, or between two moments."""

    requests: float = 0.0
    errors: float = 0.0
    request_seconds: float = 0.0
    operations: float = 0.0
    operation_seconds: float = 0.0
    disconnects: float = 0.0
    abnormal: float = 0.0

    def since(self, earlier: "Totals") -> "Totals":
        """What was counted after `earlier`."""
        return Totals(*map(sub, self, earlier))


class Recent:
    """Remembers totals, to tell what was counted in the last `WINDOW` seconds."""

    def __init__(self, began: float) -> None:
        self._kept: deque[tuple[float, Totals]] = deque([(began, Totals())])

    def note(self, now: float, totals: Totals) -> None:
        """Remember the totals of this moment. Called every few seconds."""
        self._kept.append((now, totals))
        while len(self._kept) > 1 and self._kept[1][0] <= now - WINDOW:
            self._kept.popleft()

    def until(self, now: float, totals: Totals) -> tuple[float, Totals]:
        """The length of the window in seconds, and what was counted in it."""
        began, earlier = self._kept[0]
        return max(0.0, now - began), totals.since(earlier)


def judge(
    seconds: float,
    recent: Totals,
    memory: float | None,
    databases: Mapping[str, bool | None],
    pools: Sequence[Mapping[str, object]],
) -> tuple[Status, list[str]]:
    """The status, and a sentence for each reason, the heaviest first. `memory` is used memory over its limit."""
    bad = [f"database {name} does not answer" for name, ok in databases.items() if ok is False]
    bad += _of_requests(seconds, recent)
    warnings = []
    if recent.operations >= _floor(seconds) and recent.operation_seconds / recent.operations > _DB_MEAN_SECONDS:
        mean = recent.operation_seconds / recent.operations
        warnings.append(f"database operations take {mean:.1f} s on average")
    if memory is not None and memory >= _MEMORY_HIGH:
        (bad if memory >= _MEMORY_CRITICAL else warnings).append(f"memory is at {memory:.0%} of its limit")
    warnings += [
        f"pool {pool['name']} is exhausted: {pool['pending']} wait"
        for pool in pools
        if pool.get("pending") and pool.get("maximum") is not None and pool.get("used") == pool["maximum"]
    ]
    if bad:
        return Status.UNHEALTHY, bad + warnings
    return (Status.DEGRADED if warnings else Status.HEALTHY), warnings


def _of_requests(seconds: float, recent: Totals) -> list[str]:
    reasons = []
    floor = _floor(seconds)
    if recent.requests >= floor:
        ratio, mean = recent.errors / recent.requests, recent.request_seconds / recent.requests
        if ratio > _ERROR_RATIO and recent.errors >= _FAILURES:
            reasons.append(f"{ratio:.0%} of {recent.requests:.0f} requests failed")
        if mean > _MEAN_SECONDS:
            reasons.append(f"requests take {mean:.1f} s on average")
    if recent.disconnects >= floor and recent.abnormal / recent.disconnects > _ABNORMAL_RATIO:
        ratio = recent.abnormal / recent.disconnects
        reasons.append(f"{ratio:.0%} of {recent.disconnects:.0f} WebSocket disconnects were abnormal")
    return reasons


def _floor(seconds: float) -> float:
    return max(_PER_MINUTE, _PER_MINUTE * seconds / _MINUTE)
