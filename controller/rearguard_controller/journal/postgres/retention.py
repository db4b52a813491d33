"""Forgetting in PostgreSQL, a little at a time: see journal/retention.py for what goes."""

from __future__ import annotations

from rearguard_controller.journal.postgres.connections import Connection, Connections
from rearguard_controller.journal.retention import KINDS, Kind
from rearguard_controller.journal.store import Fence


async def prune(connections: Connections, fence: Fence | None, before: float, most: int) -> int:
    """See `Lead.prune`."""
    return sum([await _thin(connections, fence, kind, before, most) for kind in KINDS])


async def _thin(connections: Connections, fence: Fence | None, kind: Kind, before: float, most: int) -> int:
    sql, values = kind.last_to_go(most)
    last = await connections.rows(sql, *values)
    find, limits = kind.to_go(before, last[0][0] if last else None)

    async def work(connection: Connection) -> int:
        numbers = [row[0] for row in await connection.fetch(find, *limits)]
        if kind.table == "rollbacks":
            await connection.execute(
                "delete from rollback_events where rollback_id in (select id from rollbacks where seq = any($1))",
                numbers,
            )
        await connection.execute(f"delete from {kind.table} where {kind.number} = any($1)", numbers)  # noqa: S608  # our own names
        return len(numbers)

    gone = 0
    while some := await connections.change(work, fence):
        gone += some
    return gone
