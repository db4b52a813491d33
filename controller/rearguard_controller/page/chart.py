"""A time-line as SVG: the figure of a trigger with its limit, the versions that served, and what happened.

Here: numbers to places in the picture. It is drawn without script, and said in words beside it. A line is drawn only
where there is data: a gap stays a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from rearguard_controller.wording import number

SPANS = {"hour": 3600.0, "day": 86400.0, "fortnight": 14 * 86400.0}
POINTS = 240  # of a line that is drawn
WIDTH, HEIGHT = 960, 220  # of the picture above its lanes
FLAT = 76  # its height where it has no figure
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 8
LANE, HOURS = 22, 22  # heights
MOST_CURVES = 3
MOST_MARKS = 40
MOST_LANES = 4  # of alerts
TICKS = 4
APART = 110  # between two names, so that both can be read
WIDEST_NAME = 260
_EMPTY_SPAN = 1.0
_GAP = 1.5  # steps between two points that are joined

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, in seconds since the epoch."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points that are asked for."""
        return max(1.0, (self.end - self.start) / POINTS)

    def holds(self, at: float) -> bool:
        """Whether a moment lies in it."""
        return self.start <= at <= self.end

    def place(self, at: float) -> float:
        """Where a moment is, from left to right; moments outside are at the edge."""
        part = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)


class Served(NamedTuple):
    """A version, and from when to when it served."""

    version: str
    start: float
    end: float


class Fired(NamedTuple):
    """An alert, and from when to when it fired."""

    name: str
    start: float
    end: float


class Moment(NamedTuple):
    """Something that happened: what, of which kind, and the page about it, if there is one."""

    at: float
    told: str
    kind: str
    to: str = ""
    name: str = ""  # written beside it


def bands(served: Sequence[Served], period: Period) -> list[object]:
    """The versions that served, each with its place."""
    found: list[object] = []
    for number_of, each in enumerate(served):
        if each.end <= period.start or each.start >= period.end:
            continue
        left, right = period.place(each.start), period.place(each.end)
        found.append({"x": left, "width": round(right - left, 1), "version": each.version, "odd": number_of % 2})
    return found


def figure(lines: Sequence[tuple[str, Points]], limit: Points, period: Period, step: float) -> dict[str, object]:
    """The lines of a figure, one for each version, its limit, and the scale beside them.

    `step`: seconds between two points; where they lie further apart, there is no data.
    """
    limits = [value for _, value in limit if math.isfinite(value)]
    values = [value for _, points in lines for _, value in points if math.isfinite(value)]
    top = max([*values, *(1.2 * each for each in limits)], default=0.0)
    low = min([*values, *limits, 0.0])
    if top <= low:
        top = low + _EMPTY_SPAN
    height = HEIGHT - TOP - BOTTOM

    def level(value: float) -> float:
        return round(TOP + height - (value - low) / (top - low) * height, 1)

    def pieces(points: Points) -> list[str]:
        return [
            " ".join(f"{period.place(at)},{level(value)}" for at, value in piece) for piece in unbroken(points, step)
        ]

    drawn = [
        {
            "version": version,
            "pieces": pieces(points),
            "highest": number(max((value for _, value in points if math.isfinite(value)), default=None)),
        }
        for version, points in lines[:MOST_CURVES]
        if any(math.isfinite(value) for _, value in points)
    ]
    steps = [low + (top - low) * part / TICKS for part in range(TICKS + 1)]
    return {
        "lines": drawn,
        "limit": None if not limits else _limit(limits, level(limits[-1]), pieces(limit)),
        "levels": [{"y": level(each), "told": number(each)} for each in steps],
    }


def _limit(limits: Sequence[float], y: float, pieces: Sequence[str]) -> dict[str, object]:
    """A limit that stays the same is one line over the whole picture."""
    same = min(limits) == max(limits)
    told = number(limits[-1]) if same else f"{number(min(limits))} to {number(max(limits))}"
    return {"y": y, "told": told, "pieces": [] if same else pieces}


def unbroken(points: Points, step: float) -> list[list[tuple[float, float]]]:
    """The stretches of points that follow one another; a single point is one that can be seen."""
    found: list[list[tuple[float, float]]] = []
    for at, value in points:
        if not math.isfinite(value):
            continue
        if found and at - found[-1][-1][0] <= _GAP * step:
            found[-1].append((at, value))
        else:
            found.append([(at, value)])
    return [piece if len(piece) > 1 else [*piece, (piece[0][0] + step / 2, piece[0][1])] for piece in found]


def marks(moments: Sequence[Moment], period: Period) -> list[dict[str, object]]:
    """What happened, as lines from top to bottom; names where there is room."""
    found: list[dict[str, object]] = []
    free_from = 0.0
    for each in sorted(moments):
        if not period.holds(each.at):
            continue
        x = period.place(each.at)
        named = bool(each.name) and x >= free_from
        if named:
            free_from = x + APART
        name = each.name if named else ""
        turned = x > WIDTH - WIDEST_NAME
        found.append({**each._asdict(), "x": x, "when": told_moment(each.at), "name": name, "turned": turned})
    return found[:MOST_MARKS]


def lanes(fired: Iterable[Fired], moments: Sequence[Moment], period: Period, of: str = "decisions") -> list[object]:
    """What stands below the picture: a lane for each alert that fired, and one for the moments."""
    by_name: dict[str, list[Fired]] = {}
    for each in fired:
        if each.end >= period.start and each.start <= period.end:
            by_name.setdefault(each.name, []).append(each)
    found: list[object] = []
    for name, of_name in list(by_name.items())[:MOST_LANES]:
        bars = [_bar(each, period) for each in sorted(of_name)]
        first = min(period.place(each.start) for each in of_name)
        turned = first > WIDTH - WIDEST_NAME
        found.append(
            {"name": name, "bars": bars, "dots": [], "x": WIDTH - RIGHT if turned else first, "turned": turned}
        )
    inside = [each for each in moments if period.holds(each.at)][:MOST_MARKS]
    if inside:
        dots = [{"x": period.place(each.at), "when": told_moment(each.at), **each._asdict()} for each in inside]
        found.append({"name": of, "bars": [], "dots": dots, "x": 0, "turned": False})
    return found


def _bar(each: Fired, period: Period) -> dict[str, object]:
    left, right = period.place(each.start), period.place(each.end)
    told = f"{each.name} fired from {told_moment(each.start)} to {told_moment(each.end)}"
    return {"x": left, "width": max(2.0, round(right - left, 1)), "told": told}


def hours(period: Period) -> list[dict[str, object]]:
    """The moments below the picture."""
    length = period.end - period.start
    form = (
        "%H:%M:%S"
        if length < TICKS * 60
        else "%H:%M"
        if length <= SPANS["day"]
        else "%d %b %H:%M"
        if length < 4 * SPANS["day"]
        else "%d %b"
    )
    found = []
    for part in range(TICKS + 1):
        at = period.start + length * part / TICKS
        found.append({"x": period.place(at), "told": datetime.fromtimestamp(at, UTC).strftime(form)})
    return found


def told_moment(at: float) -> str:
    """A moment for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(number_of_lanes: int, height: int = HEIGHT) -> dict[str, int]:
    """The measures of a picture with so many lanes below `height`."""
    return {
        "width": WIDTH,
        "height": height + LANE * number_of_lanes + HOURS,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "floor": height - BOTTOM,
        "lanes": height,
        "lane": LANE,
    }
