"""Was the fault going away before the rollback began? Then the rollback takes no credit for its end. Pure.

Here: one judgement over the readings of a figure up to the first step of a rollback.
Never here: queries, clocks, and what follows from it (`rollback`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import quantiles

from rearguard_controller.model import compare
from rearguard_controller.words import number, span

GAP = 60.0  # seconds without the condition that end an episode, and after which a last reading says nothing
CLOSEST = 5.0  # seconds that two readings which are compared lie apart at least, and never less than the settle time
FALLS = 4  # times that the figure came nearer to the threshold, one after the other, up to the last reading

Points = Sequence[tuple[float, float]]  # moments and values


def receding(points: Points, operator: str, threshold: float, acted_at: float, settle: float) -> str:
    """Why the fault counts as receding before `acted_at`; empty when it does not, or that cannot be told.

    The figure is a sliding window, so readings closer together than its settle time are one and the same fault seen
    again: a single burst that leaves the window makes all of them fall. Only readings that far apart are compared.
    It was receding when it had been back on the good side of the threshold for that long, or when such readings fell,
    each nearer to the threshold than the one before, and the last two had come more than half of the way down from
    the episode's height. The height is the upper quartile of the episode's readings, not its peak: the first reading
    of a young window is one of few requests, and an even fault would seem to fall from it.

    Args:
        points: the readings of the figure.
        operator: with `threshold`, when the condition holds.
        threshold: what the figure is compared with.
        acted_at: when the first step began.
        settle: seconds that the figure looks back.
    """
    known = sorted(point for point in points if point[0] <= acted_at)
    bad = [moment for moment, value in known if compare(value, operator, threshold)]
    if not bad or acted_at - known[-1][0] > GAP:
        return ""
    began = _began(bad)
    episode = [(moment, value) for moment, value in known if moment >= began]
    ago = span(acted_at - began)
    apart = max(settle, CLOSEST)
    good = [moment for moment, _ in episode if moment > bad[-1]]
    if good and good[-1] - good[0] >= apart:
        return (
            f"it was over before the first step: {number(episode[-1][1])}, not past the threshold"
            f" {operator} {number(threshold)}, in an episode that began {ago} before it"
        )
    far = [abs(value - threshold) for _, value in episode if compare(value, operator, threshold)]
    thin = _thinned(episode, apart)
    changes = [value for at, value in enumerate(thin) if at == 0 or value != thin[at - 1]]
    tail = [value - threshold if operator in (">", ">=") else threshold - value for value in changes[-FALLS - 1 :]]
    falls = len(tail) == FALLS + 1 and all(after < before for before, after in pairwise(tail))
    height = max(far) if len(far) == 1 else quantiles(far, n=4, method="inclusive")[2]
    if not falls or not tail[-2] < height / 2:
        return ""
    top = threshold + height if operator in (">", ">=") else threshold - height
    return (
        f"it was receding before the first step: from {number(top)} to {number(changes[-1])}, more than half of the"
        f" way to the threshold {operator} {number(threshold)}, in an episode that began {ago} before it"
    )


def _thinned(points: Points, apart: float) -> list[float]:
    """The values of readings at least `apart` seconds from each other, counted back from the last one."""
    kept: list[tuple[float, float]] = []
    for point in reversed(points):
        if not kept or kept[-1][0] - point[0] >= apart:
            kept.append(point)
    return [value for _, value in reversed(kept)]


def _began(bad: Sequence[float]) -> float:
    """The first moment of the last episode, of moments at which the condition held."""
    start = bad[-1]
    for moment in reversed(bad):
        if start - moment > GAP:
            break
        start = moment
    return start
