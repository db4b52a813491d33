"""The journal in one SQLite file.

Here: what is one transaction, the fence at its head, what is read. WAL with synchronous=FULL, so that what is
answered is on disk; one writer thread, one reader thread. The invariants stand in schema/sqlite, the transitions in
`rollback`; this module only stores.
Never here: decisions, the file and its lock (journal/sqlite_file.py), how a record is changed within a transaction
(journal/sqlite_records.py), the inbox (journal/sqlite_inbox.py). See journal/store.py for what each method promises.
"""

from __future__ import annotations

import asyncio
import copy
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from rearguard_controller.errors import LeaseLostError, NotFoundError
from rearguard_controller.journal import codec, records
from rearguard_controller.journal.pages import Listing
from rearguard_controller.journal.sqlite import records as sqlite_records
from rearguard_controller.journal.sqlite import retention
from rearguard_controller.journal.sqlite.file import JournalFile, open_file
from rearguard_controller.journal.sqlite.inbox import SqliteInbox
from rearguard_controller.journal.sqlite.reader import Reader
from rearguard_controller.journal.sqlite.writer import Work, Writer
from rearguard_controller.journal.store import Fence, InboxEntry, OperatorAction, Page
from rearguard_controller.model import Alert, Decision, Drill, Outcome, Release, Rollback, TargetState, Verdict
from rearguard_controller.rollback import Event

T = TypeVar("T")


class SqliteJournal:
    """A `Journal` in one file; one process at a time."""

    shared = False

    def __init__(self, file: JournalFile) -> None:
        """Use `open`."""
        self._writer = Writer(file.writer, file.reserve)
        self._reader = Reader(file.reader)
        self._lock = file.lock
        self._fence: Fence | None = None
        self._inbox = SqliteInbox(self._reader, self._write)

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
        os.close(self._lock)

    # --- leading

    def fenced(self, fence: Fence) -> SqliteJournal:
        """See `Journal.fenced`."""
        view = copy.copy(self)
        view._fence = fence  # noqa: SLF001  # of a copy of ourselves
        view._inbox = self._inbox.fenced(view._write)  # noqa: SLF001
        return view

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
        """See `Journal.prove_lead`."""
        await self._write(lambda _connection: None, urgent=True)  # also on a full disk: it writes nothing

    async def release_lease(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._write(
            lambda connection: connection.execute("update lease set until = null where epoch = ?", (epoch,)),
            urgent=True,
        )

    # --- inbox

    async def accept(self, alerts: Sequence[Alert], received_at: float) -> None:
        """See `Journal.accept`."""
        await self._inbox.accept(alerts, received_at)

    async def unjudged(self, limit: int, *, but_not: Collection[int] = ()) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        return await self._inbox.unjudged(limit, but_not)

    async def unjudged_count(self) -> int:
        """See `Journal.unjudged_count`."""
        return await self._inbox.unjudged_count()

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Journal.mark_judged`."""
        await self._inbox.mark_judged(ids, at)

    # --- decisions and rollbacks

    async def record(
        self,
        decision: Decision,
        rollback: Rollback | None = None,
        *,
        idempotency_key: str | None = None,
        action: OperatorAction | None = None,
    ) -> None:
        """See `Journal.record`."""

        def work(connection: sqlite3.Connection) -> None:
            sqlite_records.write_decision(connection, decision)
            if rollback is not None:
                sqlite_records.open_rollback(connection, rollback, idempotency_key)
            sqlite_records.audit(connection, action)

        await self._write(work)

    async def append(self, rollback_id: str, event: Event, *, action: OperatorAction | None = None) -> Rollback:
        """See `Journal.append`."""

        def work(connection: sqlite3.Connection) -> Rollback:
            after = sqlite_records.fold(connection, rollback_id, event)
            sqlite_records.audit(connection, action)
            return after

        return await self._write(work, urgent=True)

    async def open_rollbacks(self) -> tuple[Rollback, ...]:
        """See `Journal.open_rollbacks`."""
        rows = await self._reader.rows("select id, body from rollbacks where phase <> 'closed' order by seq")
        return records.several(Rollback, rows)

    async def rollback(self, rollback_id: str) -> Rollback:
        """See `Journal.rollback`."""
        return await self._reader.do(lambda connection: sqlite_records.rollback_of(connection, rollback_id))

    async def events(self, rollback_id: str) -> tuple[Event, ...]:
        """See `Journal.events`."""
        rows = await self._reader.rows(
            "select body from rollback_events where rollback_id = ? order by n", rollback_id
        )
        return tuple(records.one(Event, rollback_id, row[0]) for row in rows)

    async def rollbacks(
        self,
        *,
        target: str | None = None,
        outcome: Outcome | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Rollback]:
        """See `Journal.rollbacks`."""
        filters = {"target": target, "outcome": outcome}
        return await self._page(Rollback, "rollbacks", filters, limit, before)

    async def rollback_by_key(self, idempotency_key: str) -> Rollback | None:
        """See `Journal.rollback_by_key`."""
        rows = await self._reader.rows("select body from rollbacks where idempotency_key = ?", idempotency_key)
        return records.one(Rollback, "with this key", rows[0][0]) if rows else None

    async def decision(self, decision_id: str) -> Decision:
        """See `Journal.decision`."""
        rows = await self._reader.rows("select body from decisions where id = ?", decision_id)
        if not rows:
            raise NotFoundError(f"There is no decision {decision_id}.", hint="List them with: rearguard decisions")
        return records.one(Decision, decision_id, rows[0][0])

    async def decisions(
        self,
        *,
        target: str | None = None,
        verdict: Verdict | None = None,
        alert: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Decision]:
        """See `Journal.decisions`."""
        filters = {"target": target, "verdict": verdict, "alert": records.listed_as(alert)}
        return await self._page(Decision, "decisions", filters, limit, before)

    # --- what happened before

    async def handled(self, target: str, version: str) -> str | None:
        """See `Journal.handled`."""
        rows = await self._reader.rows(
            "select rollback_id from handled where target = ? and version = ?",
            target,
            version,
        )
        return rows[0][0] if rows else None

    async def actions_since(self, target: str, since: float) -> tuple[float, ...]:
        """See `Journal.actions_since`."""
        rows = await self._reader.rows(
            "select roll_back_started_at from rollbacks where target = ? and \"trigger\" = 'alert'"
            " and roll_back_started_at >= ? order by roll_back_started_at desc",
            target,
            since,
        )
        return tuple(row[0] for row in rows)

    async def last_action_at(self, target: str) -> float | None:
        """See `Journal.last_action_at`."""
        rows = await self._reader.rows(
            "select max(roll_back_started_at) from rollbacks where target = ? and roll_back_started_at is not null",
            target,
        )
        last: float | None = rows[0][0]
        return last

    # --- releases and targets

    async def releases(self, target: str) -> tuple[Release, ...]:
        """See `Journal.releases`."""
        rows = await self._reader.rows(
            "select version, body from releases where target = ? order by first_seen desc", target
        )
        return records.several(Release, rows)

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

        return await self._write(work)

    async def target_state(self, target: str) -> TargetState:
        """See `Journal.target_state`."""
        return await self._reader.do(lambda connection: sqlite_records.state_of(connection, target))

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

        return await self._write(work, urgent=action is not None)  # a person who disarms must not have to wait

    async def operator_actions(self, *, subject: str | None = None, limit: int = 50) -> tuple[OperatorAction, ...]:
        """See `Journal.operator_actions`."""
        where, values = ("where subject = ?", [subject, limit]) if subject is not None else ("", [limit])
        rows = await self._reader.rows(
            f"select at, operator, action, subject, reason from operator_actions {where} order by id desc limit ?",  # noqa: S608  # our own words
            *values,
        )
        return tuple(OperatorAction(*row) for row in rows)

    async def note_heartbeat(self, at: float) -> None:
        """See `Journal.note_heartbeat`."""
        await self._write(
            lambda connection: connection.execute(
                "insert into meta (key, value) values ('heartbeat_at', ?)"
                " on conflict (key) do update set value = excluded.value",
                (str(at),),
            )
        )

    async def heartbeat_at(self) -> float | None:
        """See `Journal.heartbeat_at`."""
        rows = await self._reader.rows("select value from meta where key = 'heartbeat_at'")
        return float(rows[0][0]) if rows else None

    # --- drills

    async def begin_drill(self, drill: Drill, *, given_up: float, action: OperatorAction) -> None:
        """See `Journal.begin_drill`."""

        def work(connection: sqlite3.Connection) -> None:
            sqlite_records.begin_drill(connection, drill, given_up)
            sqlite_records.audit(connection, action)

        await self._write(work)

    async def end_drill(self, drill: Drill) -> None:
        """See `Journal.end_drill`."""
        await self._write(
            lambda connection: connection.execute(
                "update drills set ended_at = ?, body = ? where id = ?",
                (drill.ended_at, codec.dump(drill), drill.id),
            )
        )

    async def note_drill_back(self, drill_id: str, at: float) -> None:
        """See `Journal.note_drill_back`."""
        await self._write(
            lambda connection: connection.execute(
                "update drills set back_at = ? where id = ? and back_at is null", (at, drill_id)
            )
        )

    async def drill_back_at(self, drill_id: str) -> float | None:
        """See `Journal.drill_back_at`."""
        rows = await self._reader.rows("select back_at from drills where id = ?", drill_id)
        at: float | None = rows[0][0] if rows else None
        return at

    async def drills(self, *, target: str, limit: int = 50, before: str | None = None) -> Page[Drill]:
        """See `Journal.drills`."""
        return await self._page(Drill, "drills", {"target": target}, limit, before)

    # --- keeping

    async def prune(self, before: float, most: int) -> int:
        """See `Journal.prune`."""
        return await retention.prune(self._write, before, most)

    # --- within

    async def _write(self, work: Work[T], *, urgent: bool = False) -> T:
        fence = self._fence
        if fence is None:
            return await self._writer.do(work, urgent=urgent)

        def guarded(connection: sqlite3.Connection) -> T:
            row = connection.execute("select epoch from lease").fetchone()
            if fence.epoch is None or row != (fence.epoch,):
                raise LeaseLostError("This process does not lead any more; nothing was stored.")
            return work(connection)

        return await self._writer.do(guarded, urgent=urgent)

    async def _page(
        self, kind: type[T], table: str, filters: dict[str, str | None], limit: int, before: str | None
    ) -> Page[T]:
        listing = Listing(kind, table, filters, limit, before)

        def work(connection: sqlite3.Connection) -> Page[T]:
            found = [] if before is None else connection.execute(listing.place("?"), (before,)).fetchall()
            sql, values = listing.page("?", found[0][0] if found else None)
            return listing.read(connection.execute(sql, values).fetchall())

        return await self._reader.do(work)
