"""The inbox: accepted alerts, until they are judged.

Here: what both stores do with them. The statements that differ stand in each store's own inbox.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Coroutine, Iterable, Sequence
from typing import Any, Self

from rearguard_controller.journal import codec, records
from rearguard_controller.journal.gathering import Backlog, Done, Gathering, Rows
from rearguard_controller.model import Alert, InboxEntry

MOST_FRESH = 2 * 1024 * 1024  # characters of records that are remembered until they are read
MOST_COUNTED = 200_000  # the count of waiting alerts stops here
WAITING = "judged_at is null and damage is null"
COUNT = f"select count(*) from (select 1 from inbox where {WAITING} limit $1) as waiting"  # noqa: S608  # our own words


class Fresh:
    """The alerts that were accepted last, by their records: what is read soon after need not be decoded."""

    def __init__(self) -> None:
        """Nothing was accepted."""
        self.alerts: dict[str, Alert] = {}
        self._size = 0  # characters of the records

    def add(self, bodies: Sequence[str], alerts: Sequence[Alert]) -> None:
        """Remember alerts; beyond `MOST_FRESH` characters the oldest are forgotten."""
        for body, alert in zip(bodies, alerts, strict=True):
            if body not in self.alerts:
                self.alerts[body] = alert
                self._size += len(body)
        while self._size > MOST_FRESH:
            self.drop([next(iter(self.alerts))])

    def drop(self, bodies: Iterable[str]) -> None:
        """Forget alerts: they were read."""
        for body in bodies:
            if self.alerts.pop(body, None) is not None:
                self._size -= len(body)


class Inbox(ABC):
    """Where alerts wait; see `Journal` for what each method promises."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._gathers = True
        self._gathering = Gathering(self._begin_insert)
        self._backlog = Backlog()
        self._fresh = Fresh()

    def _for_the_leader(self) -> Self:
        """The same inbox for the leader, who writes one transaction after another."""
        view = copy.copy(self)
        view._gathers = False  # noqa: SLF001  # of a copy of ourselves
        return view

    async def close(self) -> None:
        """Finish what is being written."""
        await self._gathering.close()

    async def accept(self, alerts: Sequence[Alert], received_at: float, shards: Sequence[int] | None = None) -> None:
        """See `Journal.accept`. Webhooks that arrive together share one commit."""
        bodies = [codec.dump(alert) for alert in alerts]
        rows: Rows = [(received_at, body) for body in bodies]
        if shards is not None:
            rows = [(received_at, body, shard) for body, shard in zip(bodies, shards, strict=True)]
        await (self._gathering.insert(rows) if self._gathers else self._insert(rows))
        self._backlog.accepted(len(rows))
        self._fresh.add(bodies, alerts)

    async def unjudged(self, limit: int, but_not: Collection[int]) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        rows = await self._waiting(limit, but_not)
        received = {number: received_at for number, _, received_at in rows}
        found, damaged = records.sorted_out(Alert, [(number, body) for number, body, _ in rows], self._fresh.alerts)
        self._fresh.drop(body for _, body, _ in rows)
        if damaged:
            await self._set_aside(damaged)
            return await self.unjudged(limit, but_not)
        return tuple(InboxEntry(number, alert, received[number]) for number, alert in found)

    def unjudged_count(self) -> Coroutine[Any, Any, int]:
        """See `Journal.unjudged_count`."""
        return self._backlog.count(self._count)

    # --- what differs between the databases

    @abstractmethod
    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Lead.mark_judged`."""

    @abstractmethod
    def _begin_insert(self, rows: Rows, done: Done) -> None:
        """Begin to store alerts, in one statement; call `done` in the loop when that has ended."""

    @abstractmethod
    async def _insert(self, rows: Rows) -> None:
        """Store alerts for the leader, in one statement."""

    @abstractmethod
    async def _waiting(self, limit: int, but_not: Collection[int]) -> Sequence[tuple[int, str, float]]:
        """Number, record and time of receipt of alerts that wait, oldest first."""

    @abstractmethod
    async def _count(self) -> int:
        """How many wait; at most MOST_COUNTED."""

    @abstractmethod
    async def _set_aside(self, damaged: Sequence[tuple[int, str]]) -> None:
        """Store why records cannot be read, by their numbers; they do not wait any more."""
