"""How rollbacks that go back together wait for one another, and end together. Pure.

Here: what one of them notes because of the others, and which of its steps they hold. One of them, the first, decides
for all, by one event of its own: `together_done` when every version was changed and is healthy, or whatever ended its
attempt before that. So all of them see the same, whatever crashes in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.model import Outcome, Phase, Rollback, Step, StepKind, StepState
from rearguard_controller.rollback.events import Event, EventKind

_OVER = frozenset({StepState.DONE, StepState.FAILED, StepState.SKIPPED})


def word(rollback: Rollback, others: Sequence[Rollback], now: float) -> Event | None:
    """What a rollback is to note because of those that go back together with it; None: nothing.

    Args:
        rollback: not closed.
        others: those of them that can be read; one that cannot ends the attempt.
        now: the present moment.
    """
    tie = rollback.together
    if tie is None or rollback.together_done:
        return None
    first = next((each for each in others if each.id == tie.first), None)
    if first is not None and first.together_done:  # also for one that was stopped right then: it stays changed
        return Event(EventKind.TOGETHER_DONE, now, detail=f"{first.id} found all of them changed and healthy.")
    if rollback.stopping is not None:
        return None
    if len(others) < len(tie.rollbacks) - 1:
        detail = "The record of another rollback that goes with it cannot be read."
        return Event(EventKind.TOGETHER_ENDED, now, outcome=Outcome.NEEDS_A_PERSON, detail=detail)
    if first is not None:
        return _of_follower(rollback, first, now)
    ended = next((each for each in others if _has_ended(each)), None)
    if ended is not None:
        return _ended_by(ended, now)
    if all(map(_is_changed, (rollback, *others))):
        return Event(EventKind.TOGETHER_DONE, now, detail=f"Changed and healthy: {', '.join(tie.targets)}.")
    return None


def _of_follower(rollback: Rollback, first: Rollback, now: float) -> Event | None:
    if _has_ended(first):
        return _ended_by(first, now)
    if rollback.phase is Phase.WAITING and first.phase is Phase.RUNNING:
        return Event(EventKind.WAIT_ENDED, now, detail=f"The wait of {first.id} is over.")
    return None


def _ended_by(other: Rollback, now: float) -> Event:
    outcome = other.stopping or other.outcome
    detail = f"{other.target} goes back together with it, and {other.id} ended as {outcome}: "
    return Event(
        EventKind.TOGETHER_ENDED, now, outcome=outcome, detail=detail + (other.stopping_detail or other.detail)
    )


def _has_ended(rollback: Rollback) -> bool:
    return rollback.stopping is not None or rollback.outcome is not None


def is_held(rollback: Rollback, step: Step, others: Sequence[Rollback]) -> bool:
    """Whether the others have not come far enough yet for this step, which is the next one to be looked at."""
    tie = rollback.together
    if tie is None or rollback.together_done or step.state is not StepState.PLANNED:
        return False
    if rollback.stopping is not None:
        return step.kind is StepKind.UNDO_ROLL_BACK and _may_still_stay(rollback, others)
    if step.kind is StepKind.UNDO_ROLL_BACK:
        return True
    if tie.as_one:
        return step.kind is StepKind.ROLL_BACK and not all(map(_is_prepared, others))
    place = tie.rollbacks.index(rollback.id)
    return not all(_is_changed(each) for each in others if each.id in tie.rollbacks[:place])


def _may_still_stay(rollback: Rollback, others: Sequence[Rollback]) -> bool:
    """Whether a version that was changed before its attempt was stopped may stay: the first may just say so."""
    tie = rollback.together
    first = next((each for each in others if tie is not None and each.id == tie.first), None)
    return _is_changed(rollback) and first is not None and not first.together_done and not _has_ended(first)


def _is_prepared(rollback: Rollback) -> bool:
    """Whether everything before its roll_back step is over."""
    before = (step for step in rollback.steps if step.kind is StepKind.BEFORE_HOOK)
    return rollback.phase is Phase.RUNNING and all(step.state in _OVER for step in before)


def _is_changed(rollback: Rollback) -> bool:
    """Whether its destination serves and was found healthy. This never becomes untrue again."""
    steps = (rollback.step_of(StepKind.ROLL_BACK), rollback.step_of(StepKind.VERIFY_HEALTH))
    return all(step is None or step.state is StepState.DONE for step in steps)


def taken_back(rollback: Rollback) -> str:
    """What became of the version that was left, when the others made it return; empty when nothing did."""
    step = rollback.step_of(StepKind.UNDO_ROLL_BACK)
    if step is None or step.state in (StepState.PLANNED, StepState.SKIPPED):
        return ""
    if step.state is StepState.DONE:
        return f"{rollback.from_version} serves again, as before."
    return f"{rollback.from_version} was not put back: {step.detail} A person has to look."
