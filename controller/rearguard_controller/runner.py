"""The only loop that acts: it carries open rollbacks, one move after another, to their close.

Here: for each open rollback a task that asks `rollback.next_move`, commits the intent, has the effect done, commits
the result, and asks again. Start-up takes the same road; there is no second recovery code. While the journal cannot
be written, results wait here and nothing new is begun.
Never here: what comes next (`rollback`), how a step is done (`effects`), whether to roll back at all (`policy`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import orjson
import structlog

from rearguard_controller import shapes
from rearguard_controller.effects import Effect, Effects, Work
from rearguard_controller.errors import (
    ConflictError,
    DamagedError,
    JournalError,
    LeaseLostError,
    NotFoundError,
    SourceError,
)
from rearguard_controller.journal.store import Journal, OperatorAction
from rearguard_controller.model import (
    CommandRelease,
    Decision,
    OnFailure,
    Outcome,
    Phase,
    Rollback,
    Step,
    StepKind,
    StepState,
    Trigger,
)
from rearguard_controller.notices import Notices
from rearguard_controller.rollback import Event, EventKind, JudgeAgain, Move, Note, RunStep, WaitUntil, next_move
from rearguard_controller.telemetry import Span, Telemetry
from rearguard_controller.waiting import Judge, Wait

log = structlog.get_logger()
T = TypeVar("T")

JOURNAL_RETRY_FIRST = 0.5  # seconds before a refused commit is tried again; doubles up to JOURNAL_RETRY_MOST
JOURNAL_RETRY_MOST = 10.0
LOOK_EVERY = 1.0  # seconds between looks for what people, or other replicas, have put into the journal
ASIDE_FOR = 30.0  # seconds until a rollback that a fault of ours has stopped is taken up again
SURE_TO_LEAD = 2.0  # seconds after an intent in which no other replica can have begun to lead
TELL_AT_FAILURE = 3  # failures of an undo hook after which people are told
STOPPABLE = frozenset({StepKind.VERIFY_HEALTH, StepKind.VERIFY_RECOVERY})  # an abort need not wait for these
SPANS: Mapping[StepKind, Span] = {
    StepKind.ROLL_BACK: Span.COMMAND,
    StepKind.VERIFY_HEALTH: Span.HEALTH,
    StepKind.VERIFY_RECOVERY: Span.RECOVERY,
}


class Runner:
    """Drives rollbacks; one task each, targets never wait for one another."""

    def __init__(
        self,
        journal: Journal,
        lead: Journal,
        effects: Effects,
        telemetry: Telemetry,
        *,
        judge: Callable[[], Judge],
        notices: Notices,
        clock: Callable[[], float],
    ) -> None:
        """Wire the runner: people's words go to `journal` from any replica, the rest to `lead`, which is fenced.

        `judge` gives the judge of the present configuration.
        """
        self._judge = judge
        self._journal = journal
        self._lead = lead
        self._effects = effects
        self._telemetry = telemetry
        self._notices = notices
        self._clock = clock
        self._wake = asyncio.Event()
        self._driven: dict[str, asyncio.Task[None]] = {}
        self._nudges: dict[str, asyncio.Event] = {}
        self._decisions: dict[str, Decision | None] = {}  # of the driven ones, where they can be read
        self._aside: dict[str, float] = {}  # rollbacks that a fault of ours stopped, and until when

    def wake(self) -> None:
        """There may be a new open rollback."""
        self._wake.set()

    async def run(self) -> None:
        """Drive every open rollback, for ever; first those that were found open at the start."""
        try:
            while True:
                await self._take_up()
                with contextlib.suppress(TimeoutError):  # other replicas cannot wake us
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            for task in self._driven.values():
                task.cancel()
            await asyncio.gather(*self._driven.values(), return_exceptions=True)

    async def approve(self, rollback_id: str, operator: str, reason: str) -> Rollback:
        """Let a rollback that waits be begun, if a fresh judgement finds it right.

        Raises:
            NotFoundError, ConflictError: there is no such rollback, or it is too late.
        """
        detail = f"{operator} approved it: {reason}"
        return await self._ask(rollback_id, EventKind.APPROVED, "approve", operator, reason, detail)

    async def veto(self, rollback_id: str, operator: str, reason: str) -> Rollback:
        """Close a rollback that waits as `vetoed`; nothing was begun.

        Raises:
            NotFoundError, ConflictError: there is no such rollback, or it is too late.
        """
        detail = f"{operator} vetoed it: {reason}"
        return await self._ask(rollback_id, EventKind.VETOED, "veto", operator, reason, detail)

    async def abort(self, rollback_id: str, operator: str, reason: str) -> Rollback:
        """End the attempt: what was begun is undone, and the rollback closes as `aborted`.

        A command that is running is let finish; a verification is stopped.

        Raises:
            NotFoundError, ConflictError: there is no such rollback, or it is closed.
        """
        detail = f"{operator} aborted it: {reason}"
        return await self._ask(rollback_id, EventKind.ABORT_ASKED, "abort", operator, reason, detail)

    async def close(self, rollback_id: str, operator: str, reason: str) -> Rollback:
        """Close a rollback that cannot finish, as it stands: nothing more is done, a running command is ended.

        Raises:
            NotFoundError, ConflictError: there is no such rollback, or it is closed.
        """
        detail = f"{operator} closed it: {reason}"
        return await self._ask(rollback_id, EventKind.CLOSE_ASKED, "close", operator, reason, detail)

    async def _ask(
        self, rollback_id: str, kind: EventKind, verb: str, operator: str, reason: str, detail: str
    ) -> Rollback:
        now = self._clock()
        action = OperatorAction(now, operator, verb, rollback_id, reason)
        rollback = await self._journal.append(rollback_id, Event(kind, now, detail=detail), action=action)
        nudge = self._nudges.get(rollback_id)
        if nudge is not None:
            nudge.set()
        self.wake()
        return rollback

    # --- one task for each open rollback ----------------------------------------------------------------

    async def _take_up(self) -> None:
        try:
            found = await self._journal.open_rollbacks()
        except JournalError as error:
            self._telemetry.journal_failed()
            log.error("journal_unreadable", error=error.message, hint=error.hint)
            asyncio.get_running_loop().call_later(JOURNAL_RETRY_FIRST, self.wake)
            return
        for rollback in found:
            aside = self._aside.get(rollback.id, 0.0) > asyncio.get_running_loop().time()
            if rollback.id not in self._driven and not aside:
                if rollback.phase is not Phase.WAITING:
                    self._telemetry.opened(rollback)
                self._nudges[rollback.id] = asyncio.Event()
                task = asyncio.create_task(self._drive(rollback), name=f"rollback {rollback.id}")
                self._driven[rollback.id] = task
                task.add_done_callback(lambda task, rollback_id=rollback.id: self._let_go(rollback_id, task))  # type: ignore[misc]  # the default binds the id of this turn
                task.add_done_callback(lambda _, of=rollback: self._telemetry.let_go(of))  # type: ignore[misc]  # the same

    def _let_go(self, rollback_id: str, task: asyncio.Task[None]) -> None:
        self._driven.pop(rollback_id, None)
        self._nudges.pop(rollback_id, None)
        self._decisions.pop(rollback_id, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LeaseLostError):
            log.warning("rollback_left_to_another_leader", rollback=rollback_id)
        elif error is not None:
            log.error("rollback_set_aside", rollback=rollback_id, again_in=ASIDE_FOR, exc_info=error)
            self._aside[rollback_id] = asyncio.get_running_loop().time() + ASIDE_FOR

    async def _drive(self, rollback: Rollback) -> None:
        decision = self._decisions[rollback.id] = await self._decision_of(rollback)
        stdin = _stdin(rollback, decision)
        rollback_id = rollback.id
        wait = Wait(self._judge, self._clock)
        while True:
            rollback = await self._patiently(lambda: self._journal.rollback(rollback_id))
            waits = rollback.phase is Phase.WAITING
            move = next_move(rollback, wait.now() if waits else self._clock())
            if move is None:
                return
            if waits and not isinstance(move, Note):
                await self._wait(move, rollback, wait)
            else:
                await self._make(move, rollback, stdin)

    async def _decision_of(self, rollback: Rollback) -> Decision | None:
        """The decision that opened it; None where its record is damaged."""
        try:
            return await self._patiently(lambda: self._journal.decision(rollback.decision_id))
        except (DamagedError, NotFoundError) as error:
            log.error("decision_unreadable", rollback=rollback.id, error=error.message, hint=error.hint)
            return None

    async def _wait(self, move: Move, rollback: Rollback, wait: Wait) -> None:
        """Judge a rollback that waits, and note what follows; else look again soon."""
        event = await self._patiently(lambda: wait.look(rollback, ended=isinstance(move, JudgeAgain)))
        if event is not None:
            await self._note(rollback, event)
        else:
            await self._sleep(rollback, move.moment - wait.now() if isinstance(move, WaitUntil) else LOOK_EVERY)

    async def _make(self, move: Move, rollback: Rollback, stdin: bytes) -> None:
        match move:
            case RunStep():
                await self._run_step(move, rollback, stdin)
            case Note():
                await self._note(rollback, move.event)
            case WaitUntil():
                await self._sleep(rollback, move.moment - self._clock())
            case JudgeAgain():  # of one that waits, which goes another way
                raise ConflictError(f"Rollback {rollback.id} does not wait.")

    async def _sleep(self, rollback: Rollback, seconds: float) -> None:
        """Until then, until a person says something here, or until it is time to look for what was said elsewhere."""
        nudge = self._nudges[rollback.id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK_EVERY, max(0.0, seconds))):
                await nudge.wait()
        nudge.clear()

    async def _note(self, rollback: Rollback, event: Event) -> None:
        after = await self._commit(rollback.id, event)
        if after is None:
            return
        if event.seq is not None:
            self._telemetry.step_ended(rollback.target, after.steps[event.seq])
        if rollback.phase is Phase.WAITING and after.phase is not Phase.CLOSED:
            log.info("wait_ended", target=after.target, rollback=after.id, event_kind=event.kind.value,
                     detail=event.detail)  # fmt: skip
        if rollback.phase is Phase.WAITING and after.phase is Phase.RUNNING:
            self._telemetry.opened(after)
        if after.phase is Phase.CLOSED:
            self._telemetry.closed(after)
            log.info(
                "finished", target=after.target, rollback=after.id, outcome=str(after.outcome), detail=after.detail
            )
            self._tell_decided(rollback)
            self._notices.finished(after, self._decisions.get(after.id))

    def _tell_decided(self, rollback: Rollback) -> None:
        """Tell of a decision by hand, once: at the first step, or at the end where no step was begun."""
        decision = self._decisions.get(rollback.id)
        if decision is not None and rollback.trigger is Trigger.MANUAL and not _has_begun(rollback):
            self._notices.decided(decision, rollback)

    # --- intent, effect, result ---------------------------------------------------------------------------

    async def _run_step(self, move: RunStep, rollback: Rollback, stdin: bytes) -> None:
        step = move.step
        if not move.look_first and await self._is_in_vain(rollback, step):
            return
        asked_at = asyncio.get_running_loop().time()
        started = await self._begin(rollback, step)
        if started is None:
            return
        step = started.steps[step.seq]
        releases = await self._patiently(lambda: self._journal.releases(rollback.target))
        if asyncio.get_running_loop().time() - asked_at > SURE_TO_LEAD:
            await self._make_sure_to_lead()
        may_act = move.may_act and (started.stopping is None or step.kind is StepKind.UNDO_HOOK)
        work = Work(started, step, stdin, releases, move.look_first, may_act)
        effect = await self._guarded(work)
        kind = EventKind.STEP_DONE if effect.ok else EventKind.STEP_FAILED
        event = Event(kind, self._clock(), step.seq, effect.output, effect.detail, effect.outcome)
        after = await self._commit(rollback.id, event)
        log.info("step_ended", target=rollback.target, rollback=rollback.id, step=step.name, ok=effect.ok,
                 detail=effect.detail)  # fmt: skip
        if after is not None:
            self._measure(after, after.steps[step.seq])
            await self._tell_undo_failing(after, after.steps[step.seq])

    async def _tell_undo_failing(self, rollback: Rollback, step: Step) -> None:
        """Tell of the third failure of an undo hook, by its events: attempts that a crash cut off are no failures."""
        retried = step.kind is StepKind.UNDO_HOOK and step.on_failure is OnFailure.RETRY
        if not retried or step.state is not StepState.FAILED or step.attempt < TELL_AT_FAILURE:
            return
        events = await self._patiently(lambda: self._journal.events(rollback.id))
        failures = [each for each in events if each.kind is EventKind.STEP_FAILED and each.seq == step.seq]
        if len(failures) == TELL_AT_FAILURE:
            log.error("undo_failing", target=rollback.target, rollback=rollback.id, step=step.name,
                      failures=len(failures), detail=step.detail)  # fmt: skip
            self._notices.undo_failing(rollback, step, self._decisions.get(rollback.id))

    async def _make_sure_to_lead(self) -> None:
        """The intent proved that we lead, but that was a while ago: this process may have been stopped since.

        Raises:
            LeaseLostError: another replica leads; it looks at the step itself.
        """
        await self._patiently(self._lead.prove_lead)

    async def _begin(self, rollback: Rollback, step: Step) -> Rollback | None:
        """Commit the intent; None when the journal's rules forbid it, and the attempt has ended instead."""
        try:
            started = await self._patiently(
                lambda: self._lead.append(rollback.id, Event(EventKind.STEP_STARTED, self._clock(), step.seq))
            )
        except ConflictError as error:
            fresh = await self._patiently(lambda: self._journal.rollback(rollback.id))
            if fresh.phase is Phase.RUNNING and fresh.steps[step.seq].state is StepState.PLANNED:
                event = Event(
                    EventKind.STEP_SKIPPED, self._clock(), step.seq, detail=error.message, outcome=Outcome.SUPERSEDED
                )
                await self._note(fresh, event)
            return None
        log.info("step_started", target=rollback.target, rollback=rollback.id, step=step.name,
                 attempt=started.steps[step.seq].attempt)  # fmt: skip
        if not _has_begun(rollback):
            log.info("started", target=rollback.target, rollback=rollback.id, step=step.name)
            self._tell_decided(rollback)
            self._notices.started(started, self._decisions.get(rollback.id))
        if step.kind is StepKind.ROLL_BACK and rollback.trigger is Trigger.ALERT:
            self._telemetry.span(
                rollback.target,
                Span.DECISION_TO_COMMAND,
                self._clock() - (rollback.waited_until or rollback.opened_at),
            )
        return started

    async def _guarded(self, work: Work) -> Effect:
        """The effect; one that is stopped on a person's word is a failed effect, not a stop of the runner."""
        task = asyncio.create_task(self._effects.carry_out(work))
        nudge = self._nudges[work.rollback.id]
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
            log.error("step_broke", rollback=work.rollback.id, step=work.step.name, exc_info=error)
            return Effect(ok=False, detail=f"The controller could not carry it out ({type(error).__name__}).")
        return task.result()

    async def _was_stopped(self, work: Work) -> bool:
        """Whether a person asked to close, or to abort while only a verification runs."""
        try:
            rollback = await self._journal.rollback(work.rollback.id)
        except JournalError:
            return False
        aborted = rollback.stopping is not None and work.rollback.stopping is None
        return rollback.close_asked or (aborted and work.step.kind in STOPPABLE)

    async def _destination_refused(self, rollback: Rollback, step: Step, release: CommandRelease) -> bool:
        """Before anything is begun, the target's own check is asked once more; ends the attempt if it refuses."""
        why = await self._effects.refusal(release, Work(rollback, step, b""))
        if why:
            event = Event(EventKind.STEP_SKIPPED, self._clock(), step.seq, detail=why, outcome=Outcome.FAILED)
            await self._note(rollback, event)
        return bool(why)

    async def _is_in_vain(self, rollback: Rollback, step: Step) -> bool:
        """Read `current` right before the first step and right before roll_back; ends the attempt if it changed."""
        first = all(each.state is StepState.PLANNED for each in rollback.steps)
        is_roll_back = step.kind is StepKind.ROLL_BACK
        release = next((each.action for each in rollback.steps if isinstance(each.action, CommandRelease)), None)
        if release is None or not (first or is_roll_back):
            return False
        context = Work(rollback, step, b"").context
        try:
            version = await self._effects.serving(release, context)
        except SourceError as error:
            if is_roll_back:
                detail = f"What serves is not known, so nothing was changed: {error.message}"
                event = Event(EventKind.STEP_SKIPPED, self._clock(), step.seq, detail=detail, outcome=Outcome.FAILED)
                await self._note(rollback, event)
            return is_roll_back
        if version == rollback.from_version:
            return first and await self._destination_refused(rollback, step, release)
        detail = f"{version} serves, not {rollback.from_version}: somebody else changed it."
        await self._note(rollback, Event(EventKind.TARGET_CHANGED, self._clock(), detail=detail))
        return True

    def _measure(self, rollback: Rollback, step: Step) -> None:
        self._telemetry.step_ended(rollback.target, step)
        span = SPANS.get(step.kind)
        if span is not None and step.started_at is not None and step.ended_at is not None:
            self._telemetry.span(rollback.target, span, step.ended_at - step.started_at)

    # --- patience with the journal ------------------------------------------------------------------------

    async def _commit(self, rollback_id: str, event: Event) -> Rollback | None:
        """Append an event, however long the journal takes; None when a person closed the rollback meanwhile."""
        try:
            return await self._patiently(lambda: self._lead.append(rollback_id, event))
        except ConflictError as error:
            log.warning("event_refused", rollback=rollback_id, event_kind=event.kind.value, error=error.message)
            return None

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        pause = JOURNAL_RETRY_FIRST
        while True:
            try:
                return await ask()
            except DamagedError:  # asking again does not mend it
                raise
            except JournalError as error:
                self._telemetry.journal_failed()
                log.error("journal_failed", error=error.message, hint=error.hint, again_in=pause)
                await asyncio.sleep(pause)
                pause = min(JOURNAL_RETRY_MOST, pause * 2)


def _has_begun(rollback: Rollback) -> bool:
    return any(step.started_at is not None for step in rollback.steps)


def _stdin(rollback: Rollback, decision: Decision | None) -> bytes:
    """What commands get on standard input: the decision, or where it cannot be read only what it led to."""
    if decision is None:
        return orjson.dumps({"id": rollback.decision_id, "target": rollback.target, "rollback_id": rollback.id})
    return orjson.dumps(shapes.decision(decision))
