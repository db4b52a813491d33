"""What did not reach people is in the journal, beside the rollback that it was about.

Here: one entry of the audit for each notice about a rollback that failed, was refused or was dropped. What arrived is
counted by the metric alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.adapters.notices.receiver import SENT
from rearguard_controller.errors import RearguardError
from rearguard_controller.model import OperatorAction, Rollback, Said

log = structlog.get_logger(__name__)

WHO, WHAT = "rearguard", "notify"  # in the audit: who did it, and what


class NoticeRecord:
    """Keeps what became of notices, without anybody waiting for it."""

    def __init__(self, keep: Callable[[OperatorAction], Awaitable[object]], clock: Callable[[], float]) -> None:
        """Keep it by `keep`, which may raise a `RearguardError`."""
        self._keep, self._clock = keep, clock
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, service: str, notice: Notice, result: str) -> None:
        """Keep what became of a notice, in words that begin with the result, soon."""
        if notice.rollback is None or result == SENT:
            return
        task = asyncio.create_task(self._write(service, notice.event.value, notice.rollback, result))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, service: str, event: str, rollback: Rollback, result: str) -> None:
        said = Said(WHO, f"{event} to {service}: {result}")
        action = said.action(WHAT, rollback.id, self._clock())
        try:
            await self._keep(action)
        except RearguardError as error:  # the log and the metric have it
            log.warning(
                "notice_not_recorded",
                target=rollback.target,
                rollback=rollback.id,
                service=service,
                error=error.message,
            )
