"""From points in time to stretches. Pure.

Here: where a series is present without a break, and the same by the very samples at its edges.
Never here: what the series is about.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rearguard_controller.backtest.world import Stretch


def unbroken(moments: Sequence[float], gap: float) -> list[Stretch]:
    """Stretches of moments, in order, that lie no more than `gap` seconds apart."""
    found: list[Stretch] = []
    for moment in moments:
        if found and moment - found[-1].end <= gap:
            found[-1] = Stretch(found[-1].start, moment)
        else:
            found.append(Stretch(moment, moment))
    return found


def usual_distance(moments: Sequence[float]) -> float:
    """The median of the distances between moments in order; 0 for fewer than two."""
    distances = sorted(later - earlier for earlier, later in pairwise(moments))
    return distances[len(distances) // 2] if distances else 0.0


def edges(stretches: Iterable[Stretch], step: float) -> list[Stretch]:
    """Where the samples at the edges of stretches lie, if each point speaks for the `step` seconds before it."""
    return [
        Stretch(edge - step, edge) for stretch in stretches for edge in dict.fromkeys((stretch.start, stretch.end))
    ]


def windows(asked: Iterable[Stretch], longest: float) -> list[Stretch]:
    """The stretches asked for, joined where they overlap, each at most `longest` seconds."""
    joined: list[Stretch] = []
    for one in sorted(asked):
        if joined and one.start <= joined[-1].end and one.end - joined[-1].start <= longest:
            joined[-1] = Stretch(joined[-1].start, max(joined[-1].end, one.end))
        else:
            joined.append(one)
    return joined


def refined(stretch: Stretch, step: float, samples: Sequence[float]) -> Stretch:
    """A stretch whose edges are samples; `samples` are in order, and an edge without any stays."""
    first = bisect_right(samples, stretch.start - step)
    start = samples[first] if first < len(samples) and samples[first] <= stretch.start else stretch.start
    last = bisect_right(samples, stretch.end) - 1
    end = samples[last] if last >= 0 and samples[last] > stretch.end - step else stretch.end
    return Stretch(start, max(start, end))


def lasting(active: Iterable[Stretch], seconds: float) -> tuple[Stretch, ...]:
    """What is left of stretches whose first seconds do not count: an alert fires after its rule's `for`."""
    return tuple(Stretch(each.start + seconds, each.end) for each in active if each.end - each.start >= seconds)
