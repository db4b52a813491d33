"""Many webhooks, few commits: alerts that arrive while one statement runs share the next one.

Here: the queue before the inbox, and the count of what waits, for every database. Other writes come one after another
and need no queue.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence

from rearguard_controller.errors import JournalError

FRESH = 0.5  # seconds for which a count is reused

WEBHOOKS_PER_COMMIT = 512

Rows = Sequence[tuple[float, str] | tuple[float, str, int]]  # when each came, its record, and whose leader reads it
Done = Callable[[Exception | None], None]  # is told why rows were not stored, or None: they are on disk


class Gathering:
    """Inserts alerts. What `insert` returns is done when the commit with its own alerts is on disk."""

    def __init__(self, store: Callable[[Rows, Done], None]) -> None:
        """Nothing waits yet; `store` begins to store rows, and calls back in the loop when that has ended."""
        self._store = store
        self._waiting: list[tuple[Rows, asyncio.Future[None]]] = []
        self._stores = False
        self._is_crowded = False  # several came together last
        self._closed: asyncio.Future[None] | None = None

    def insert(self, rows: Rows) -> asyncio.Future[None]:
        """Store rows of the time of receipt and the alert as JSON. The future has a JournalError if that fails.

        Raises:
            JournalError: they may not be stored; the sender has to send them again.
        """
        if self._closed is not None:
            raise JournalError("The journal is closed.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((rows, future))
        if not self._stores:
            self._stores = True
            if self._is_crowded:  # what else has come is about to be inserted, too
                loop.call_soon(self._begin)
            else:
                self._begin()
        return future

    async def close(self) -> None:
        """Store what still waits, and take no more."""
        self._closed = asyncio.get_running_loop().create_future()
        if self._stores:
            await self._closed

    def _begin(self) -> None:
        batch, self._waiting = self._waiting[:WEBHOOKS_PER_COMMIT], self._waiting[WEBHOOKS_PER_COMMIT:]
        self._is_crowded = len(batch) > 1
        done = functools.partial(self._end, [future for _, future in batch])
        try:
            self._store([row for rows, _ in batch for row in rows], done)
        except Exception as error:  # noqa: BLE001  # the callers get it; the queue goes on
            done(error)

    def _end(self, batch: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
        if self._waiting:
            self._begin()  # first, so that the database works while the callers go on
        else:
            self._stores = False
            if self._closed is not None:
                self._closed.set_result(None)
        for future in batch:
            if future.done():  # the caller went away
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


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
