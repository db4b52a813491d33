"""How events change a rollback: the two tables, and the fold.

Here: which events a rollback accepts in which phase (`PHASES`), how events move one step (`STEPS`), and what each
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from rearguard_controller.errors import ConflictError
from rearguard_controller.model import AfterCrash, OnFailure, Outcome, Phase, Rollback, Step, StepKind, StepState
from rearguard_controller.rollback.events import Event, EventKind


def _approved(rollback: Rollback, event: Event) -> Rollback:
    """Ends the wait. The rollback does not run yet: it is judged once more first."""
    _refuse_if_stopping(rollback, event)
    if rollback.approved:
        raise ConflictError(f"Rollback {rollback.id} is approved already.")
    if rollback.wait_until is not None and event.at >= rollback.wait_until:
        raise ConflictError(f"The time of rollback {rollback.id} to be approved is over: too late.")
    return replace(rollback, wait_until=None, needs_approval=False, approved=True)


def _vetoed(rollback: Rollback, event: Event) -> Rollback:
    _refuse_if_stopping(rollback, event)
    return _stops(Outcome.VETOED)(rollback, event)


def _wait_ended(rollback: Rollback, event: Event) -> Rollback:
    """Outcome `expired`: nobody approved in time. No outcome: the rollback was judged again and still holds."""
    _refuse_if_stopping(rollback, event)
    if rollback.needs_approval:
        return _stops(Outcome.EXPIRED)(rollback, event)
    if event.outcome is Outcome.EXPIRED:
        raise ConflictError(f"Rollback {rollback.id} does not wait for approval any more.")
    return replace(rollback, phase=Phase.RUNNING, wait_until=None, waited_until=event.at)


def _refuse_if_stopping(rollback: Rollback, event: Event) -> None:
    if rollback.stopping is not None:
        raise ConflictError(f"Rollback {rollback.id} ends as {rollback.stopping}; {event.kind} is too late.")


def _stops(outcome: Outcome) -> Callable[[Rollback, Event], Rollback]:
    def stop(rollback: Rollback, event: Event) -> Rollback:
        if rollback.stopping is not None:  # the first cause of an early end stays its outcome
            return rollback
        return replace(rollback, stopping=outcome, stopping_detail=event.detail)

    return stop


def _together_done(rollback: Rollback, event: Event) -> Rollback:
    """What was changed stays changed. The first one says so only while it goes on; the others hear it in any case."""
    if not rollback.follows_another:
        _refuse_if_stopping(rollback, event)
    return replace(rollback, together_done=True)


def _together_ended(rollback: Rollback, event: Event) -> Rollback:
    if rollback.together_done or event.outcome is None:
        raise ConflictError(f"Rollback {rollback.id} does not depend on others any more.")
    return _stops(event.outcome)(rollback, event)


def _close_asked(rollback: Rollback, event: Event) -> Rollback:
    return replace(_stops(Outcome.NEEDS_A_PERSON)(rollback, event), close_asked=True)


def _closed(rollback: Rollback, event: Event) -> Rollback:
    if event.outcome is None:
        raise ConflictError("A rollback closes with an outcome.")
    return replace(
        rollback,
        phase=Phase.CLOSED,
        outcome=event.outcome,
        detail=event.detail,
        closed_at=event.at,
        wait_until=None,
    )


def _step_event(rollback: Rollback, event: Event) -> Rollback:
    if event.seq is None or not 0 <= event.seq < len(rollback.steps):
        raise ConflictError(f"Rollback {rollback.id} has no step {event.seq}.")
    step = rollback.steps[event.seq]
    state = STEPS.get((step.state, event.kind))
    if state is None or (step.state is StepState.FAILED and step.on_failure is not OnFailure.RETRY):
        raise ConflictError(f"Step {step.name} of rollback {rollback.id} is {step.state}; {event.kind} is refused.")
    if state is StepState.STARTED:
        _refuse_if_ended(rollback, step)
        changed = replace(
            step,
            state=state,
            attempt=step.attempt + 1,
            started_at=event.at,
            ended_at=None,
            output="",
            detail="",
        )
    else:
        changed = replace(step, state=state, ended_at=event.at, output=event.output, detail=event.detail)
    rollback = replace(rollback, steps=(*rollback.steps[: event.seq], changed, *rollback.steps[event.seq + 1 :]))
    outcome = event.outcome
    if state is StepState.FAILED and outcome is None and step.on_failure is OnFailure.STOP:
        outcome = Outcome.NOT_RECOVERED if step.kind is StepKind.VERIFY_RECOVERY else Outcome.FAILED
    if outcome is not None and state is not StepState.STARTED:
        return _stops(outcome)(rollback, replace(event, detail=f"{step.name}: {event.detail}"))
    return rollback


def _refuse_if_ended(rollback: Rollback, step: Step) -> None:
    """Refuse to start a step that an abort or a close has ruled out."""
    why = reason_to_skip(rollback, step) if step.state is StepState.PLANNED else None
    if (
        step.state is StepState.INTERRUPTED
        and is_over(rollback, step)
        and step.after_crash is not AfterCrash.LOOK_FIRST
    ):
        why = "The attempt has ended."
    if rollback.close_asked:
        why = "A person closed the rollback as it stands."
    if why is not None:
        raise ConflictError(f"Step {step.name} of rollback {rollback.id} is not to be started: {why}")


PHASES: Mapping[tuple[Phase, EventKind], Callable[[Rollback, Event], Rollback]] = {
    (Phase.WAITING, EventKind.APPROVED): _approved,
    (Phase.WAITING, EventKind.VETOED): _vetoed,
    (Phase.WAITING, EventKind.WAIT_ENDED): _wait_ended,
    (Phase.WAITING, EventKind.FAULT_OVER): _stops(Outcome.NOT_NEEDED),
    (Phase.WAITING, EventKind.TARGET_CHANGED): _stops(Outcome.SUPERSEDED),
    (Phase.WAITING, EventKind.ABORT_ASKED): _stops(Outcome.ABORTED),
    (Phase.WAITING, EventKind.CLOSE_ASKED): _close_asked,
    (Phase.WAITING, EventKind.TOGETHER_ENDED): _together_ended,
    (Phase.WAITING, EventKind.CLOSED): _closed,
    (Phase.RUNNING, EventKind.STEP_STARTED): _step_event,
    (Phase.RUNNING, EventKind.STEP_DONE): _step_event,
    (Phase.RUNNING, EventKind.STEP_FAILED): _step_event,
    (Phase.RUNNING, EventKind.STEP_SKIPPED): _step_event,
    (Phase.RUNNING, EventKind.STEP_INTERRUPTED): _step_event,
    (Phase.RUNNING, EventKind.TARGET_CHANGED): _stops(Outcome.SUPERSEDED),
    (Phase.RUNNING, EventKind.ABORT_ASKED): _stops(Outcome.ABORTED),
    (Phase.RUNNING, EventKind.CLOSE_ASKED): _close_asked,
    (Phase.RUNNING, EventKind.TOGETHER_DONE): _together_done,
    (Phase.RUNNING, EventKind.TOGETHER_ENDED): _together_ended,
    (Phase.RUNNING, EventKind.CLOSED): _closed,
}

TAKES_BACK = frozenset({StepKind.UNDO_HOOK, StepKind.UNDO_ROLL_BACK})  # steps of an attempt that has ended

STEPS: Mapping[tuple[StepState, EventKind], StepState] = {
    (StepState.PLANNED, EventKind.STEP_STARTED): StepState.STARTED,
    (StepState.PLANNED, EventKind.STEP_SKIPPED): StepState.SKIPPED,
    (StepState.STARTED, EventKind.STEP_DONE): StepState.DONE,
    (StepState.STARTED, EventKind.STEP_FAILED): StepState.FAILED,
    (StepState.STARTED, EventKind.STEP_INTERRUPTED): StepState.INTERRUPTED,
    (StepState.INTERRUPTED, EventKind.STEP_STARTED): StepState.STARTED,  # redo, or look first
    (StepState.INTERRUPTED, EventKind.STEP_FAILED): StepState.FAILED,  # never_redo: counts as failed
    (StepState.FAILED, EventKind.STEP_STARTED): StepState.STARTED,  # undo hooks only, checked above
}


def apply(rollback: Rollback | None, event: Event) -> Rollback:
    """Fold one event into a rollback.

    Returns:
        The next value; the given one is not changed.

    Raises:
        ConflictError: the tables do not list this event for the rollback's phase or the step's state.
    """
    if rollback is None:
        if event.kind is not EventKind.OPENED or event.opened is None:
            raise ConflictError(f"A rollback begins with `opened`, not with {event.kind}.")
        return event.opened
    transition = PHASES.get((rollback.phase, event.kind))
    if transition is None:
        raise ConflictError(
            f"Rollback {rollback.id} is {rollback.phase}; {event.kind} is too late or too early.",
            hint="Look at its present state with: rearguard show " + rollback.id,
        )
    return transition(rollback, event)


def is_over(rollback: Rollback, step: Step) -> bool:
    """Whether the attempt has ended, so that a step that was begun is not repeated; what takes back still is."""
    return rollback.stopping is not None and step.kind not in TAKES_BACK


def reason_to_skip(rollback: Rollback, step: Step) -> str | None:
    """Why a planned step is skipped; None when it is to be taken."""
    stopping = rollback.stopping
    match step.kind:
        case StepKind.BEFORE_HOOK | StepKind.ROLL_BACK | StepKind.VERIFY_HEALTH | StepKind.VERIFY_RECOVERY:
            return None if stopping is None else f"The attempt has ended: {stopping}."
        case StepKind.UNDO_ROLL_BACK:
            return _reason_to_stay(rollback)
        case StepKind.UNDO_HOOK:
            return _reason_to_leave_undone(rollback, step)
        case StepKind.AFTER_HOOK:
            if _state_of(rollback, StepKind.ROLL_BACK) is not StepState.DONE:
                return "The version was not put back."
            if _state_of(rollback, StepKind.UNDO_ROLL_BACK) not in (None, StepState.SKIPPED):
                return f"{rollback.from_version} was put back again."
            if stopping is Outcome.ABORTED or (stopping is not None and step.before_restore):
                return f"The attempt has ended: {stopping}."
            return None


def _reason_to_stay(rollback: Rollback) -> str | None:
    """Why a version is not left again; None when it is, or when the others have not come so far yet."""
    if rollback.together_done:
        return "All that go back together were changed."
    step = rollback.step_of(StepKind.ROLL_BACK)
    return "No version was left: nothing to take back." if step is None or step.attempt == 0 else None


def _reason_to_leave_undone(rollback: Rollback, step: Step) -> str | None:
    if step.undoes is not None and rollback.steps[step.undoes].attempt == 0:
        return "Its hook never started: nothing to undo."
    # without a health check, the roll_back step counts
    proof = rollback.step_of(StepKind.VERIFY_HEALTH) or rollback.step_of(StepKind.ROLL_BACK)
    if step.only_when_healthy and (proof is None or proof.state is not StepState.DONE):
        return "Left as it is, because the target is not proven healthy (undo.when: healthy)."
    return None


def _state_of(rollback: Rollback, kind: StepKind) -> StepState | None:
    step = rollback.step_of(kind)
    return None if step is None else step.state
