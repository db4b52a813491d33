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
GOOD_READINGS = 2  # last readings not past the threshold: it was over
FALLS = 3  # times that the figure came nearer to the threshold, one after the other, up to the last reading

Points = Sequence[tuple[float, float]]  # moments and values


def receding(points: Points, operator: str, threshold: float, acted_at: float) -> str:
    """Why the fault counts as receding before `acted_at`; empty when it does not, or that cannot be told.

    It was receding when the last readings were back on the good side of the threshold, or when they fell, each nearer
    to the threshold than the one before, and had come more than half of the way down from the episode's height. The
    height is the upper quartile of the episode's readings, not its peak: the first reading of a young window is one
    of few requests, and an even fault would seem to fall from it.
    """
    known = sorted(point for point in points if point[0] <= acted_at)
    bad = [moment for moment, value in known if compare(value, operator, threshold)]
    if not bad or acted_at - known[-1][0] > GAP:
        return ""
    began = _began(bad)
    episode = [(moment, value) for moment, value in known if moment >= began]
    ago = span(acted_at - began)
    last = episode[-GOOD_READINGS:]
    if len(last) == GOOD_READINGS and last[0][0] > bad[-1]:
        return (
            f"it was over before the first step: {number(last[-1][1])}, not past the threshold"
            f" {operator} {number(threshold)}, in an episode that began {ago} before it"
        )
    far = [abs(value - threshold) for _, value in episode if compare(value, operator, threshold)]
    changes = [value for at, (_, value) in enumerate(episode) if at == 0 or value != episode[at - 1][1]]
    tail = [value - threshold if operator in (">", ">=") else threshold - value for value in changes[-FALLS - 1 :]]
    falls = len(tail) == FALLS + 1 and all(after < before for before, after in pairwise(tail))
    height = max(far) if len(far) == 1 else quantiles(far, n=4, method="inclusive")[2]
    if not falls or not tail[-1] < height / 2:
        return ""
    top = threshold + height if operator in (">", ">=") else threshold - height
    return (
        f"it was receding before the first step: from {number(top)} to {number(changes[-1])}, more than half of the"
        f" way to the threshold {operator} {number(threshold)}, in an episode that began {ago} before it"
    )


def _began(bad: Sequence[float]) -> float:
    """The first moment of the last episode, of moments at which the condition held."""
    start = bad[-1]
    for moment in reversed(bad):
        if start - moment > GAP:
            break
        start = moment
    return start
