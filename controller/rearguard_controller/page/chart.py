"""A time-line as SVG: the figure of a trigger with its threshold, the versions that served, and what happened.

Here: numbers to places in the picture. It is drawn without script, and said in words beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rearguard_controller.api.services import Curve
from rearguard_controller.model import VERSION_LABEL, Release, Rollback, StepKind
from rearguard_controller.wording import number

SPANS = {"hour": 3600.0, "day": 86400.0, "fortnight": 14 * 86400.0}
WIDTH, HEIGHT = 960, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 26
MOST_CURVES = 3
MOST_MARKS = 40
TICKS = 4
_EMPTY_SPAN = 1.0


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, in seconds since the epoch."""

    start: float
    end: float

    def place(self, at: float) -> float:
        """Where a moment is, from left to right; moments outside are at the edge."""
        part = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)


def bands(
    releases: Sequence[Release], serving: str | None, serving_since: float | None, period: Period
) -> list[object]:
    """The versions that served, each with its place: from when it was first seen serving to the next one."""
    began = [(each.served_at, each.version) for each in releases if each.served_at is not None]
    if serving is not None and serving_since is not None:
        began = [each for each in began if each[1] != serving or each[0] < serving_since] + [(serving_since, serving)]
    began.sort()
    found: list[object] = []
    for place, (at, version) in enumerate(began):
        until = began[place + 1][0] if place + 1 < len(began) else period.end
        if until <= period.start or at >= period.end:
            continue
        left, right = period.place(at), period.place(until)
        found.append({"x": left, "width": round(right - left, 1), "version": version, "odd": place % 2})
    return found


def curves(found: Sequence[Curve], threshold: float | None, period: Period) -> dict[str, object]:
    """The lines of a figure, one for each version, its threshold, and the scale beside them."""
    values = [value for curve in found for _, value in curve.points if math.isfinite(value)]
    top = max([*values, 0.0 if threshold is None else threshold * 1.2]) or _EMPTY_SPAN
    low = min([*values, 0.0])
    height = HEIGHT - TOP - BOTTOM

    def level(value: float) -> float:
        return round(TOP + height - (value - low) / (top - low or _EMPTY_SPAN) * height, 1)

    lines = [
        {
            "version": curve.labels.get(VERSION_LABEL, ""),
            "points": " ".join(
                f"{period.place(at)},{level(value)}" for at, value in curve.points if math.isfinite(value)
            ),
            "highest": number(max((value for _, value in curve.points), default=None)),
        }
        for curve in found[:MOST_CURVES]
        if curve.points
    ]
    steps = [low + (top - low) * part / TICKS for part in range(TICKS + 1)]
    return {
        "lines": lines,
        "limit": None if threshold is None else {"y": level(threshold), "told": number(threshold)},
        "levels": [{"y": level(each), "told": number(each)} for each in steps],
    }


def marks(rollbacks: Sequence[Rollback], period: Period) -> list[dict[str, object]]:
    """When rollbacks were opened, put the version back, and ended."""
    found = []
    for each in rollbacks:
        step = each.step_of(StepKind.ROLL_BACK)
        moments = [(each.opened_at, "rollback opened", "mark")]
        if step is not None and step.ended_at is not None:
            moments.append((step.ended_at, f"{each.to_version} put back", "mark step"))
        if each.closed_at is not None and each.outcome is not None:
            moments.append((each.closed_at, each.outcome.value.replace("_", " "), "mark step"))
        found += [
            {"x": period.place(at), "at": told_moment(at), "told": told, "kind": kind, "id": each.id}
            for at, told, kind in moments
            if period.start <= at <= period.end
        ]
    return found[:MOST_MARKS]


def hours(period: Period) -> list[dict[str, object]]:
    """The moments below the picture."""
    form = "%H:%M" if period.end - period.start <= SPANS["day"] else "%d %b"
    found = []
    for part in range(TICKS + 1):
        at = period.start + (period.end - period.start) * part / TICKS
        found.append({"x": period.place(at), "told": datetime.fromtimestamp(at, UTC).strftime(form)})
    return found


def told_moment(at: float) -> str:
    """A moment for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
