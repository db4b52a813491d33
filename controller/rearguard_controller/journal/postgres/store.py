"""The journal in PostgreSQL, for several replicas.

Here: the lease, and what is one transaction. The invariants stand in schema/postgres, the transitions in `rollback`.
See journal/store.py for what each method promises.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from rearguard_controller.journal import statements
from rearguard_controller.journal.base import StoreBase
from rearguard_controller.journal.postgres import records as postgres_records
from rearguard_controller.journal.postgres.connections import Connection, Connections
from rearguard_controller.journal.postgres.inbox import PostgresInbox
from rearguard_controller.journal.postgres.retention import prune
from rearguard_controller.journal.store import Fence
from rearguard_controller.model import Decision, Drill, OperatorAction, Release, Rollback, TargetState
from rearguard_controller.model.watched import Watched
from rearguard_controller.rollback import Event

T = TypeVar("T")

NOW = "extract(epoch from clock_timestamp())::double precision"  # the database's clock


class PostgresJournal(StoreBase):
    """A `Journal` in one database; any number of processes."""

    shared = True
    _inbox: PostgresInbox

    def __init__(self, connections: Connections, leading: Connections) -> None:
        """Use `open`; `leading` is for the lease, whose renewal must not queue behind anything."""
        self._connections = connections
        self._leading = leading
        self._fence: Fence | None = None
        self._inbox = PostgresInbox(connections)

    @classmethod
    async def open(cls, url: str) -> PostgresJournal:
        """Open or create the journal in the database at `url` (postgresql://user@host/database).

        Raises:
            JournalError: it cannot be reached or used, or a newer version wrote it.
        """
        return cls(await Connections.open(url), await Connections.open(url, most=1))

    async def close(self) -> None:
        """Finish what is being written and let the connections go."""
        await self._inbox.close()
        await self._connections.close()
        await self._leading.close()

    # --- leading

    def fenced(self, fence: Fence) -> PostgresJournal:
        """See `Journal.fenced`."""
        view = copy.copy(self)
        view._fence = fence  # noqa: SLF001  # of a copy of ourselves
        view._inbox = self._inbox.fenced(fence)  # noqa: SLF001
        return view

    @property
    def epoch(self) -> int | None:
        """See `Lead.epoch`."""
        return None if self._fence is None else self._fence.epoch

    async def take_lease(self, holder: str, seconds: float) -> int | None:
        """See `Journal.take_lease`."""
        over = f"(until is null or until <= {NOW})"
        await self._leading.end_hung()  # a leader that was stopped during a write would keep the lease's row locked
        rows = await self._leading.rows(
            # `for update` waits for the writes that are under way behind the present leader's fence
            f"with free as materialized (select name from lease where {over} for update)"  # noqa: S608  # our own words
            " insert into lease (name, holder, epoch, until)"
            f" values ('controller', $1, 1, {NOW} + $2::double precision)"
            f" on conflict (name) do update set holder = $1, epoch = lease.epoch + 1, until = {NOW} + $2"
            " where exists (select from free) returning epoch",
            holder,
            seconds,
        )
        return int(rows[0]["epoch"]) if rows else None

    async def renew_lease(self, epoch: int, seconds: float) -> bool:
        """See `Journal.renew_lease`."""
        await self._leading.end_hung()  # a follower may hang as well, while it stores what a person asked
        rows = await self._leading.rows(
            f"update lease set until = {NOW} + $2::double precision"  # noqa: S608  # our own words
            " where epoch = $1 and until is not null returning epoch",
            epoch,
            seconds,
        )
        return bool(rows)

    async def prove_lead(self) -> None:
        """See `Lead.prove_lead`."""

        async def nothing(_connection: Connection) -> None:
            pass

        await self._write(nothing)

    async def release_lease(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._leading.rows("update lease set until = null where epoch = $1", epoch)

    # --- decisions and rollbacks

    async def record(
        self,
        decision: Decision,
        rollback: Rollback | None = None,
        *,
        others: Sequence[Rollback] = (),
        idempotency_key: str | None = None,
        action: OperatorAction | None = None,
    ) -> None:
        """See `Journal.record`."""

        async def work(connection: Connection) -> None:
            await postgres_records.write_decision(connection, decision)
            if rollback is not None:
                await postgres_records.open_rollback(connection, rollback, idempotency_key)
            for each in others:
                await postgres_records.open_rollback(connection, each, None)
            await postgres_records.audit(connection, action)

        await self._write(work)

    async def record_several(self, decisions: Sequence[Decision]) -> None:
        """See `Lead.record_several`."""
        await self._write(lambda connection: postgres_records.write_decisions(connection, decisions))

    async def append(self, rollback_id: str, event: Event, *, action: OperatorAction | None = None) -> Rollback:
        """See `Journal.append`."""

        async def work(connection: Connection) -> Rollback:
            after = await postgres_records.fold(connection, rollback_id, event)
            await postgres_records.audit(connection, action)
            return after

        return await self._write(work)

    # --- releases and targets

    async def change_release(
        self,
        target: str,
        version: str,
        change: Callable[[Release | None], Release],
        *,
        action: OperatorAction | None = None,
    ) -> Release:
        """See `Journal.change_release`."""

        async def work(connection: Connection) -> Release:
            after = await postgres_records.change_release(connection, target, version, change)
            await postgres_records.audit(connection, action)
            return after

        return await self._write(work)

    async def change_target(
        self,
        target: str,
        change: Callable[[TargetState], TargetState],
        *,
        action: OperatorAction | None = None,
    ) -> TargetState:
        """See `Journal.change_target`."""

        async def work(connection: Connection) -> TargetState:
            after = await postgres_records.change_target(connection, target, change)
            await postgres_records.audit(connection, action)
            return after

        return await self._write(work)

    async def note_watched(self, watched: Watched) -> None:
        """See `Lead.note_watched`."""

        async def work(connection: Connection) -> None:
            await postgres_records.run(connection, statements.note_watched(watched))

        await self._write(work)

    async def change_both(
        self,
        target: str,
        version: str,
        release: Callable[[Release | None], Release],
        state: Callable[[TargetState, Release], TargetState],
    ) -> tuple[Release, TargetState]:
        """See `Lead.change_both`."""

        async def work(connection: Connection) -> tuple[Release, TargetState]:
            after = await postgres_records.change_release(connection, target, version, release)
            return after, await postgres_records.change_target(connection, target, lambda known: state(known, after))

        return await self._write(work)

    async def note_heartbeat(self, at: float) -> None:
        """See `Journal.note_heartbeat`."""
        sql, values = statements.note_heartbeat(at)
        await self._connections.rows(sql, *values)

    async def note_threads(self, text: str) -> None:
        """See `Journal.note_threads`."""
        sql, values = statements.note_threads(text)
        await self._connections.rows(sql, *values)

    # --- drills

    async def begin_drill(self, drill: Drill, *, given_up: float, action: OperatorAction) -> None:
        """See `Journal.begin_drill`."""

        async def work(connection: Connection) -> None:
            await postgres_records.begin_drill(connection, drill, given_up)
            await postgres_records.audit(connection, action)

        await self._write(work)

    async def end_drill(self, drill: Drill) -> None:
        """See `Journal.end_drill`."""
        await self._write(lambda connection: postgres_records.run(connection, statements.end_drill(drill)))

    async def note_drill_back(self, drill_id: str, at: float) -> None:
        """See `Journal.note_drill_back`."""
        await self._write(
            lambda connection: postgres_records.run(connection, statements.note_drill_back(drill_id, at))
        )

    # --- keeping

    async def prune(self, before: float, most: int) -> int:
        """See `Lead.prune`."""
        return await prune(self._connections, self._fence, before, most)

    # --- within

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._connections.change(work, self._fence)

    async def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._connections.rows(sql, *values)]
