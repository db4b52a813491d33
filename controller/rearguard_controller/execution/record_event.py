"""Records what happens to a rollback: journal first, however long it takes; then metrics, log and notices.

Here: patience with a journal that fails, and what follows from one event once it is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from rearguard_controller.errors import ConflictError, DamagedError, JournalError
from rearguard_controller.model import Decision, Phase, Rollback, Trigger
from rearguard_controller.rollback import Event
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)
T = TypeVar("T")

JOURNAL_RETRY_FIRST = 0.5  # seconds before a refused commit is tried again; doubles up to JOURNAL_RETRY_MOST
JOURNAL_RETRY_MOST = 10.0


class Recording:
    """Notes events of rollbacks, as the leader."""

    def __init__(self, runtime: Runtime) -> None:
        """Wire it."""
        self._lead, self._telemetry, self._notices = runtime.lead, runtime.telemetry, runtime.notices

    async def note(self, rollback: Rollback, event: Event, decision: Decision | None) -> None:
        """Commit an event and tell what follows. `decision` opened the rollback; None if it cannot be read."""
        after = await self.commit(rollback, event)
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
            self.tell_decided(rollback, decision)
            self._notices.finished(after, decision)

    def tell_decided(self, rollback: Rollback, decision: Decision | None) -> None:
        """Tell of a decision by hand, once: at the first step, or at the end where no step was begun."""
        if decision is not None and rollback.trigger is Trigger.MANUAL and not has_begun(rollback):
            self._notices.decided(decision, rollback)

    async def commit(self, rollback: Rollback, event: Event) -> Rollback | None:
        """Append an event, however long the journal takes. None: a person closed the rollback meanwhile."""
        try:
            return await self.patiently(lambda: self._lead.append(rollback.id, event))
        except ConflictError as error:
            log.warning("event_refused", target=rollback.target, rollback=rollback.id, event_kind=event.kind.value,
                        error=error.message)  # fmt: skip
            return None

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Call `ask` until the journal answers, pausing longer each time.

        Raises:
            DamagedError, ConflictError, NotFoundError: these are answers, too, and are not asked again.
        """
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


def has_begun(rollback: Rollback) -> bool:
    """Whether any step of the rollback was begun."""
    return any(step.started_at is not None for step in rollback.steps)
