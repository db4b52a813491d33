"""Many webhooks, few commits: alerts that arrive while one statement runs share the next one.

Here: the queue before the inbox, and the count of what waits, for every database. Other writes come one after another
and need no queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from rearguard_controller.errors import JournalError

FRESH = 0.5  # seconds for which a count is reused

WEBHOOKS_PER_COMMIT = 512

Rows = Sequence[tuple[float, str]]


class Gathering:
    """Inserts alerts. A call returns when the commit with its own alerts is on disk."""

    def __init__(self, store: Callable[[Rows], Awaitable[None]]) -> None:
        """Nothing waits yet; `store` inserts rows and commits them."""
        self._store_rows = store
        self._waiting: list[tuple[Rows, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def insert(self, rows: Rows) -> None:
        """Store rows of the time of receipt and the alert as JSON.

        Raises:
            JournalError: they may not be stored; the sender has to send them again.
        """
        if self._closed:
            raise JournalError("The journal is closed.")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="journal-inbox")
        await future

    async def close(self) -> None:
        """Store what still waits, and take no more."""
        self._closed = True
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:WEBHOOKS_PER_COMMIT], self._waiting[WEBHOOKS_PER_COMMIT:]
            error = await self._store([row for rows, _ in batch for row in rows])
            for _, future in batch:
                if future.done():  # the caller went away
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        self._task = None

    async def _store(self, rows: Rows) -> Exception | None:
        try:
            await self._store_rows(rows)
        except Exception as error:  # noqa: BLE001  # the callers get it; the queue goes on
            return error
        return None


class Backlog:
    """The number of alerts that wait to be judged."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._counted = 0
        self._since = 0
        self._at: float | None = None

    def accepted(self, number: int) -> None:
        """Note that `number` more alerts wait."""
        self._since += number

    async def count(self, ask: Callable[[], Awaitable[int]]) -> int:
        """How many wait: calls `ask` if the last answer is older than FRESH, and adds what was accepted since."""
        now = time.monotonic()
        if self._at is None or now - self._at >= FRESH:
            self._at, self._since = now, 0  # only this call asks; calls meanwhile use the last answer
            self._counted = await ask()
        return self._counted + self._since
