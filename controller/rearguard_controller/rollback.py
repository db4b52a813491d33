"""The life of a rollback: one table of transitions, one plan, one question ("what next?"). No input or output.

A rollback is never changed in place. It is *opened* with a frozen plan of steps, and from then on it is the fold of
its events: `apply(rollback, event)` returns the next value, and an event that the tables below do not list is
refused and changes nothing. `next_move` looks at such a value and says what to do next; it knows no clock but the
moment that it is given and no history but the fold. A crash therefore needs no recovery code of its own: whoever
reads the events back and asks `next_move` goes on where the last committed event stands.

Two tables hold everything. `PHASES` says which events a rollback accepts in which phase. `STEPS` says how events move
one step: an intent (`step_started`) is committed before the effect, a result after it, so a step found `started` by
a new process has an unknown result and becomes `interrupted`; what then happens is its `after_crash` rule.

The order of a plan is fixed: before hooks, roll_back, verify_health, after hooks that clear the way for traffic, the
undo of the before hooks in reverse, the other after hooks, verify_recovery. When the attempt ends early (`stopping`
holds its outcome), the steps that would act are skipped and the undo hooks still run.

A rollback may be opened *waiting*: for a person's approval until a moment, or for the time to veto it to pass. Both
ends of a wait, the approval and the moment, lead to one more judgement (`JudgeAgain`) and only that to the first
step; where nobody approved in time it closes as `expired`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from rearguard_controller.errors import ConflictError
from rearguard_controller.model import (
    AfterCrash,
    OnFailure,
    Outcome,
    Phase,
    Release,
    Rollback,
    Step,
    StepKind,
    StepState,
    TargetState,
)

RETRY_FIRST = 1.0  # seconds before an undo hook is tried again; doubles up to RETRY_MOST
RETRY_MOST = 30.0


@unique
class EventKind(StrEnum):
    """What can happen to a rollback."""

    OPENED = "opened"
    APPROVED = "approved"
    VETOED = "vetoed"
    WAIT_ENDED = "wait_ended"
    FAULT_OVER = "fault_over"
    STEP_STARTED = "step_started"
    STEP_DONE = "step_done"
    STEP_FAILED = "step_failed"
    STEP_SKIPPED = "step_skipped"
    STEP_INTERRUPTED = "step_interrupted"
    TARGET_CHANGED = "target_changed"
    ABORT_ASKED = "abort_asked"
    CLOSE_ASKED = "close_asked"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a rollback. Fields that a kind does not use stay empty."""

    kind: EventKind
    at: float
    seq: int | None = None  # the step, for step events
    output: str = ""
    detail: str = ""
    outcome: Outcome | None = None  # of `closed`; of a step's result that settles how the attempt ends
    opened: Rollback | None = None  # of `opened`


# --- moves -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStep:
    """Commit the step's intent, then carry it out."""

    step: Step
    look_first: bool = False  # a crash left its effect unknown: ask the target before acting
    may_act: bool = True  # false: only look, the attempt has ended


@dataclass(frozen=True, slots=True)
class Note:
    """Commit this event; nothing outside is touched."""

    event: Event


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing to do before this moment."""

    moment: float


@dataclass(frozen=True, slots=True)
class JudgeAgain:
    """The wait is over: commit `wait_ended` if the rollback is still right, else why it is not."""


Move = RunStep | Note | WaitUntil | JudgeAgain


# --- the tables -------------------------------------------------------------------------------------------


def _approved(rollback: Rollback, event: Event) -> Rollback:
    """The wait is over; the fresh judgement still has the last word."""
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
    """With outcome `expired` it says that nobody approved; else that the rollback was judged again and is right."""
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
    if state is StepState.STARTED:
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
    if outcome is not None and state in (StepState.DONE, StepState.FAILED, StepState.SKIPPED):
        return _stops(outcome)(rollback, replace(event, detail=f"{step.name}: {event.detail}"))
    return rollback


def _refuse_if_ended(rollback: Rollback, step: Step) -> None:
    """An abort or close that was committed is never followed by the intent of a step that it rules out."""
    why = _reason_to_skip(rollback, step) if step.state is StepState.PLANNED else None
    if (
        step.state is StepState.INTERRUPTED
        and _is_over(rollback, step)
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
    (Phase.WAITING, EventKind.CLOSED): _closed,
    (Phase.RUNNING, EventKind.STEP_STARTED): _step_event,
    (Phase.RUNNING, EventKind.STEP_DONE): _step_event,
    (Phase.RUNNING, EventKind.STEP_FAILED): _step_event,
    (Phase.RUNNING, EventKind.STEP_SKIPPED): _step_event,
    (Phase.RUNNING, EventKind.STEP_INTERRUPTED): _step_event,
    (Phase.RUNNING, EventKind.TARGET_CHANGED): _stops(Outcome.SUPERSEDED),
    (Phase.RUNNING, EventKind.ABORT_ASKED): _stops(Outcome.ABORTED),
    (Phase.RUNNING, EventKind.CLOSE_ASKED): _close_asked,
    (Phase.RUNNING, EventKind.CLOSED): _closed,
}

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


# --- what it leaves behind ---------------------------------------------------------------------------------


def marks(release: Release, rollback: Rollback) -> Release:
    """What is remembered of the version that a rollback leaves; to be asked when roll_back starts and at the close.

    Suspect from the intent of the roll_back step on; bad when leaving it helped; cleared when it did not. Any other
    close leaves the mark as it is, so that a person's word meanwhile stands.
    """
    step = rollback.step_of(StepKind.ROLL_BACK)
    if step is None or step.attempt == 0:
        return release
    match rollback.outcome:
        case Outcome.RECOVERED:
            return replace(release, bad_at=rollback.closed_at)
        case Outcome.NOT_RECOVERED:
            return replace(release, suspect_at=None)
        case None:
            return replace(release, suspect_at=release.suspect_at or step.started_at)
        case _:
            return release


def arming(state: TargetState, rollback: Rollback) -> TargetState:
    """The target's arming after a closed rollback: one that was begun and did not help disarms it.

    Begun is begun with any step: an attempt that fails at its first hook would otherwise be made again at every poll.
    So would one that a person aborted, or closed, before its first step.
    """
    proved = rollback.step_of(StepKind.VERIFY_RECOVERY) is not None  # then `completed` means: over without its help
    helped = rollback.outcome is Outcome.RECOVERED or (rollback.outcome is Outcome.COMPLETED and not proved)
    begun = any(step.attempt for step in rollback.steps)
    ended = rollback.outcome in (Outcome.ABORTED, Outcome.NEEDS_A_PERSON)  # without a step, only people end it so
    if rollback.outcome is None or helped or not (begun or ended):
        return state
    return replace(
        state,
        armed=False,
        armed_reason=f"rollback {rollback.id} ended as {rollback.outcome}",
        armed_changed_at=rollback.closed_at,
        disarmed_until=None,
        disarmed_by=rollback.outcome,
    )


# --- what next --------------------------------------------------------------------------------------------


def next_move(rollback: Rollback, now: float) -> Move | None:
    """What to do next with a rollback; None once it is closed.

    The caller must not ask while a step of this rollback is being carried out: a step found `started` here is taken
    as left behind by a crash.
    """
    if rollback.phase is Phase.CLOSED:
        return None
    if rollback.close_asked:
        outcome = rollback.stopping or Outcome.NEEDS_A_PERSON
        return Note(Event(EventKind.CLOSED, now, outcome=outcome, detail=rollback.stopping_detail))
    if rollback.phase is Phase.WAITING:
        return _waiting_move(rollback, now)
    wait: float | None = None
    for step in rollback.steps:
        if wait is not None and step.kind is not StepKind.UNDO_HOOK:
            break  # what comes after the undo hooks waits for them; other undo hooks do not wait for one another
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
            detail = "The controller stopped before the result of this step was known."
            return Note(Event(EventKind.STEP_INTERRUPTED, now, step.seq, output=step.output, detail=detail))
        case StepState.FAILED:
            if step.on_failure is not OnFailure.RETRY:
                return None
            return _retry_move(step, now)
        case StepState.INTERRUPTED:
            return _interrupted_move(rollback, step, now)
        case StepState.PLANNED:
            why = _reason_to_skip(rollback, step)
            return RunStep(step) if why is None else Note(Event(EventKind.STEP_SKIPPED, now, step.seq, detail=why))


def _retry_move(step: Step, now: float) -> Move:
    ended = now if step.ended_at is None else step.ended_at
    due = ended + min(RETRY_MOST, RETRY_FIRST * 2 ** min(step.attempt - 1, 16))
    waiting = ended <= now < due  # a clock that was set back must not keep traffic drained until it has caught up
    return WaitUntil(due) if waiting else RunStep(step)


def _is_over(rollback: Rollback, step: Step) -> bool:
    """Whether the attempt has ended for a step that was begun: only what undoes is done again."""
    return rollback.stopping is not None and step.kind is not StepKind.UNDO_HOOK


def _interrupted_move(rollback: Rollback, step: Step, now: float) -> Move:
    ended = _is_over(rollback, step)
    if step.after_crash is AfterCrash.LOOK_FIRST:
        return RunStep(step, look_first=True, may_act=not ended)
    if step.after_crash is AfterCrash.REDO and not ended:
        return RunStep(step)
    detail = "Interrupted by a stop of the controller, and not to be repeated: counted as failed."
    return Note(Event(EventKind.STEP_FAILED, now, step.seq, detail=detail))


def _reason_to_skip(rollback: Rollback, step: Step) -> str | None:
    stopping = rollback.stopping
    match step.kind:
        case StepKind.BEFORE_HOOK | StepKind.ROLL_BACK | StepKind.VERIFY_HEALTH | StepKind.VERIFY_RECOVERY:
            return None if stopping is None else f"The attempt has ended: {stopping}."
        case StepKind.UNDO_HOOK:
            return _reason_to_leave_undone(rollback, step)
        case StepKind.AFTER_HOOK:
            if _state_of(rollback, StepKind.ROLL_BACK) is not StepState.DONE:
                return "The version was not put back."
            if stopping is Outcome.ABORTED or (stopping is not None and step.before_restore):
                return f"The attempt has ended: {stopping}."
            return None


def _reason_to_leave_undone(rollback: Rollback, step: Step) -> str | None:
    if step.undoes is not None and rollback.steps[step.undoes].attempt == 0:
        return "Its hook never started: nothing to undo."
    proof = rollback.step_of(StepKind.VERIFY_HEALTH) or rollback.step_of(
        StepKind.ROLL_BACK
    )  # no check: what there is
    if step.only_when_healthy and (proof is None or proof.state is not StepState.DONE):
        return "Left as it is, because the target is not proven healthy (undo.when: healthy)."
    return None


def _state_of(rollback: Rollback, kind: StepKind) -> StepState | None:
    step = rollback.step_of(kind)
    return None if step is None else step.state


def _outcome(rollback: Rollback) -> tuple[Outcome, str]:
    if rollback.stopping is not None:
        return rollback.stopping, rollback.stopping_detail
    recovery = rollback.step_of(StepKind.VERIFY_RECOVERY)
    if recovery is None:
        return (
            Outcome.COMPLETED,
            f"{rollback.to_version} serves; nothing was firing that could have been over.",
        )
    return Outcome.RECOVERED, recovery.detail
