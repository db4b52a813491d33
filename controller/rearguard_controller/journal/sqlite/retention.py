"""Forgetting in SQLite, a little at a time: see journal/retention.py for what goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

from rearguard_controller.journal.retention import KINDS, Kind
from rearguard_controller.journal.sqlite.records import run
from rearguard_controller.journal.sqlite.writer import Work

Write = Callable[[Work[int]], Awaitable[int]]  # one transaction, with its fence if it has one


async def prune(write: Write, before: float, most: int) -> int:
    """See `Lead.prune`."""
    gone = 0
    for kind in KINDS:
        thin = _thin(kind, before, most)
        while some := await write(thin):
            gone += some
    return gone


def _thin(kind: Kind, before: float, most: int) -> Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        last = run(connection, *kind.last_to_go(most))
        numbers = run(connection, *kind.to_go(before, last[0][0] if last else None))
        if kind.table == "rollbacks":
            connection.executemany(
                "delete from rollback_events where rollback_id = (select id from rollbacks where seq = ?)", numbers
            )
        connection.executemany(f"delete from {kind.table} where {kind.number} = ?", numbers)  # noqa: S608  # our own names
        return len(numbers)

    return work
