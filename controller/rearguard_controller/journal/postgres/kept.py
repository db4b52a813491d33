"""One connection that stays taken: to take one from the pool and to give it back costs more than a statement.

Here: statements that come one after another and are transactions of their own, as those that store alerts.
"""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rearguard_controller.journal.postgres.connections import FAILED, LIMIT, LOST, Connections, translate


class Kept:
    """A connection of its own, made when it is needed and made anew when it is lost. For one user at a time."""

    def __init__(self, connections: Connections) -> None:
        """Nothing is taken yet."""
        self._pool = connections.pool
        self._connection: PoolConnectionProxy[asyncpg.Record] | None = None

    async def run(self, sql: str, *values: object) -> None:
        """Run one statement.

        Raises:
            JournalError: nothing was stored, or the server went away before it answered.
        """
        try:
            if self._connection is None or _is_lost(self._connection):
                await self.give_back()
                self._connection = await self._pool.acquire(timeout=LIMIT)
            await self._connection.execute(sql, *values)
        except (*LOST, asyncio.CancelledError) as error:
            if self._connection is not None and not _is_lost(self._connection):
                self._connection.terminate()
            await self.give_back()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise translate(error) from error
        except FAILED as error:
            raise translate(error) from error

    async def give_back(self) -> None:
        """Let the pool have the connection, if one is taken."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*FAILED):  # it is lost, then, and the pool knows
                await self._pool.release(connection, timeout=LIMIT)


def _is_lost(connection: PoolConnectionProxy[asyncpg.Record]) -> bool:
    """Whether it is closed; the pool has taken it back then, and it answers nothing any more."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True
