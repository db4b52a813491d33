"""The journal in PostgreSQL, for several replicas.

Here: what is one transaction; leases are in leases.py. The invariants stand in schema/postgres, the transitions in
`rollback`. See journal/store.py for what each method promises.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from rearguard_controller.journal import records, statements
from rearguard_controller.journal.base import StoreBase
from rearguard_controller.journal.postgres import leases
from rearguard_controller.journal.postgres import records as postgres_records
from rearguard_controller.journal.postgres.connections import Connection, Connections
from rearguard_controller.journal.postgres.inbox import PostgresInbox
from rearguard_controller.journal.postgres.leases import Lease, ShardLease
from rearguard_controller.journal.postgres.retention import prune
from rearguard_controller.journal.store import Fence
from rearguard_controller.model import Decision, Drill, OperatorAction, Release, Rollback, TargetState
from rearguard_controller.model.shards import ONE, shard_of
from rearguard_controller.model.watched import Watched
from rearguard_controller.rollback import Event

T = TypeVar("T")


class PostgresJournal(StoreBase):
    """A `Journal` in one database; any number of processes."""

    shared = True
    _inbox: PostgresInbox

    def __init__(self, connections: Connections, leading: Connections) -> None:
        """Use `open`; `leading` is for the lease, whose renewal must not queue behind anything."""
        self._connections = connections
        self._leading = leading
        self._fence: Fence | None = None
        self._lease = Lease(leading)
        self._shard = (0, ONE)  # its number, of how many
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

    def of(self, target: str) -> PostgresJournal:  # noqa: ARG002  # as of a single shard
        """See `Lead.of`."""
        return self

    async def take_lease(self, holder: str, seconds: float) -> int | None:
        """See `Journal.take_lease`."""
        return await self._lease.take(holder, seconds)

    async def renew_lease(self, epoch: int, seconds: float) -> bool:
        """See `Journal.renew_lease`."""
        return await self._lease.renew(epoch, seconds)

    async def release_lease(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._lease.release(epoch)

    async def prove_lead(self) -> None:
        """See `Lead.prove_lead`."""

        async def nothing(_connection: Connection) -> None:
            pass

        await self._write(nothing)

    # --- shards

    async def agree_on_shards(self, count: int) -> None:
        """See `Journal.agree_on_shards`."""
        await self._connections.change(lambda connection: leases.agree(connection, count))

    def of_shard(self, number: int, count: int) -> PostgresJournal:
        """See `Journal.of_shard`."""
        view = copy.copy(self)
        view._shard = number, count  # noqa: SLF001  # of a copy of ourselves
        view._lease = ShardLease(self._leading, number, count)  # noqa: SLF001
        view._inbox = self._inbox.of_shard(number)  # noqa: SLF001
        return view

    async def note_replica(self, name: str, seconds: float) -> Mapping[str, float]:
        """See `Journal.note_replica`."""
        return await leases.note(self._leading, name, seconds)

    async def forget_replica(self, name: str) -> None:
        """See `Journal.forget_replica`."""
        await leases.forget(self._leading, name)

    async def hand_over(self, ids: Sequence[int], shard: int) -> None:
        """See `Lead.hand_over`."""
        await self._inbox.hand_over(ids, shard)

    async def open_rollbacks(self) -> tuple[Rollback, ...]:
        """See `Journal.open_rollbacks`."""
        found, (number, count) = await super().open_rollbacks(), self._shard
        return tuple(each for each in found if shard_of(each.target, count) == number)

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
            before = await connection.fetchval("select value from meta where key = 'watched' for update")
            note = records.with_watched(before, self._shard, watched)
            await postgres_records.run(connection, statements.note_watched(note))

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
