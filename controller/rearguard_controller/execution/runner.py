"""The only loop that acts: it carries open rollbacks, one move after another, to their close.

Here: for each open rollback a task that asks `rollback.next_move`, has the move made, and asks again. A start of the
process takes the same road; there is no second recovery code. While the journal cannot be written, results wait and
nothing new is begun.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import orjson
import structlog

from rearguard_controller import json_views
from rearguard_controller.errors import ConflictError, DamagedError, JournalError, LeaseLostError, NotFoundError
from rearguard_controller.execution.effects import Effects
from rearguard_controller.execution.record_event import JOURNAL_RETRY_FIRST, Recording
from rearguard_controller.execution.step import LOOK_EVERY, Driven, Stepping
from rearguard_controller.execution.waiting import Judge, Wait
from rearguard_controller.model import Decision, Phase, Rollback
from rearguard_controller.rollback import JudgeAgain, Move, Note, RunStep, WaitUntil, next_move
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

ASIDE_FOR = 30.0  # seconds until a rollback that a fault of ours has stopped is taken up again


class Runner:
    """Drives rollbacks; one task each, targets never wait for one another."""

    def __init__(self, runtime: Runtime, effects: Effects, *, judge: Callable[[], Judge]) -> None:
        """Wire the runner; `judge` gives the judge of the present configuration."""
        self._judge = judge
        self._journal, self._telemetry, self._clock = runtime.journal, runtime.telemetry, runtime.clock
        self._recording = Recording(runtime)
        self._stepping = Stepping(runtime, effects, self._recording)
        self._wake = asyncio.Event()
        self._driven: dict[str, asyncio.Task[None]] = {}
        self._nudges: dict[str, asyncio.Event] = {}
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

    def nudge(self, rollback_id: str) -> None:
        """A person said something of this rollback: look at once."""
        nudge = self._nudges.get(rollback_id)
        if nudge is not None:
            nudge.set()
        self.wake()

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
            if not aside:
                self._aside.pop(rollback.id, None)
            if rollback.id not in self._driven and not aside:
                if rollback.phase is not Phase.WAITING:
                    self._telemetry.opened(rollback)
                self._nudges[rollback.id] = asyncio.Event()
                task = asyncio.create_task(self._drive(rollback), name=f"rollback {rollback.id}")
                self._driven[rollback.id] = task
                task.add_done_callback(lambda task, of=rollback: self._let_go(of, task))  # type: ignore[misc]  # the default binds the rollback of this turn
                task.add_done_callback(lambda _, of=rollback: self._telemetry.let_go(of))  # type: ignore[misc]  # the same

    def _let_go(self, rollback: Rollback, task: asyncio.Task[None]) -> None:
        self._driven.pop(rollback.id, None)
        self._nudges.pop(rollback.id, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LeaseLostError):
            log.warning("rollback_left_to_another_leader", target=rollback.target, rollback=rollback.id)
        elif error is not None:
            log.error("rollback_set_aside", target=rollback.target, rollback=rollback.id, again_in=ASIDE_FOR,
                      exc_info=error)  # fmt: skip
            self._aside[rollback.id] = asyncio.get_running_loop().time() + ASIDE_FOR

    async def _drive(self, rollback: Rollback) -> None:
        decision = await self._decision_of(rollback)
        driven = Driven(decision, _stdin(rollback, decision), self._nudges[rollback.id])
        rollback_id, wait = rollback.id, Wait(self._judge, self._clock)
        while True:
            waits = rollback.phase is Phase.WAITING and not rollback.follows_another
            others = await self._others(rollback)
            move = next_move(rollback, wait.now() if waits else self._clock(), others)
            if move is None:
                return
            if waits and not isinstance(move, Note):
                await self._wait(move, rollback, wait, driven)
            else:
                await self._make(move, rollback, driven)
                self._tell_others(move, others)
            rollback = await self._recording.patiently(lambda: self._journal.rollback(rollback_id))

    async def _others(self, rollback: Rollback) -> list[Rollback]:
        """The rollbacks that go back together with this one, as long as it heeds them; without damaged ones."""
        tie, others = rollback.together, []
        for each in () if tie is None or rollback.together_done else tie.rollbacks:
            with contextlib.suppress(DamagedError, NotFoundError):
                if each != rollback.id:
                    others.append(await self._recording.patiently(partial(self._journal.rollback, each)))
        return others

    def _tell_others(self, move: Move, others: Sequence[Rollback]) -> None:
        """Something happened that those which go back together may wait for."""
        for each in () if isinstance(move, WaitUntil) else others:
            nudge = self._nudges.get(each.id)
            if nudge is not None:
                nudge.set()

    async def _decision_of(self, rollback: Rollback) -> Decision | None:
        """The decision that opened it; None where its record is damaged."""
        try:
            return await self._recording.patiently(lambda: self._journal.decision(rollback.decision_id))
        except (DamagedError, NotFoundError) as error:
            log.error("decision_unreadable", target=rollback.target, rollback=rollback.id, error=error.message,
                      hint=error.hint)  # fmt: skip
            return None

    async def _wait(self, move: Move, rollback: Rollback, wait: Wait, driven: Driven) -> None:
        """Judge a rollback that waits, and note what follows; else look again soon."""
        event = await self._recording.patiently(lambda: wait.look(rollback, ended=isinstance(move, JudgeAgain)))
        if event is not None:
            await self._recording.note(rollback, event, driven.decision)
        else:
            await self._sleep(driven, move.moment - wait.now() if isinstance(move, WaitUntil) else LOOK_EVERY)

    async def _make(self, move: Move, rollback: Rollback, driven: Driven) -> None:
        match move:
            case RunStep():
                await self._stepping.run(move, rollback, driven)
            case Note():
                await self._recording.note(rollback, move.event, driven.decision)
            case WaitUntil():
                await self._sleep(driven, move.moment - self._clock())
            case JudgeAgain():  # of one that waits, which goes another way
                raise ConflictError(f"Rollback {rollback.id} does not wait.")

    async def _sleep(self, driven: Driven, seconds: float) -> None:
        """Sleep, but wake when a person says something here, and after LOOK_EVERY to see what was said elsewhere."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK_EVERY, max(0.0, seconds))):
                await driven.nudge.wait()
        driven.nudge.clear()


class Runners:
    """One for each shard; what any of them may have to look at is said to all."""

    def __init__(self, *of_shards: Runner) -> None:
        """In the order of the shards."""
        self.of_shards = of_shards

    def wake(self) -> None:
        """See `Runner.wake`."""
        for each in self.of_shards:
            each.wake()

    def nudge(self, rollback_id: str) -> None:
        """See `Runner.nudge`."""
        for each in self.of_shards:
            each.nudge(rollback_id)


def _stdin(rollback: Rollback, decision: Decision | None) -> bytes:
    """What commands get on standard input: the decision, or where it cannot be read only what it led to."""
    if decision is None:
        return orjson.dumps({"id": rollback.decision_id, "target": rollback.target, "rollback_id": rollback.id})
    return orjson.dumps(json_views.decision(decision))
