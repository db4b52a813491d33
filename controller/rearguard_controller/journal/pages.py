"""Lists of records, page by page: the newest first, with a cursor for the next page.

Here: the statements that find a page, the same for SQLite and PostgreSQL, and what their rows mean. A page ends where
its number of records is reached, or where its text would be too much for one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rearguard_controller.errors import InvalidInputError
from rearguard_controller.journal import records
from rearguard_controller.journal.statements import Statement
from rearguard_controller.journal.store import Page
from rearguard_controller.model import OperatorAction

T = TypeVar("T")

MOST_TEXT = 1024 * 1024  # characters of a page's records; one that is longer is a page of its own
_MOST_DIGITS = 18  # of a cursor that is a number


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list that is asked for.

    Attributes:
        kind: the type of the records.
        table: the table that holds them, with the columns `id`, `seq` and `body`.
        filters: column to the value that it must have; None: any value.
        limit: the most records of a page.
        before: the last id of the page before; None: the first page is wanted.
    """

    kind: type[T]
    table: str
    filters: dict[str, str | None]
    limit: int
    before: str | None

    def place(self) -> str:
        """The statement that finds the `seq` of `before`, its one value."""
        return f"select seq from {self.table} where id = $1"  # noqa: S608  # our own table names

    def page(self, place: int | None) -> Statement:
        """The statement that finds `id` and `body` of the page's records, and how many were found, up to one more.

        Args:
            place: the `seq` that `place` found; None if it found nothing.

        Raises:
            InvalidInputError: nothing was found, although there is a `before`.
        """
        wanted = {column: value for column, value in self.filters.items() if value is not None}
        values: list[object] = [self.limit + 1, *wanted.values()]
        where = [f"{column} = ${number}" for number, column in enumerate(wanted, 2)]
        if self.before is not None:
            if place is None:
                raise _no_cursor(self.before)
            values.append(place)
            where.append(f"seq < ${len(values)}")
        condition = f"where {' and '.join(where)}" if where else ""
        values.append(MOST_TEXT)
        sized = f"select seq, length(body) as size from {self.table} {condition} order by seq desc limit $1"  # noqa: S608  # our own names
        summed = f"select seq, size, sum(size) over (order by seq desc) as upto, count(*) over () as found from ({sized}) as sized"  # noqa: S608,E501  # the same
        sql = (
            f"select listed.id, listed.body, page.found from ({summed}) as page"  # noqa: S608  # the same
            f" join {self.table} as listed on listed.seq = page.seq"
            f" where page.upto <= ${len(values)} or page.upto = page.size order by listed.seq desc"
        )
        return Statement(sql, tuple(values))

    def read(self, rows: Sequence[tuple[str, str, int]]) -> Page[T]:
        """The page in the rows that were found."""
        kept = [(name, body) for name, body, _ in rows[: self.limit]]
        there_is_more = bool(kept) and rows[0][2] > len(kept)
        found, damaged = records.sorted_out(self.kind, kept)
        unreadable = tuple(name for name, _ in damaged)
        return Page(tuple(noun for _, noun in found), kept[-1][0] if there_is_more else None, unreadable)


def audit(subject: str | None, limit: int, before: str | None) -> Statement:
    """The statement that finds number and fields of a page of the audit, and of one more entry.

    Raises:
        InvalidInputError: `before` is no cursor.
    """
    values: list[object] = [limit + 1]
    where = []
    if subject is not None:
        values.append(subject)
        where.append(f"subject = ${len(values)}")
    if before is not None:
        if not (before.isascii() and before.isdigit() and len(before) <= _MOST_DIGITS):
            raise _no_cursor(before)
        values.append(int(before))
        where.append(f"id < ${len(values)}")
    condition = f"where {' and '.join(where)}" if where else ""
    columns = "id, at, operator, action, subject, reason"
    sql = f"select {columns} from operator_actions {condition} order by id desc limit $1"  # noqa: S608  # our own names
    return Statement(sql, tuple(values))


def read_audit(rows: Sequence[tuple[Any, ...]], limit: int) -> Page[OperatorAction]:
    """The page of the audit in the rows that were found."""
    kept: list[tuple[Any, ...]] = []
    text = 0
    for row in rows[:limit]:
        text += sum(len(part) for part in row[2:])
        if kept and text > MOST_TEXT:
            break
        kept.append(row)
    there_is_more = len(rows) > len(kept)
    return Page(tuple(OperatorAction(*row[1:]) for row in kept), str(kept[-1][0]) if there_is_more else None)


def _no_cursor(before: str) -> InvalidInputError:
    return InvalidInputError(f"{before!r} is no cursor.", hint="Use the `next` of the page before.", field="before")
