"""The inbox of a journal in PostgreSQL: accepted alerts, until they were judged.

Here: its SQL. Webhooks that arrive together share one commit.
Never here: connections and transactions (journal/connections.py).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

from rearguard_controller.journal import codec, records
from rearguard_controller.journal.gathering import MOST_COUNTED, Backlog, Gathering, Rows
from rearguard_controller.journal.postgres.connections import Connections
from rearguard_controller.journal.store import Fence, InboxEntry
from rearguard_controller.model import Alert


class PostgresInbox:
    """Where alerts wait; see `Journal` for what each method promises."""

    def __init__(self, connections: Connections) -> None:
        """Nothing is read yet."""
        self._connections = connections
        self._fence: Fence | None = None
        self._gathering = Gathering(self._insert)
        self._backlog = Backlog()

    def fenced(self, fence: Fence) -> PostgresInbox:
        """The same inbox for the leader, who writes one transaction after another."""
        view = copy.copy(self)
        view._fence = fence  # noqa: SLF001  # of a copy of ourselves
        return view

    async def close(self) -> None:
        """Finish what is being written."""
        await self._gathering.close()

    async def accept(self, alerts: Sequence[Alert], received_at: float) -> None:
        """See `Journal.accept`."""
        rows = [(received_at, codec.dump(alert)) for alert in alerts]
        await (self._gathering.insert(rows) if self._fence is None else self._insert(rows))
        self._backlog.accepted(len(rows))

    async def unjudged(self, limit: int, but_not: Collection[int]) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        rows = await self._connections.rows(
            "select id, body, received_at from inbox where judged_at is null and damage is null"
            " and id <> all($2::bigint[]) order by id limit $1",
            limit,
            list(but_not),
        )
        received = {row["id"]: row["received_at"] for row in rows}
        found, damaged = records.sorted_out(Alert, [(row["id"], row["body"]) for row in rows])
        if damaged:
            await self._connections.change(
                lambda connection: connection.executemany("update inbox set damage = $2 where id = $1", damaged),
                self._fence,
            )
            return await self.unjudged(limit, but_not)
        return tuple(InboxEntry(number, alert, received[number]) for number, alert in found)

    async def unjudged_count(self) -> int:
        """See `Journal.unjudged_count`."""

        async def ask() -> int:
            rows = await self._connections.rows(
                "select count(*) from (select from inbox where judged_at is null and damage is null limit $1) as w",
                MOST_COUNTED,
            )
            return int(rows[0][0])

        return await self._backlog.count(ask)

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Journal.mark_judged`."""
        await self._connections.change(
            lambda connection: connection.execute(
                "update inbox set judged_at = $1 where id = any($2::bigint[])", at, list(ids)
            ),
            self._fence,
        )

    async def _insert(self, rows: Rows) -> None:
        sql = "insert into inbox (received_at, body) select * from unnest($1::double precision[], $2::text[])"
        columns = [row[0] for row in rows], [row[1] for row in rows]
        if self._fence is None:
            await self._connections.rows(sql, *columns)
        else:
            await self._connections.change(lambda connection: connection.execute(sql, *columns), self._fence)
