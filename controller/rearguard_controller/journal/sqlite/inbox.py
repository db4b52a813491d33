"""The inbox of a journal in SQLite: accepted alerts, until they were judged.

Here: its SQL. Webhooks that arrive together share one commit.
Never here: transactions, and the fence that the leader's stand behind (journal/sqlite.py).
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import orjson

from rearguard_controller.journal import codec, records
from rearguard_controller.journal.gathering import MOST_COUNTED, Backlog, Gathering, Rows
from rearguard_controller.journal.sqlite.reader import Reader
from rearguard_controller.journal.sqlite.writer import Work
from rearguard_controller.journal.store import InboxEntry
from rearguard_controller.model import Alert


class Write(Protocol):
    """One transaction, behind the fence if there is one."""

    async def __call__(self, work: Work[Any], /, *, urgent: bool = False) -> object:
        """Return when it is on disk."""


class SqliteInbox:
    """Where alerts wait; see `Journal` for what each method promises."""

    def __init__(self, reader: Reader, write: Write) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._write = write
        self._gathers = True
        self._gathering = Gathering(self._insert)
        self._backlog = Backlog()

    def fenced(self, write: Write) -> SqliteInbox:
        """The same inbox for the leader, who writes one transaction after another."""
        view = copy.copy(self)
        view._write, view._gathers = write, False  # noqa: SLF001  # of a copy of ourselves
        return view

    async def close(self) -> None:
        """Finish what is being written."""
        await self._gathering.close()

    async def accept(self, alerts: Sequence[Alert], received_at: float) -> None:
        """See `Journal.accept`."""
        rows = [(received_at, codec.dump(alert)) for alert in alerts]
        await (self._gathering.insert(rows) if self._gathers else self._insert(rows))
        self._backlog.accepted(len(rows))

    async def unjudged(self, limit: int, but_not: Collection[int]) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        rows = await self._reader.rows(
            "select id, body, received_at from inbox where judged_at is null and damage is null"
            " and id not in (select value from json_each(?)) order by id limit ?",
            orjson.dumps(list(but_not)).decode(),
            limit,
        )
        received = {row[0]: row[2] for row in rows}
        found, damaged = records.sorted_out(Alert, [(row[0], row[1]) for row in rows])
        if damaged:
            reasons = [(reason, number) for number, reason in damaged]
            await self._write(
                lambda connection: connection.executemany("update inbox set damage = ? where id = ?", reasons),
                urgent=True,
            )
            return await self.unjudged(limit, but_not)
        return tuple(InboxEntry(number, alert, received[number]) for number, alert in found)

    async def unjudged_count(self) -> int:
        """See `Journal.unjudged_count`."""

        async def ask() -> int:
            rows = await self._reader.rows(
                "select count(*) from (select 1 from inbox where judged_at is null and damage is null limit ?)",
                MOST_COUNTED,
            )
            return int(rows[0][0])

        return await self._backlog.count(ask)

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Journal.mark_judged`."""
        text = orjson.dumps(ids).decode()  # one statement, as in `_insert`
        await self._write(
            lambda connection: connection.execute(
                "update inbox set judged_at = ? where id in (select value from json_each(?))", (at, text)
            ),
            urgent=True,
        )

    async def _insert(self, rows: Rows) -> None:
        """One statement for all rows: at each one the writer's thread would give the interpreter away and queue."""
        text = orjson.dumps(rows).decode()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "insert into inbox (received_at, body) select value ->> 0, value ->> 1 from json_each(?)", (text,)
            )

        await self._write(work)
