"""The journal in one SQLite file.

Here: what is one transaction, and the fence at its head. An answer means that the change is on disk: the file uses
WAL with synchronous=FULL. One thread writes, one reads. The invariants stand in schema/sqlite, the transitions in
`rollback`. See journal/store.py for what each method promises.
"""

from __future__ import annotations

import asyncio
import copy
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rearguard_controller.errors import JournalError
from rearguard_controller.journal import records, statements
from rearguard_controller.journal.base import StoreBase
from rearguard_controller.journal.sqlite import records as sqlite_records
from rearguard_controller.journal.sqlite import retention
from rearguard_controller.journal.sqlite.file import JournalFile, open_file
from rearguard_controller.journal.sqlite.inbox import SqliteInbox
from rearguard_controller.journal.sqlite.reader import Reader
from rearguard_controller.journal.sqlite.writer import Work, Writer
from rearguard_controller.journal.store import Fence
from rearguard_controller.model import Decision, Drill, OperatorAction, Release, Rollback, TargetState
from rearguard_controller.model.shards import ONE
from rearguard_controller.model.watched import Watched
from rearguard_controller.rollback import Event

T = TypeVar("T")


class SqliteJournal(StoreBase):
    """A `Journal` in one file; one process at a time."""

    shared = False
    _inbox: SqliteInbox

    def __init__(self, file: JournalFile) -> None:
        """Use `open`."""
        self._writer = Writer(file.writer, file.reserve, file.harm)
        self._reader = Reader(file.reader, file.harm)
        self._place, self._harm = file.place, file.harm
        self._fence: Fence | None = None
        self._inbox = SqliteInbox(self._reader, self._writer)

    @classmethod
    def open(cls, path: str | Path) -> SqliteJournal:
        """Open or create the journal at `path`.

        Args:
            path: the file; its folder must exist and be writable.

        Raises:
            JournalError: it cannot be opened, another process holds it, or a newer version wrote it.
        """
        return cls(open_file(Path(path)))

    async def close(self) -> None:
        """Finish what is being written, close the file and let go of its lock."""
        await self._inbox.close()
        await asyncio.to_thread(self._writer.close)
        self._reader.close()
        self._harm.close()
        self._place.close()

    def fault(self) -> JournalError | None:
        """See `Journal.fault`."""
        return self._harm.fault or self._reader.fault

    # --- leading

    def fenced(self, fence: Fence) -> SqliteJournal:
        """See `Journal.fenced`."""
        view = copy.copy(self)
        view._fence = fence  # noqa: SLF001  # of a copy of ourselves
        view._inbox = self._inbox.fenced(view._write)  # noqa: SLF001
        return view

    @property
    def epoch(self) -> int | None:
        """See `Lead.epoch`."""
        return None if self._fence is None else self._fence.epoch

    async def take_lease(self, holder: str, seconds: float) -> int | None:
        """See `Journal.take_lease`. The lock of the file stands for the lease: whoever opened it gets it."""

        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "insert into lease (name, holder, epoch, until)"
                " values ('controller', ?1, 1, (julianday('now') - 2440587.5) * 86400.0 + ?2)"  # seconds since 1970
                " on conflict (name) do update set holder = ?1, epoch = epoch + 1, until = excluded.until"
                " returning epoch",
                (holder, seconds),
            ).fetchone()
            return int(row[0])

        return await self._write(work, urgent=True)

    async def renew_lease(self, epoch: int, seconds: float) -> bool:  # noqa: ARG002  # the lock has no end
        """See `Journal.renew_lease`. Nothing is written: nobody else can hold the file."""
        rows = await self._reader.rows("select epoch from lease where until is not null")
        return rows == [(epoch,)]

    async def prove_lead(self) -> None:
        """See `Lead.prove_lead`."""
        await self._write(lambda _connection: None, urgent=True, adds=False)  # also on a full disk

    async def release_lease(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._write(
            lambda connection: connection.execute("update lease set until = null where epoch = ?", (epoch,)),
            urgent=True,
        )

    # --- shards: all targets are one, as a file has one leader

    def of(self, target: str) -> SqliteJournal:  # noqa: ARG002  # as of a single shard
        """See `Lead.of`."""
        return self

    async def agree_on_shards(self, count: int) -> None:
        """See `Journal.agree_on_shards`."""
        if count != ONE:
            raise _one_leader()

    def of_shard(self, number: int, count: int) -> SqliteJournal:  # noqa: ARG002  # see `agree_on_shards`
        """See `Journal.of_shard`."""
        raise _one_leader()

    async def note_replica(self, name: str, seconds: float) -> Mapping[str, float]:  # noqa: ARG002  # there is one
        """See `Journal.note_replica`."""
        return {name: 0.0}

    async def forget_replica(self, name: str) -> None:
        """See `Journal.forget_replica`."""

    async def hand_over(self, ids: Sequence[int], shard: int) -> None:  # noqa: ARG002  # see `agree_on_shards`
        """See `Lead.hand_over`."""
        raise _one_leader()

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

        def work(connection: sqlite3.Connection) -> None:
            sqlite_records.write_decision(connection, decision)
            if rollback is not None:
                sqlite_records.open_rollback(connection, rollback, idempotency_key)
            for each in others:
                sqlite_records.open_rollback(connection, each, None)
            sqlite_records.audit(connection, action)

        await self._write(work, urgent=action is not None)  # what a person asks must not have to wait for room

    async def record_several(self, decisions: Sequence[Decision]) -> None:
        """See `Lead.record_several`."""
        await self._write(lambda connection: sqlite_records.write_decisions(connection, decisions))

    async def append(self, rollback_id: str, event: Event, *, action: OperatorAction | None = None) -> Rollback:
        """See `Journal.append`."""

        def work(connection: sqlite3.Connection) -> Rollback:
            after = sqlite_records.fold(connection, rollback_id, event)
            sqlite_records.audit(connection, action)
            return after

        return await self._write(work, urgent=True)

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

        def work(connection: sqlite3.Connection) -> Release:
            after = sqlite_records.change_release(connection, target, version, change)
            sqlite_records.audit(connection, action)
            return after

        return await self._write(work, urgent=action is not None)

    async def change_target(
        self,
        target: str,
        change: Callable[[TargetState], TargetState],
        *,
        action: OperatorAction | None = None,
    ) -> TargetState:
        """See `Journal.change_target`."""

        def work(connection: sqlite3.Connection) -> TargetState:
            after = sqlite_records.change_target(connection, target, change)
            sqlite_records.audit(connection, action)
            return after

        return await self._write(work, urgent=action is not None, adds=action is not None)

    async def note_watched(self, watched: Watched) -> None:
        """See `Lead.note_watched`."""
        note = statements.note_watched(records.with_watched(None, (0, ONE), watched))
        await self._write(lambda connection: sqlite_records.run(connection, *note), adds=False)

    async def change_both(
        self,
        target: str,
        version: str,
        release: Callable[[Release | None], Release],
        state: Callable[[TargetState, Release], TargetState],
    ) -> tuple[Release, TargetState]:
        """See `Lead.change_both`."""

        def work(connection: sqlite3.Connection) -> tuple[Release, TargetState]:
            after = sqlite_records.change_release(connection, target, version, release)
            return after, sqlite_records.change_target(connection, target, lambda known: state(known, after))

        return await self._write(work)

    async def note_heartbeat(self, at: float) -> None:
        """See `Journal.note_heartbeat`."""
        await self._write(lambda connection: sqlite_records.run(connection, *statements.note_heartbeat(at)))

    async def note_threads(self, text: str) -> None:
        """See `Journal.note_threads`."""
        await self._write(lambda connection: sqlite_records.run(connection, *statements.note_threads(text)))

    # --- drills

    async def begin_drill(self, drill: Drill, *, given_up: float, action: OperatorAction) -> None:
        """See `Journal.begin_drill`."""

        def work(connection: sqlite3.Connection) -> None:
            sqlite_records.begin_drill(connection, drill, given_up)
            sqlite_records.audit(connection, action)

        await self._write(work)

    async def end_drill(self, drill: Drill) -> None:
        """See `Journal.end_drill`."""
        await self._write(lambda connection: sqlite_records.run(connection, *statements.end_drill(drill)))

    async def note_drill_back(self, drill_id: str, at: float) -> None:
        """See `Journal.note_drill_back`."""
        await self._write(
            lambda connection: sqlite_records.run(connection, *statements.note_drill_back(drill_id, at))
        )

    # --- keeping

    async def prune(self, before: float, most: int) -> int:
        """See `Lead.prune`."""
        return await retention.prune(self._write, before, most)

    # --- within

    async def _write(self, work: Work[T], *, urgent: bool = False, adds: bool = True) -> T:
        fence = self._fence
        if fence is None:
            return await self._writer.do(work, urgent=urgent, adds=adds)

        def guarded(connection: sqlite3.Connection) -> T:
            row = connection.execute("select epoch from lease").fetchone()
            records.prove_lead(fence, None if row is None else row[0])
            return work(connection)

        return await self._writer.do(guarded, urgent=urgent, adds=adds)

    async def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._reader.rows(sql, *values)


def _one_leader() -> JournalError:
    return JournalError("A journal in SQLite has one leader for all targets.", hint="Sharding needs PostgreSQL.")
