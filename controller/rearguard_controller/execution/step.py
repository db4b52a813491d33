"""One step of a rollback: intent, effect, result.

Here: first a look whether the step still makes sense; then the intent is committed, the effect done and the result
committed. While the effect goes on, a person may stop it. At the end it is measured and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from rearguard_controller.adapters.actions import ActionContext
from rearguard_controller.adapters.telemetry import Span
from rearguard_controller.errors import ConflictError, JournalError, ShortageError, SourceError
from rearguard_controller.execution.effects import Effect, Effects, Work
from rearguard_controller.execution.record_event import Recording, has_begun
from rearguard_controller.model import (
    Decision,
    OnFailure,
    Outcome,
    Phase,
    ReleaseKind,
    Rollback,
    Step,
    StepKind,
    StepState,
    Trigger,
)
from rearguard_controller.releases.rollout import is_beside
from rearguard_controller.rollback import Event, EventKind, RunStep
from rearguard_controller.rollback.next_move import not_changed
from rearguard_controller.rollback.transitions import TAKES_BACK
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0  # seconds between looks for what people, or other replicas, have put into the journal
LOOKS_IN_TURN = 10  # further readings of a `current` that prints two versions in turn
PAUSE_IN_TURN = 0.5  # seconds between them
SURE_TO_LEAD = 2.0  # seconds after an intent in which no other replica can have begun to lead
TELL_AT_FAILURE = 3  # failures of an undo hook after which people are told
STOPPABLE = frozenset({StepKind.VERIFY_HEALTH, StepKind.VERIFY_RECOVERY})  # an abort need not wait for these
SPANS: Mapping[StepKind, Span] = {
    StepKind.ROLL_BACK: Span.COMMAND,
    StepKind.VERIFY_HEALTH: Span.HEALTH,
    StepKind.VERIFY_RECOVERY: Span.RECOVERY,
}


@dataclass(frozen=True, slots=True)
class Driven:
    """What the runner keeps of a rollback while it drives it.

    Attributes:
        decision: the one that opened it; None if its record cannot be read.
        stdin: what its commands get on standard input.
        nudge: set when a person says something of it to this process.
    """

    decision: Decision | None
    stdin: bytes
    nudge: asyncio.Event


class Stepping:
    """Carries out steps, each once its intent is committed."""

    def __init__(self, runtime: Runtime, effects: Effects, recording: Recording) -> None:
        """Wire it."""
        self._journal, self._lead, self._clock = runtime.journal, runtime.lead, runtime.clock
        self._telemetry, self._notices = runtime.telemetry, runtime.notices
        self._effects = effects
        self._recording = recording

    async def run(self, move: RunStep, rollback: Rollback, driven: Driven) -> None:
        """Carry out a step, or find that the attempt has ended."""
        step = move.step
        if not move.look_first and await self._is_in_vain(rollback, step, driven):
            return
        asked_at = asyncio.get_running_loop().time()
        started = await self._begin(rollback, step, driven)
        if started is None:
            return
        step = started.steps[step.seq]
        releases = await self._recording.patiently(lambda: self._journal.releases(rollback.target))
        if asyncio.get_running_loop().time() - asked_at > SURE_TO_LEAD:
            await self._make_sure_to_lead()
        may_act = move.may_act and (started.stopping is None or step.kind in TAKES_BACK)
        work = Work(started, step, driven.stdin, releases, move.look_first, may_act)
        effect = await self._guarded(work, driven.nudge)
        kind = EventKind.STEP_DONE if effect.ok else EventKind.STEP_FAILED
        event = Event(kind, self._clock(), step.seq, effect.output, effect.detail, effect.outcome)
        after = await self._recording.commit(rollback, event)
        log.info("step_ended", target=rollback.target, rollback=rollback.id, step=step.name, ok=effect.ok,
                 detail=effect.detail)  # fmt: skip
        if after is not None:
            self._measure(after, after.steps[step.seq])
            await self._tell_undo_failing(after, after.steps[step.seq], driven)

    async def _tell_undo_failing(self, rollback: Rollback, step: Step, driven: Driven) -> None:
        """Tell people of the third failure of an undo hook. An attempt that a crash cut off is no failure."""
        retried = step.kind is StepKind.UNDO_HOOK and step.on_failure is OnFailure.RETRY
        if not retried or step.state is not StepState.FAILED or step.attempt < TELL_AT_FAILURE:
            return
        events = await self._recording.patiently(lambda: self._journal.events(rollback.id))
        failures = [each for each in events if each.kind is EventKind.STEP_FAILED and each.seq == step.seq]
        if len(failures) == TELL_AT_FAILURE:
            log.error("undo_failing", target=rollback.target, rollback=rollback.id, step=step.name,
                      failures=len(failures), detail=step.detail)  # fmt: skip
            self._notices.undo_failing(rollback, step, driven.decision)

    async def _make_sure_to_lead(self) -> None:
        """Prove that this process leads. Its intent proved it, too, but it may have stood still since then.

        Raises:
            LeaseLostError: another replica leads; it looks at the step itself.
        """
        await self._recording.patiently(self._lead.prove_lead)

    async def _begin(self, rollback: Rollback, step: Step, driven: Driven) -> Rollback | None:
        """Commit the intent. None: the journal's rules forbid it, and the attempt has ended instead."""
        try:
            started = await self._recording.patiently(
                lambda: self._lead.append(rollback.id, Event(EventKind.STEP_STARTED, self._clock(), step.seq))
            )
        except ConflictError as error:
            fresh = await self._recording.patiently(lambda: self._journal.rollback(rollback.id))
            if fresh.phase is Phase.RUNNING and fresh.steps[step.seq].state is StepState.PLANNED:
                event = Event(
                    EventKind.STEP_SKIPPED, self._clock(), step.seq, detail=error.message, outcome=Outcome.SUPERSEDED
                )
                await self._recording.note(fresh, event, driven.decision)
            return None
        log.info("step_started", target=rollback.target, rollback=rollback.id, step=step.name,
                 attempt=started.steps[step.seq].attempt)  # fmt: skip
        if not has_begun(rollback):
            log.info("started", target=rollback.target, rollback=rollback.id, step=step.name)
            self._recording.tell_decided(rollback, driven.decision)
            self._notices.started(started, driven.decision)
        if step.kind is StepKind.ROLL_BACK and rollback.trigger is Trigger.ALERT:
            self._telemetry.span(
                rollback.target,
                Span.DECISION_TO_COMMAND,
                self._clock() - (rollback.waited_until or rollback.opened_at),
            )
        return started

    async def _guarded(self, work: Work, nudge: asyncio.Event) -> Effect:
        """Carry the effect out. If a person's word stops it, it has failed, and the runner goes on."""
        task = asyncio.create_task(self._effects.carry_out(work))
        try:
            while not task.done():
                nudged = asyncio.create_task(nudge.wait())
                try:
                    await asyncio.wait([task, nudged], timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    nudged.cancel()
                nudge.clear()
                if not task.done() and await self._was_stopped(work):
                    task.cancel()
                    await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            return Effect(ok=False, detail="Stopped by a person.")
        error = task.exception()
        if error is not None:  # a fault of ours: the step has failed, and what was begun is undone all the same
            log.error("step_broke", target=work.rollback.target, rollback=work.rollback.id, step=work.step.name,
                      exc_info=error)  # fmt: skip
            detail = f"The controller could not carry it out ({type(error).__name__})."
            if work.step.kind is StepKind.BEFORE_HOOK and work.step.on_failure is OnFailure.STOP:
                detail = f"{detail} {not_changed(work.rollback)}"
                return Effect(ok=False, detail=detail, outcome=Outcome.INTERRUPTED)
            return Effect(ok=False, detail=detail)
        return task.result()

    async def _was_stopped(self, work: Work) -> bool:
        """Whether a person asked to close, or to abort while only a verification runs."""
        try:
            rollback = await self._journal.rollback(work.rollback.id)
        except JournalError:
            return False
        aborted = rollback.stopping is not None and work.rollback.stopping is None
        return rollback.close_asked or (aborted and work.step.kind in STOPPABLE)

    async def _destination_refused(
        self, rollback: Rollback, step: Step, release: ReleaseKind, driven: Driven
    ) -> bool:
        """Ask the target's own check once more, before the first step; if it refuses, end the attempt."""
        why, outcome = await self._effects.refusal(release, Work(rollback, step, b""))
        if why:
            event = Event(EventKind.STEP_SKIPPED, self._clock(), step.seq, detail=why, outcome=outcome)
            await self._recording.note(rollback, event, driven.decision)
        return bool(why)

    async def _is_in_vain(self, rollback: Rollback, step: Step, driven: Driven) -> bool:
        """Read `current` right before the first step and right before roll_back; if it changed, end the attempt."""
        first = all(each.state is StepState.PLANNED for each in rollback.steps)
        is_roll_back = step.kind is StepKind.ROLL_BACK
        release = next((each.action for each in rollback.steps if isinstance(each.action, ReleaseKind)), None)
        if release is None or not (first or is_roll_back):
            return False
        context = Work(rollback, step, b"").context
        try:
            version = await self._serving(rollback, release, context)
        except SourceError as error:
            if is_roll_back:
                detail = f"What serves is not known, so nothing was changed: {error.message}"
                outcome = Outcome.FAILED
                if isinstance(error, ShortageError):
                    detail, outcome = f"{error.message} {not_changed(rollback)}", Outcome.INTERRUPTED
                event = Event(EventKind.STEP_SKIPPED, self._clock(), step.seq, detail=detail, outcome=outcome)
                await self._recording.note(rollback, event, driven.decision)
            return is_roll_back
        if version == rollback.from_version:
            return first and await self._destination_refused(rollback, step, release, driven)
        detail = f"{version} serves, not {rollback.from_version}: somebody else changed it."
        event = Event(EventKind.TARGET_CHANGED, self._clock(), detail=detail)
        await self._recording.note(rollback, event, driven.decision)
        return True

    async def _serving(self, rollback: Rollback, release: ReleaseKind, context: ActionContext) -> str:
        """The version that serves. While `current` prints two in turn, the one to be left counts if it is among them.

        Raises:
            SourceError: it could not be read.
        """
        version = await self._effects.serving(release, context)
        if version == rollback.from_version:
            return version
        state = await self._recording.patiently(lambda: self._journal.target_state(rollback.target))
        if not is_beside(state, version, self._clock()):
            return version
        for _ in range(LOOKS_IN_TURN):
            await asyncio.sleep(PAUSE_IN_TURN)
            if await self._effects.serving(release, context) == rollback.from_version:
                return rollback.from_version
        return version

    def _measure(self, rollback: Rollback, step: Step) -> None:
        self._telemetry.step_ended(rollback.target, step)
        span = SPANS.get(step.kind)
        if span is not None and step.started_at is not None and step.ended_at is not None:
            self._telemetry.span(rollback.target, span, step.ended_at - step.started_at)
