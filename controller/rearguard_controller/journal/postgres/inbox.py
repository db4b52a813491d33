"""The inbox of a journal in PostgreSQL.

Here: the SQL that SQLite would not understand.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Sequence

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.gathering import Done, Rows
from rearguard_controller.journal.inbox import COUNT, MOST_COUNTED, WAITING, Inbox
from rearguard_controller.journal.postgres.connections import Connections
from rearguard_controller.journal.postgres.kept import Kept
from rearguard_controller.journal.store import Fence

INSERT = (
    "insert into inbox (received_at, body, shard)"
    " select * from unnest($1::double precision[], $2::text[], $3::integer[])"
)


class PostgresInbox(Inbox):
    """Where alerts wait. Lists of values are passed as arrays, so that one statement is enough for many rows."""

    def __init__(self, connections: Connections) -> None:
        """Nothing is read yet."""
        super().__init__()
        self._connections = connections
        self._fence: Fence | None = None
        self._shard: int | None = None
        self._kept = Kept(connections)
        self._inserting: set[asyncio.Task[None]] = set()

    def fenced(self, fence: Fence) -> PostgresInbox:
        """The same inbox for the leader."""
        view = self._for_the_leader()
        view._fence = fence  # noqa: SLF001  # of a copy of ourselves
        return view

    def of_shard(self, number: int) -> PostgresInbox:
        """The same inbox, of which only what waits for one shard's leader is read."""
        view = copy.copy(self)
        view._shard = number  # noqa: SLF001  # of a copy of ourselves
        return view

    async def hand_over(self, ids: Sequence[int], shard: int) -> None:
        """See `Lead.hand_over`."""
        await self._connections.change(
            lambda connection: connection.execute(
                "update inbox set shard = $1 where id = any($2::bigint[]) and judged_at is null", shard, list(ids)
            ),
            self._fence,
        )

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Lead.mark_judged`."""
        await self._connections.change(
            lambda connection: connection.execute(
                "update inbox set judged_at = $1 where id = any($2::bigint[])", at, list(ids)
            ),
            self._fence,
        )

    async def close(self) -> None:
        """Finish what is being written."""
        await super().close()
        await self._kept.give_back()

    def _begin_insert(self, rows: Rows, done: Done) -> None:
        async def insert() -> None:
            try:
                await self._kept.run(INSERT, *_columns(rows))
            except Exception as error:  # noqa: BLE001  # the callers get it
                done(error)
            except asyncio.CancelledError:
                done(JournalError("The journal is closed."))
                raise
            else:
                done(None)

        task = asyncio.create_task(insert(), name="journal-inbox")
        self._inserting.add(task)
        task.add_done_callback(self._inserting.discard)

    async def _insert(self, rows: Rows) -> None:
        await self._connections.change(lambda connection: connection.execute(INSERT, *_columns(rows)), self._fence)

    async def _waiting(self, limit: int, but_not: Collection[int]) -> Sequence[tuple[int, str, float]]:
        mine, values = ("", ()) if self._shard is None else (" and coalesce(shard, 0) = $3", (self._shard,))
        rows = await self._connections.rows(
            f"select id, body, received_at from inbox where {WAITING}"  # noqa: S608  # our own words
            f" and id <> all($2::bigint[]){mine} order by id limit $1",
            limit,
            list(but_not),
            *values,
        )
        return [(row["id"], row["body"], row["received_at"]) for row in rows]

    async def _count(self) -> int:
        return int((await self._connections.rows(COUNT, MOST_COUNTED))[0][0])

    async def _set_aside(self, damaged: Sequence[tuple[int, str]]) -> None:
        await self._connections.change(
            lambda connection: connection.executemany("update inbox set damage = $2 where id = $1", damaged),
            self._fence,
        )


def _columns(rows: Rows) -> tuple[list[float], list[str], list[int | None]]:
    shards = [shard for _, _, *shard in rows]
    return [row[0] for row in rows], [row[1] for row in rows], [shard[0] if shard else None for shard in shards]
