"""From points in time to stretches: when a series is present without a break, exact to the sample. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rearguard_controller.backtest.nouns import Stretch


def unbroken(
    moments: Sequence[float], gap: float, *, shortest: float = math.inf, others: Sequence[float] = ()
) -> list[Stretch]:
    """Stretches of moments, in order, that lie no more than `gap` seconds apart.

    More than `shortest` seconds are a break, too, if one of `others`, in order, lies in it.
    """
    found: list[Stretch] = []
    for moment in moments:
        before = found[-1].end if found else -math.inf
        crossed = moment - before > shortest and bisect_left(others, moment) > bisect_right(others, before)
        if moment - before <= gap and not crossed:
            found[-1] = Stretch(found[-1].start, moment)
        else:
            found.append(Stretch(moment, moment))
    return found


def joined(found: Iterable[Stretch], gap: float, others: Sequence[Stretch] = ()) -> list[Stretch]:
    """Stretches, in order, without the breaks between them that last no more than `gap` seconds.

    A break stays if one of `others` began and ended in it: then the subject was really away, however short the break.
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
    """The mean distance in seconds between neighbouring moments, which may come in any order; 0 without neighbours.

    Moments more than `longest` seconds apart are no neighbours: the subject was away between them.
    """
    distances = [later - earlier for earlier, later in pairwise(sorted(set(moments))) if later - earlier <= longest]
    return sum(distances) / len(distances) if distances else 0.0


def edges(stretches: Iterable[Stretch], step: float) -> list[Stretch]:
    """Where the first and last samples of stretches lie, as each point stands for the `step` seconds before it."""
    return [
        Stretch(edge - step, edge) for stretch in stretches for edge in dict.fromkeys((stretch.start, stretch.end))
    ]


def windows(asked: Iterable[Stretch], longest: float, near: float = 0.0) -> list[Stretch]:
    """These stretches, joined if at most `near` seconds lie between two, and never to more than `longest` seconds."""
    found: list[Stretch] = []
    for one in sorted(asked):
        if found and one.start <= found[-1].end + near and one.end - found[-1].start <= longest:
            found[-1] = Stretch(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found


def refined(stretch: Stretch, step: float, samples: Sequence[float]) -> Stretch:
    """The stretch with its edges moved to samples, which are in order; an edge without a sample stays where it is.

    A sample exactly one step before a point counts too, because in Prometheus 2 the point stands for it as well.
    """
    first = bisect_left(samples, stretch.start - step)
    start = samples[first] if first < len(samples) and samples[first] <= stretch.start else stretch.start
    last = bisect_right(samples, stretch.end) - 1
    end = samples[last] if last >= 0 and samples[last] >= stretch.end - step else stretch.end
    return Stretch(start, max(start, end))


def lasting(active: Iterable[Stretch], seconds: float) -> tuple[Stretch, ...]:
    """The stretches without their first `seconds`: an alert fires only after its rule's `for`."""
    return tuple(Stretch(each.start + seconds, each.end) for each in active if each.end - each.start >= seconds)
