"""Proof that a rollback helped: the condition that triggered it is over for the version that was gone back to.

Here: waiting for the settle time, until the figures no longer reach back before the rollback; then measuring, until
the condition is over on consecutive evaluations and no trigger alert fires, or the time is up; and whether it was
receding before the first step. No data never counts as recovery. The target's health is another step's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from typing import Protocol

from rearguard_controller.adapters.prometheus import Prometheus, figures
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Condition, Measurement, Outcome, compare
from rearguard_controller.model.observations import EPISODE_GAP, EXISTS, last_episode
from rearguard_controller.wording import describe, number, span

CLOSEST = 5.0  # the fewest seconds between two readings that are compared; the settle time if that is longer

FALLS = 4  # times that the figure came nearer to the threshold, one after the other, up to the last reading


CONSECUTIVE = 2  # looks in a row that must find a fault over before it counts as over
SHORTEST_POLL = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found: `outcome` is None when the rollback ended the condition, else the outcome to close with."""

    outcome: Outcome | None
    detail: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose recovery is to be proved."""

    conditions: tuple[Condition, ...]
    rolled_back_at: float
    within: float  # seconds after the settle time
    shows: str | None  # the destination's service_version, where it is known
    left: str | None  # the service_version that was left, where it is known
    acted_at: float  # when the first step began, which may have changed the figures
    target: str = ""


ByCluster = Callable[[Condition], Awaitable[tuple[bool, str]]]  # whether it is over, and why


class StillFires(Protocol):
    """Tells which trigger alerts of the target still fire: see `StillFiring.after`."""

    async def __call__(self, subject: Subject, passed: float, *, time_is_up: bool) -> str:
        """What stands in the way of `recovered`; empty if nothing does."""


async def prove(
    prometheus: Prometheus,
    subject: Subject,
    *,
    every: float,
    clock: Callable[[], float],
    still_fires: StillFires | None = None,
    cluster: ByCluster | None = None,
) -> Proof:
    """Watch the conditions until they are all over, and no trigger alert fires any more, or the time is up.

    Args:
        prometheus: who is asked.
        subject: what is watched.
        every: seconds between evaluations.
        clock: the present time, which may jump.
        still_fires: asked once the conditions are over; None: nobody is.
        cluster: tells whether a condition that Kubernetes measures is over; None: none is such a one.
    """
    unfit = next((each for each in subject.conditions if _cannot_be_judged(each, subject)), None)
    if unfit is not None:
        detail = f"{unfit.alert} has no figure, and its rule selects a version: its end cannot be told from here."
        return Proof(Outcome.NEEDS_A_PERSON, detail)
    now = asyncio.get_running_loop().time
    back_at, settled_at, deadline = _times(subject, clock(), now())
    below, last = 0, "Prometheus was not asked yet"
    while True:
        moment = now()
        if moment >= settled_at:
            over, last = await _look(prometheus, subject, cluster)
            below = below + 1 if over else 0
            if below >= CONSECUTIVE:
                ended = moment >= deadline
                fires = await still_fires(subject, moment - back_at, time_is_up=ended) if still_fires else ""
                if not fires:
                    return await _credit(prometheus, subject, last)
                over, last = False, f"{last}; but {fires}"
            if moment >= deadline and not over:
                return Proof(Outcome.NOT_RECOVERED, f"Not over in time: {last}")
        await asyncio.sleep(max(SHORTEST_POLL, min(every, settled_at - moment if moment < settled_at else every)))


def _times(subject: Subject, wall: float, now: float) -> tuple[float, float, float]:
    """When the version was put back, the figures are settled and the time is up, by the clock that never jumps.

    The wall clock is asked once, for how much time is over already. If it was set back, none is. If all the time
    seems over before anything was measured, the clock was set forward or the controller was away: then only the
    settle time counts as over, so that there still is time to measure.
    """
    settle = max((each.settle for each in subject.conditions), default=0.0)
    passed = max(0.0, wall - subject.rolled_back_at)
    if passed >= settle + subject.within:
        passed = settle
    back_at = now - passed
    return back_at, max(now, back_at + settle), back_at + settle + subject.within


async def _credit(prometheus: Prometheus, subject: Subject, over: str) -> Proof:
    """The condition is over. `completed` if every figure was receding before the first step; else no outcome.

    The figures are read from Prometheus' history, so that a controller that restarts in between finds the same.
    """
    said = []
    for condition in subject.conditions:
        if condition.of_cluster:  # pods do not recede
            return Proof(None, over)
        try:
            operator, threshold, points = await figures.readings_before(
                prometheus, condition, subject.acted_at, version=subject.left
            )
        except SourceError:
            return Proof(None, over)
        settle = condition.settle
        why = "" if threshold is None else receding(points, operator, threshold, subject.acted_at, settle)
        if not why:
            return Proof(None, over)
        said.append(f"{condition.alert}: {why}")
    if not said:
        return Proof(None, over)
    return Proof(Outcome.COMPLETED, f"{over}. No credit is taken: {'; '.join(said)}.")


async def _look(prometheus: Prometheus, subject: Subject, cluster: ByCluster | None) -> tuple[bool, str]:
    """Whether all conditions are over by data of this moment, and the numbers in words."""
    found: list[tuple[Condition, Measurement]] = []
    by_cluster: list[tuple[bool, str]] = []
    for condition in subject.conditions:
        if condition.of_cluster:
            no_cluster = False, f"{condition.alert}: the workload is no target any more"
            by_cluster.append(no_cluster if cluster is None else await cluster(condition))
            continue
        try:
            measured = await figures.measure(
                prometheus, condition, version=subject.shows, but_not=None if subject.shows else subject.left
            )
        except SourceError as error:
            return False, f"{condition.alert}: {error.message}"
        found.append((condition, measured))
    words = [f"{condition.alert}: {_words(measured)}" for condition, measured in found]
    words += [told for _, told in by_cluster]
    over = all(measured.past is False for _, measured in found) and all(holds for holds, _ in by_cluster)
    return over, "; ".join(words)


def _words(measured: Measurement) -> str:
    return "no data" if measured.past is None else describe(measured)


def _cannot_be_judged(condition: Condition, subject: Subject) -> bool:
    return condition.threshold == EXISTS and VERSION_LABEL in condition.figure and bool(subject.left)


Points = Sequence[tuple[float, float]]  # moments and values


def receding(points: Points, operator: str, threshold: float, acted_at: float, settle: float) -> str:
    """Why the fault counts as receding before `acted_at`; empty when it does not, or that cannot be told.

    It counts as receding if either:
    (a) the figure was not past the threshold for one settle time before the first step; or
    (b) its last `FALLS` readings, one settle time apart, each came closer to the threshold, and the last two are past
        half of the way down from the episode's height.

    Readings must lie one settle time apart because the figure is a sliding window: a single burst that leaves the
    window makes all closer readings fall. The height is the upper quartile of the episode's readings, not the peak:
    the first reading of a young window is one of few requests, and an even fault would seem to fall from it.

    Args:
        points: the readings of the figure.
        operator: with `threshold`, when the condition holds.
        threshold: what the figure is compared with.
        acted_at: when the first step began.
        settle: seconds that the figure looks back.
    """
    known = sorted(point for point in points if point[0] <= acted_at)
    bad = [moment for moment, value in known if compare(value, operator, threshold)]
    if not bad or acted_at - known[-1][0] > EPISODE_GAP:
        return ""
    began = last_episode(bad)
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
