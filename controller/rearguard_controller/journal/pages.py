"""Lists of records, page by page: the newest first, with a cursor for the next page.

Here: the statements that find a page, the same for SQLite and PostgreSQL, and what their rows mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rearguard_controller.errors import InvalidInputError
from rearguard_controller.journal import records
from rearguard_controller.journal.statements import Statement
from rearguard_controller.journal.store import Page

T = TypeVar("T")


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
        """The statement that finds `id` and `body` of the page's records and of one more.

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
                raise InvalidInputError(
                    f"{self.before!r} is no cursor.", hint="Use the `next` of the page before.", field="before"
                )
            values.append(place)
            where.append(f"seq < ${len(values)}")
        condition = f"where {' and '.join(where)}" if where else ""
        sql = f"select id, body from {self.table} {condition} order by seq desc limit $1"  # noqa: S608  # our own names
        return Statement(sql, tuple(values))

    def read(self, rows: Sequence[tuple[str, str]]) -> Page[T]:
        """The page in the rows that were found."""
        items = records.several(self.kind, rows[: self.limit])
        return Page(items, rows[self.limit - 1][0] if len(rows) > self.limit else None)
