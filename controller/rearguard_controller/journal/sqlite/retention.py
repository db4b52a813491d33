"""Forgetting in SQLite: what is too old or too much goes, a little at a time.

Here: which rows go. Open rollbacks, what they are made of, and what holds "once" (`handled`) never do.
Never here: when it is done, and how old is too old.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

from rearguard_controller.journal.sqlite.writer import Work

Write = Callable[[Work[int]], Awaitable[int]]  # one transaction, with its fence if it has one

PER_BATCH = 500  # rows of one transaction; webhooks wait for it

# Which rows go: those older than ?1, or whose number is not above ?2.
CONDITIONS = {
    ("rollbacks", "seq"): "phase = 'closed' and (closed_at < ?1 or seq <= ?2)",
    ("decisions", "seq"): "(decided_at < ?1 or seq <= ?2)"
    " and not exists (select 1 from rollbacks where decision_id = decisions.id)",
    ("inbox", "id"): "judged_at < ?1 or (damage is not null and received_at < ?1)"
    " or (id <= ?2 and (judged_at is not null or damage is not null))",
    ("drills", "seq"): "started_at < ?1 or seq <= ?2",
    ("operator_actions", "id"): "at < ?1 or id <= ?2",
}


async def prune(write: Write, before: float, most: int) -> int:
    """See `Journal.prune`."""
    gone = 0
    for (table, number), condition in CONDITIONS.items():
        thin = _thin(table, number, condition, before, most)
        while some := await write(thin):
            gone += some
    return gone


def _thin(table: str, number: str, condition: str, before: float, most: int) -> Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        last = connection.execute(
            f"select {number} from {table} order by {number} desc limit 1 offset ?",  # noqa: S608  # our own names
            (most,),
        ).fetchone()  # the newest that is one too many
        rows = connection.execute(
            f"select {number} from {table} where {condition} limit ?3",  # noqa: S608  # our own names
            (before, -1 if last is None else last[0], PER_BATCH),
        ).fetchall()
        if table == "rollbacks":
            connection.executemany(
                "delete from rollback_events where rollback_id = (select id from rollbacks where seq = ?)", rows
            )
        connection.executemany(f"delete from {table} where {number} = ?", rows)  # noqa: S608  # our own names
        return len(rows)

    return work
