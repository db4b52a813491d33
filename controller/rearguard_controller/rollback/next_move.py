"""What to do next with a rollback.

Here: the moves, and `next_move`, which returns the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rearguard_controller.model import (
    AfterCrash,
    OnFailure,
    Outcome,
    Phase,
    Rollback,
    Step,
    StepKind,
    StepState,
    Trigger,
)
from rearguard_controller.rollback import together
from rearguard_controller.rollback.events import Event, EventKind
from rearguard_controller.rollback.transitions import is_over, reason_to_skip

RETRY_FIRST = 1.0  # seconds before an undo hook is tried again; doubles up to RETRY_MOST
RETRY_MOST = 30.0
HELD_FOR = 1.0  # seconds until a rollback that others hold looks at them again, unless it is told before


@dataclass(frozen=True, slots=True)
class RunStep:
    """Commit the step's intent, then carry it out."""

    step: Step
    look_first: bool = False  # a crash left its effect unknown: ask the target before acting
    may_act: bool = True  # false: only look, the attempt has ended


@dataclass(frozen=True, slots=True)
class Note:
    """Commit this event, and do nothing else."""

    event: Event


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """There is nothing to do before this moment."""

    moment: float


@dataclass(frozen=True, slots=True)
class JudgeAgain:
    """The wait is over: commit `wait_ended` if the rollback is still right, else why it is not."""


Move = RunStep | Note | WaitUntil | JudgeAgain


def next_move(rollback: Rollback, now: float, others: Sequence[Rollback] = ()) -> Move | None:
    """What to do next with a rollback; None once it is closed. `others` are those that go back together with it.

    Do not call it while a step of this rollback runs: a step that is `started` here counts as interrupted by a crash.
    """
    if rollback.phase is Phase.CLOSED:
        return None
    if rollback.close_asked:
        outcome = rollback.stopping or Outcome.NEEDS_A_PERSON
        return Note(Event(EventKind.CLOSED, now, outcome=outcome, detail=rollback.stopping_detail))
    word = together.word(rollback, others, now)
    if word is not None:
        return Note(word)
    if rollback.phase is Phase.WAITING:
        if rollback.follows_another and rollback.stopping is None:
            return WaitUntil(now + HELD_FOR)
        return _waiting_move(rollback, now)
    wait: float | None = None
    for step in rollback.steps:
        if wait is not None and step.kind is not StepKind.UNDO_HOOK:
            break  # later steps wait for the undo hooks; undo hooks do not wait for one another
        if together.is_held(rollback, step, others):
            return WaitUntil(now + HELD_FOR)
        move = _step_move(rollback, step, now)
        if isinstance(move, WaitUntil):
            wait = move.moment if wait is None else min(wait, move.moment)
        elif move is not None:
            return move
    if wait is not None:
        return WaitUntil(wait)
    outcome, detail = _outcome(rollback)
    return Note(Event(EventKind.CLOSED, now, outcome=outcome, detail=detail))


def _waiting_move(rollback: Rollback, now: float) -> Move:
    if rollback.stopping is not None:
        return Note(Event(EventKind.CLOSED, now, outcome=rollback.stopping, detail=rollback.stopping_detail))
    if rollback.wait_until is not None and now < rollback.wait_until:
        return WaitUntil(rollback.wait_until)
    if rollback.needs_approval:
        detail = "Nobody approved it in time."
        return Note(Event(EventKind.WAIT_ENDED, now, outcome=Outcome.EXPIRED, detail=detail))
    return JudgeAgain()


def _step_move(rollback: Rollback, step: Step, now: float) -> Move | None:
    match step.state:
        case StepState.DONE | StepState.SKIPPED:
            return None
        case StepState.STARTED:
            return Note(_interrupted(rollback, step, now))
        case StepState.FAILED:
            if step.on_failure is not OnFailure.RETRY:
                return None
            return _retry_move(step, now)
        case StepState.INTERRUPTED:
            return _interrupted_move(rollback, step, now)
        case StepState.PLANNED:
            why = reason_to_skip(rollback, step)
            return RunStep(step) if why is None else Note(Event(EventKind.STEP_SKIPPED, now, step.seq, detail=why))


def _retry_move(step: Step, now: float) -> Move:
    ended = now if step.ended_at is None else step.ended_at
    due = ended + min(RETRY_MOST, RETRY_FIRST * 2 ** min(step.attempt - 1, 16))
    # if the clock was set back, do not wait: traffic would stay drained until it catches up
    waiting = ended <= now < due
    return WaitUntil(due) if waiting else RunStep(step)


def _interrupted(rollback: Rollback, step: Step, now: float) -> Event:
    """The event for a step that a stop of the controller cut off.

    A before hook that must not be repeated ends the attempt with it. That is no verdict on the attempt: what was
    begun is undone, and a fresh attempt begins if the alert still holds.
    """
    detail, outcome = "The controller stopped before the result of this step was known.", None
    if _ends_the_attempt(step):
        detail, outcome = f"{detail} {not_changed(rollback)}", Outcome.INTERRUPTED
    return Event(EventKind.STEP_INTERRUPTED, now, step.seq, output=step.output, detail=detail, outcome=outcome)


def not_changed(rollback: Rollback) -> str:
    """What it means that an attempt is interrupted before its roll_back step, and what follows."""
    follows = "If the alert still holds, it is judged anew."
    if rollback.trigger is Trigger.MANUAL:
        follows = "It is not tried again by itself: ask for it again."
    return f"{rollback.from_version} was not changed, and what was begun is undone. {follows}"


def _ends_the_attempt(step: Step) -> bool:
    return step.kind is StepKind.BEFORE_HOOK and step.after_crash is not AfterCrash.REDO


def _interrupted_move(rollback: Rollback, step: Step, now: float) -> Move | None:
    ended = is_over(rollback, step)
    if step.kind is StepKind.BEFORE_HOOK and ended:
        return None  # it stays interrupted: its result is never known
    if step.after_crash is AfterCrash.LOOK_FIRST:
        return RunStep(step, look_first=True, may_act=not ended)
    if step.after_crash is AfterCrash.REDO and not ended:
        return RunStep(step)
    detail = "Interrupted by a stop of the controller, and not to be repeated: counted as failed."
    outcome = None
    if _ends_the_attempt(step):  # interrupted in an older Rearguard, in which that did not yet end the attempt
        detail, outcome = not_changed(rollback), Outcome.INTERRUPTED
    return Note(Event(EventKind.STEP_FAILED, now, step.seq, detail=detail, outcome=outcome))


def _outcome(rollback: Rollback) -> tuple[Outcome, str]:
    if rollback.stopping is not None:
        return rollback.stopping, f"{rollback.stopping_detail} {together.taken_back(rollback)}".rstrip()
    recovery = rollback.step_of(StepKind.VERIFY_RECOVERY)
    if recovery is None:
        return (
            Outcome.COMPLETED,
            f"{rollback.to_version} serves; nothing was firing that could have been over.",
        )
    return Outcome.RECOVERED, recovery.detail
