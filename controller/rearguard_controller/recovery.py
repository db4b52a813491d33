"""Proof that a rollback helped: the triggering condition is over for the version that was gone back to.

Here: waiting until the figures no longer reach back before the rollback (the settle time), then measuring until the
condition is found over on consecutive evaluations, or the time is up; and whether it was going away before anything
was done.
Never here: the health of the target (`actions`), and what an outcome leads to (`rollback`). No data never counts as
recovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rearguard_controller import figures
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Condition, Measurement, Outcome
from rearguard_controller.prometheus import Prometheus
from rearguard_controller.receding import receding
from rearguard_controller.words import describe

CONSECUTIVE = 2  # evaluations in a row below the threshold
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


async def prove(prometheus: Prometheus, subject: Subject, *, every: float, clock: Callable[[], float]) -> Proof:
    """Watch the conditions until they are all over or the time is up.

    Args:
        prometheus: who is asked.
        subject: what is watched.
        every: seconds between evaluations.
        clock: the present time, which may jump.
    """
    unfit = next((each for each in subject.conditions if _cannot_be_judged(each, subject)), None)
    if unfit is not None:
        detail = f"{unfit.alert} has no figure, and its rule selects a version: its end cannot be told from here."
        return Proof(Outcome.NEEDS_A_PERSON, detail)
    now = asyncio.get_running_loop().time
    settled_at, deadline = _times(subject, clock(), now())
    below, last = 0, "Prometheus was not asked yet"
    while True:
        moment = now()
        if moment >= settled_at:
            over, last = await _look(prometheus, subject)
            below = below + 1 if over else 0
            if below >= CONSECUTIVE:
                return await _credit(prometheus, subject, last)
            if moment >= deadline and not over:
                return Proof(Outcome.NOT_RECOVERED, f"Not over in time: {last}")
        await asyncio.sleep(max(SHORTEST_POLL, min(every, settled_at - moment if moment < settled_at else every)))


def _times(subject: Subject, wall: float, now: float) -> tuple[float, float]:
    """When the figures are settled and when the time is up, by the clock that never jumps.

    The wall clock is asked once, for what is already over. If it was set back, nothing is. If all the time seems over
    before anything was measured, it was set forward or the controller was away: there still is time to measure.
    """
    settle = max((each.settle for each in subject.conditions), default=0.0)
    passed = max(0.0, wall - subject.rolled_back_at)
    if passed >= settle + subject.within:
        passed = settle
    return now + max(0.0, settle - passed), now + settle + subject.within - passed


async def _credit(prometheus: Prometheus, subject: Subject, over: str) -> Proof:
    """The condition is over; `completed` where every figure says that it was receding before anything was done.

    It is asked of Prometheus' memory, so that a controller that stops in between finds the same.
    """
    said = []
    for condition in subject.conditions:
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


async def _look(prometheus: Prometheus, subject: Subject) -> tuple[bool, str]:
    """Whether all conditions are over by data present now, and the numbers."""
    found: list[tuple[Condition, Measurement]] = []
    for condition in subject.conditions:
        try:
            measured = await figures.measure(
                prometheus, condition, version=subject.shows, but_not=None if subject.shows else subject.left
            )
        except SourceError as error:
            return False, f"{condition.alert}: {error.message}"
        found.append((condition, measured))
    words = "; ".join(f"{condition.alert}: {_words(measured)}" for condition, measured in found)
    return all(measured.past is False for _, measured in found), words


def _words(measured: Measurement) -> str:
    return "no data" if measured.past is None else describe(measured)


def _cannot_be_judged(condition: Condition, subject: Subject) -> bool:
    return condition.threshold == figures.EXISTS and VERSION_LABEL in condition.figure and bool(subject.left)
