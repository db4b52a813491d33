"""The inbox of a journal in SQLite.

Here: the SQL that PostgreSQL would not understand.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import orjson

from rearguard_controller.journal.gathering import Done, Rows
from rearguard_controller.journal.inbox import COUNT, MOST_COUNTED, WAITING, Inbox
from rearguard_controller.journal.sqlite.reader import Reader
from rearguard_controller.journal.sqlite.writer import Insert, Work, Writer


class Write(Protocol):
    """One transaction, behind the fence if there is one."""

    async def __call__(self, work: Work[Any], /, *, urgent: bool = False, adds: bool = True) -> object:
        """Return when it is on disk."""


class SqliteInbox(Inbox):
    """Where alerts wait. Lists of values are passed as JSON, so that one statement is enough for many rows."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        """Nothing is read yet."""
        super().__init__()
        self._reader = reader
        self._writer = writer
        self._write: Write = writer.do

    def fenced(self, write: Write) -> SqliteInbox:
        """The same inbox for the leader."""
        view = self._for_the_leader()
        view._write = write  # noqa: SLF001  # of a copy of ourselves
        return view

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Lead.mark_judged`."""
        text = orjson.dumps(ids).decode()
        await self._write(
            lambda connection: connection.execute(
                "update inbox set judged_at = ? where id in (select value from json_each(?))", (at, text)
            ),
            urgent=True,
            adds=False,
        )

    async def _insert(self, rows: Rows) -> None:
        await self._write(_insert(rows))

    def _begin_insert(self, rows: Rows, done: Done) -> None:
        self._writer.begin(_insert(rows), lambda _, error: done(error), adds=False)

    async def _waiting(self, limit: int, but_not: Collection[int]) -> Sequence[tuple[int, str, float]]:
        return await self._reader.rows(
            f"select id, body, received_at from inbox where {WAITING}"  # noqa: S608  # our own words
            " and id not in (select value from json_each($1)) order by id limit $2",
            orjson.dumps(list(but_not)).decode(),
            limit,
        )

    async def _count(self) -> int:
        return int((await self._reader.rows(COUNT, MOST_COUNTED))[0][0])

    async def _set_aside(self, damaged: Sequence[tuple[int, str]]) -> None:
        await self._write(
            lambda connection: connection.executemany("update inbox set damage = ?2 where id = ?1", damaged),
            urgent=True,
        )


def _insert(rows: Rows) -> Insert:
    """One statement for all rows: the writer's thread gives up the interpreter's lock at each statement."""
    sql = "insert into inbox (received_at, body) select value ->> 0, value ->> 1 from json_each(?)"
    return Insert(sql, (orjson.dumps(rows).decode(),))
