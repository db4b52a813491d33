"""Forgetting in PostgreSQL: what is too old or too much goes, a little at a time.

Here: which rows go. Open rollbacks, what they are made of, and what holds "once" (`handled`) never do.
Never here: when it is done, and how old is too old.
"""

from __future__ import annotations

from rearguard_controller.journal.postgres.connections import Connection, Connections
from rearguard_controller.journal.store import Fence

PER_BATCH = 500  # rows of one transaction

# Which rows go: those older than $1, or whose number is not above $2.
CONDITIONS = {
    ("rollbacks", "seq"): "phase = 'closed' and (closed_at < $1 or seq <= $2)",
    ("decisions", "seq"): "(decided_at < $1 or seq <= $2)"
    " and not exists (select from rollbacks where decision_id = decisions.id)",
    ("inbox", "id"): "judged_at < $1 or (damage is not null and received_at < $1)"
    " or (id <= $2 and (judged_at is not null or damage is not null))",
    ("drills", "seq"): "started_at < $1 or seq <= $2",
    ("operator_actions", "id"): "at < $1 or id <= $2",
}


async def prune(connections: Connections, fence: Fence | None, before: float, most: int) -> int:
    """See `Journal.prune`."""
    return sum([await _thin(connections, fence, *names, before, most) for names in CONDITIONS])


async def _thin(
    connections: Connections, fence: Fence | None, table: str, number: str, before: float, most: int
) -> int:
    rows = await connections.rows(
        f"select {number} from {table} order by {number} desc limit 1 offset $1",  # noqa: S608  # our own names
        most,
    )
    last = rows[0][0] if rows else -1  # the newest that is one too many
    condition = CONDITIONS[table, number]

    async def work(connection: Connection) -> int:
        found = await connection.fetch(
            f"select {number} from {table} where {condition} limit $3",  # noqa: S608  # our own names
            before,
            last,
            PER_BATCH,
        )
        numbers = [row[0] for row in found]
        if table == "rollbacks":
            await connection.execute(
                "delete from rollback_events where rollback_id in (select id from rollbacks where seq = any($1))",
                numbers,
            )
        await connection.execute(f"delete from {table} where {number} = any($1)", numbers)  # noqa: S608  # our own names
        return len(numbers)

    gone = 0
    while some := await connections.change(work, fence):
        gone += some
    return gone
