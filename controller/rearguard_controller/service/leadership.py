"""Leadership: of several replicas that share a journal, one acts.

Here: taking and renewing the lease, running what only the leader runs, and stopping it in time when the lease cannot
be renewed. A replica that does not lead still stores webhooks and answers reads.

The journal's clock decides when the lease ends. The leader counts its own time limit by a clock that never jumps, and
that limit is shorter: a leader stops before another one may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.journal.store import Fence
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

LEASE = 15.0  # seconds that a lease holds
RENEW_EVERY = 5.0  # seconds between renewals
PATIENCE = 10.0  # seconds without a renewal after which the leader stops by itself
TRY_EVERY = 1.0  # seconds between a follower's tries, and after a failed renewal


class Leadership:
    """Leads whenever it holds the lease."""

    def __init__(
        self,
        runtime: Runtime,
        fence: Fence,
        *,
        holder: str,
        wants: Callable[[], bool] = lambda: True,
        gives_up: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Wire it.

        Args:
            runtime: whose journal has the lease.
            fence: what the leader's writes check; it is set and cleared here.
            holder: who leads, as people are told.
            wants: whether the lease is to be taken when it is free.
            gives_up: asked after each renewal: whether it is to be let go.
        """
        self._journal, self._telemetry, self._steady = runtime.journal, runtime.telemetry, runtime.steady
        self._fence = fence
        self._holder = holder
        self._wants, self._gives_up = wants, gives_up
        self._shard = 0 if fence.shard is None else fence.shard
        self._log = log if fence.shard is None else log.bind(shard=fence.shard)
        self._renewed_at = 0.0

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run `lead` while it lasts, and wait again, for ever.

        Raises:
            Exception: whatever `lead` itself raised; it is not expected to return.
        """
        while True:
            asked_at = self._steady()
            epoch = await self._take() if self._wants() else None
            if epoch is not None and self._steady() - asked_at >= PATIENCE:
                await self._let_go(epoch)  # we, or the journal, stood still: the lease may be another's by now
                epoch = None
            if epoch is None:
                await asyncio.sleep(TRY_EVERY)
                continue
            self._log.info("leading", holder=self._holder, epoch=epoch)
            try:
                await self._term(epoch, asked_at, lead)
            finally:
                self._fence.epoch = None
                await self._let_go(epoch)
            self._log.warning("leading_no_more", holder=self._holder, epoch=epoch)

    async def _term(self, epoch: int, asked_at: float, lead: Callable[[], Awaitable[None]]) -> None:
        self._fence.epoch = epoch
        self._renewed_at = asked_at
        self._telemetry.leads(leading=True, holds=self._holds, shard=self._shard)
        leading = asyncio.ensure_future(lead())
        lasting = asyncio.create_task(self._last(epoch, asked_at))
        try:
            await asyncio.wait([leading, lasting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._telemetry.leads(
                leading=False, shard=self._shard
            )  # at once, though the parts may take a moment to stop
            lasting.cancel()
            leading.cancel()
            results = await asyncio.gather(leading, lasting, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not _only_lost(result):
                raise result

    def _holds(self) -> bool:
        """Whether the lease still holds by our own clock: a process that stood still finds out here first."""
        return not self._journal.shared or self._steady() - self._renewed_at < PATIENCE

    async def _last(self, epoch: int, renewed_at: float) -> None:
        """Renew the lease, which was asked for at `renewed_at`, until it is lost or not renewed for `PATIENCE`."""
        if not self._journal.shared:  # a journal of one process: nobody else can take the lease
            await asyncio.Event().wait()
        pause = RENEW_EVERY
        while self._steady() - renewed_at < PATIENCE:
            await asyncio.sleep(min(pause, PATIENCE - (self._steady() - renewed_at)))
            asked_at = self._steady()
            try:
                async with asyncio.timeout(PATIENCE - (asked_at - renewed_at)):
                    if not await self._journal.renew_lease(epoch, LEASE):
                        return
            except TimeoutError:
                return
            except JournalError as error:
                self._telemetry.journal_failed()
                self._log.error("lease_not_renewed", error=error.message, hint=error.hint)
                pause = TRY_EVERY
                continue
            renewed_at, pause = asked_at, RENEW_EVERY
            self._renewed_at = renewed_at
            if self._gives_up is not None and await self._gives_up():
                self._log.info("giving_up", holder=self._holder, epoch=epoch)
                return

    async def _take(self) -> int | None:
        try:
            return await self._journal.take_lease(self._holder, LEASE)
        except JournalError as error:
            self._telemetry.journal_failed()
            self._log.error("lease_not_taken", error=error.message, hint=error.hint)
            return None

    async def _let_go(self, epoch: int) -> None:
        with contextlib.suppress(JournalError):
            await self._journal.release_lease(epoch)


def _only_lost(error: Exception) -> bool:
    """Whether the error only says that another replica leads now, because a write was refused."""
    if isinstance(error, ExceptionGroup):
        return error.split(LeaseLostError)[1] is None
    return isinstance(error, LeaseLostError)
