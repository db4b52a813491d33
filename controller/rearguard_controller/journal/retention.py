"""Which records the journal forgets: those that are too old, and those beyond a number of the newest of their kind.

Here: the conditions, for SQLite and PostgreSQL alike. Open rollbacks, their events, and the handled versions never
go.
"""

from __future__ import annotations

from dataclasses import dataclass

from rearguard_controller.journal.statements import Statement

PER_BATCH = 500  # rows in one transaction; kept few, because webhooks wait for it


@dataclass(frozen=True, slots=True)
class Kind:
    """A table, and which of its rows go.

    Attributes:
        table: its name.
        number: the column that counts its rows, newest highest.
        condition: which rows go: those older than $1, or whose number is not above $2.
    """

    table: str
    number: str
    condition: str

    def last_to_go(self, most: int) -> Statement:
        """Finds the number of the newest row beyond the `most` newest."""
        sql = f"select {self.number} from {self.table} order by {self.number} desc limit 1 offset $1"  # noqa: S608  # our own names
        return Statement(sql, (most,))

    def to_go(self, before: float, last: int | None) -> Statement:
        """Finds the numbers of some rows that go.

        Args:
            before: older ones go.
            last: what `last_to_go` found; None if it found nothing.
        """
        sql = f"select {self.number} from {self.table} where {self.condition} limit $3"  # noqa: S608  # our own names
        return Statement(sql, (before, -1 if last is None else last, PER_BATCH))


KINDS = (
    Kind("rollbacks", "seq", "phase = 'closed' and (closed_at < $1 or seq <= $2)"),
    Kind(
        "decisions",
        "seq",
        "(decided_at < $1 or seq <= $2) and not exists (select 1 from rollbacks where decision_id = decisions.id)",
    ),
    Kind(
        "inbox",
        "id",
        "judged_at < $1 or (damage is not null and received_at < $1)"
        " or (id <= $2 and (judged_at is not null or damage is not null))",
    ),
    Kind("drills", "seq", "started_at < $1 or seq <= $2"),
    Kind("operator_actions", "id", "at < $1 or id <= $2"),
)
