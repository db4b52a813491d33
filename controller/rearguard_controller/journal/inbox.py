"""The inbox: accepted alerts, until they are judged.

Here: what both stores do with them. The statements that differ stand in each store's own inbox.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Self

from rearguard_controller.journal import codec, records
from rearguard_controller.journal.gathering import Backlog, Gathering, Rows
from rearguard_controller.model import Alert, InboxEntry

MOST_COUNTED = 200_000  # the count of waiting alerts stops here
WAITING = "judged_at is null and damage is null"
COUNT = f"select count(*) from (select 1 from inbox where {WAITING} limit $1) as waiting"  # noqa: S608  # our own words


class Inbox(ABC):
    """Where alerts wait; see `Journal` for what each method promises."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._gathers = True
        self._gathering = Gathering(self._insert)
        self._backlog = Backlog()

    def _for_the_leader(self) -> Self:
        """The same inbox for the leader, who writes one transaction after another."""
        view = copy.copy(self)
        view._gathers = False  # noqa: SLF001  # of a copy of ourselves
        return view

    async def close(self) -> None:
        """Finish what is being written."""
        await self._gathering.close()

    async def accept(self, alerts: Sequence[Alert], received_at: float) -> None:
        """See `Journal.accept`. Webhooks that arrive together share one commit."""
        rows = [(received_at, codec.dump(alert)) for alert in alerts]
        await (self._gathering.insert(rows) if self._gathers else self._insert(rows))
        self._backlog.accepted(len(rows))

    async def unjudged(self, limit: int, but_not: Collection[int]) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        rows = await self._waiting(limit, but_not)
        received = {number: received_at for number, _, received_at in rows}
        found, damaged = records.sorted_out(Alert, [(number, body) for number, body, _ in rows])
        if damaged:
            await self._set_aside(damaged)
            return await self.unjudged(limit, but_not)
        return tuple(InboxEntry(number, alert, received[number]) for number, alert in found)

    async def unjudged_count(self) -> int:
        """See `Journal.unjudged_count`."""
        return await self._backlog.count(self._count)

    # --- what differs between the databases

    @abstractmethod
    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Lead.mark_judged`."""

    @abstractmethod
    async def _insert(self, rows: Rows) -> None:
        """Store alerts, in one statement."""

    @abstractmethod
    async def _waiting(self, limit: int, but_not: Collection[int]) -> Sequence[tuple[int, str, float]]:
        """Number, record and time of receipt of alerts that wait, oldest first."""

    @abstractmethod
    async def _count(self) -> int:
        """How many wait; at most MOST_COUNTED."""

    @abstractmethod
    async def _set_aside(self, damaged: Sequence[tuple[int, str]]) -> None:
        """Store why records cannot be read, by their numbers; they do not wait any more."""
