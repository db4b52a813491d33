"""From points in time to stretches. Pure.

Here: where a series is present without a break, and the same by the very samples at its edges.
Never here: what the series is about.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rearguard_controller.backtest.nouns import Stretch


def unbroken(moments: Sequence[float], gap: float) -> list[Stretch]:
    """Stretches of moments, in order, that lie no more than `gap` seconds apart."""
    found: list[Stretch] = []
    for moment in moments:
        if found and moment - found[-1].end <= gap:
            found[-1] = Stretch(found[-1].start, moment)
        else:
            found.append(Stretch(moment, moment))
    return found


def joined(found: Iterable[Stretch], gap: float, others: Sequence[Stretch] = ()) -> list[Stretch]:
    """Stretches, in order, without the breaks between them that last no more than `gap` seconds.

    A break in which one of the `others` began and ended stays: what is joined was away then, however short it was.
    """
    whole: list[Stretch] = []
    for one in found:
        if (
            whole
            and one.start - whole[-1].end <= gap
            and not any(whole[-1].end < other.start and other.end < one.start for other in others)
        ):
            whole[-1] = Stretch(whole[-1].start, max(whole[-1].end, one.end))
        else:
            whole.append(one)
    return whole


def within(found: Iterable[Stretch], start: float, end: float) -> list[Stretch]:
    """The parts of stretches that lie in a time."""
    return [
        Stretch(max(one.start, start), min(one.end, end)) for one in found if one.start <= end and one.end >= start
    ]


def usual_distance(moments: Iterable[float], longest: float) -> float:
    """The mean distance between moments that follow one another, in any order; 0 where none do.

    Moments more than `longest` seconds apart do not: what comes back after hours was away, however often it does so.
    """
    distances = [later - earlier for earlier, later in pairwise(sorted(set(moments))) if later - earlier <= longest]
    return sum(distances) / len(distances) if distances else 0.0


def edges(stretches: Iterable[Stretch], step: float) -> list[Stretch]:
    """Where the samples at the edges of stretches lie, if each point speaks for the `step` seconds before it."""
    return [
        Stretch(edge - step, edge) for stretch in stretches for edge in dict.fromkeys((stretch.start, stretch.end))
    ]


def windows(asked: Iterable[Stretch], longest: float, near: float = 0.0) -> list[Stretch]:
    """The stretches asked for, joined where at most `near` seconds lie between, each at most `longest` seconds."""
    found: list[Stretch] = []
    for one in sorted(asked):
        if found and one.start <= found[-1].end + near and one.end - found[-1].start <= longest:
            found[-1] = Stretch(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found


def refined(stretch: Stretch, step: float, samples: Sequence[float]) -> Stretch:
    """A stretch whose edges are samples; `samples` are in order, and an edge without any stays.

    A sample exactly one step before a point counts, too: up to version 2 Prometheus lets that point speak for it.
    """
    first = bisect_left(samples, stretch.start - step)
    start = samples[first] if first < len(samples) and samples[first] <= stretch.start else stretch.start
    last = bisect_right(samples, stretch.end) - 1
    end = samples[last] if last >= 0 and samples[last] >= stretch.end - step else stretch.end
    return Stretch(start, max(start, end))


def lasting(active: Iterable[Stretch], seconds: float) -> tuple[Stretch, ...]:
    """What is left of stretches whose first seconds do not count: an alert fires after its rule's `for`."""
    return tuple(Stretch(each.start + seconds, each.end) for each in active if each.end - each.start >= seconds)
