"""The journal in one SQLite file.

Here: SQL, the file and its lock. WAL with synchronous=FULL, so that what is answered is on disk; one writer thread,
one reader thread. The invariants stand in schema/sqlite, and the transitions in `rollback`; this module only stores.
Never here: decisions. See journal/store.py for what each method promises.
"""

from __future__ import annotations

import asyncio
import copy
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import orjson

from rearguard_controller.errors import ConflictError, InvalidInputError, LeaseLostError, NotFoundError
from rearguard_controller.journal import codec, records, sqlite_records, sqlite_retention
from rearguard_controller.journal.backlog import MOST_COUNTED, Backlog
from rearguard_controller.journal.gathering import Gathering, Rows
from rearguard_controller.journal.sqlite_file import JournalFile, open_file
from rearguard_controller.journal.store import DRILL_HINT, Fence, InboxEntry, OperatorAction, Page
from rearguard_controller.journal.writer import Work, Writer, translate
from rearguard_controller.model import Alert, Decision, Drill, Outcome, Release, Rollback, TargetState, Verdict
from rearguard_controller.rollback import Event

T = TypeVar("T")


class SqliteJournal:
    """A `Journal` in one file; one process at a time."""

    shared = False

    def __init__(self, file: JournalFile) -> None:
        """Use `open`."""
        self._writer = Writer(file.writer, file.reserve)
        self._reader = file.reader
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._lock = file.lock
        self._fence: Fence | None = None
        self._backlog = Backlog()
        self._gathering = Gathering(self._insert)

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
        await self._gathering.close()
        await asyncio.to_thread(self._writer.close)
        self._read_thread.shutdown()
        self._reader.close()
        os.close(self._lock)

    # --- leading

    def fenced(self, fence: Fence) -> SqliteJournal:
        """See `Journal.fenced`."""
        view = copy.copy(self)
        view._fence = fence  # noqa: SLF001  # of a copy of ourselves
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
        rows = await self._rows("select epoch from lease where until is not null")
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
        rows = [(received_at, codec.dump(alert)) for alert in alerts]
        await (self._gathering.insert(rows) if self._fence is None else self._insert(rows))
        self._backlog.accepted(len(rows))

    async def _insert(self, rows: Rows) -> None:
        """One statement for all rows: at each one the writer's thread would give the interpreter away and queue."""
        text = orjson.dumps(rows).decode()
        await self._write(
            lambda connection: connection.execute(
                "insert into inbox (received_at, body) select value ->> 0, value ->> 1 from json_each(?)", (text,)
            )
        )

    async def unjudged(self, limit: int, *, but_not: Collection[int] = ()) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        rows = await self._rows(
            "select id, body, received_at from inbox where judged_at is null and damage is null"
            " and id not in (select value from json_each(?)) order by id limit ?",
            orjson.dumps(list(but_not)).decode(),
            limit,
        )
        received = {row[0]: row[2] for row in rows}
        found, damaged = records.sorted_out(Alert, [(row[0], row[1]) for row in rows])
        if damaged:
            reasons = [(reason, number) for number, reason in damaged]
            await self._write(
                lambda connection: connection.executemany("update inbox set damage = ? where id = ?", reasons),
                urgent=True,
            )
            return await self.unjudged(limit, but_not=but_not)
        return tuple(InboxEntry(number, alert, received[number]) for number, alert in found)

    async def unjudged_count(self) -> int:
        """See `Journal.unjudged_count`."""

        async def ask() -> int:
            rows = await self._rows(
                "select count(*) from (select 1 from inbox where judged_at is null and damage is null limit ?)",
                MOST_COUNTED,
            )
            return int(rows[0][0])

        return await self._backlog.count(ask)

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Journal.mark_judged`."""
        text = orjson.dumps(ids).decode()  # one statement, as in `_insert`
        await self._write(
            lambda connection: connection.execute(
                "update inbox set judged_at = ? where id in (select value from json_each(?))", (at, text)
            ),
            urgent=True,
        )

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
            connection.execute(
                "insert into decisions (id, target, verdict, alert, decided_at, body) values (?, ?, ?, ?, ?, ?)",
                (
                    decision.id,
                    decision.target,
                    decision.verdict,
                    records.listed_as(None if decision.alert is None else decision.alert.name),
                    decision.decided_at,
                    codec.dump(decision),
                ),
            )
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
        rows = await self._rows("select id, body from rollbacks where phase <> 'closed' order by seq")
        return records.several(Rollback, rows)

    async def rollback(self, rollback_id: str) -> Rollback:
        """See `Journal.rollback`."""
        return await self._read(lambda connection: sqlite_records.rollback_of(connection, rollback_id))

    async def events(self, rollback_id: str) -> tuple[Event, ...]:
        """See `Journal.events`."""
        rows = await self._rows("select body from rollback_events where rollback_id = ? order by n", rollback_id)
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
        rows = await self._rows("select body from rollbacks where idempotency_key = ?", idempotency_key)
        return records.one(Rollback, "with this key", rows[0][0]) if rows else None

    async def decision(self, decision_id: str) -> Decision:
        """See `Journal.decision`."""
        rows = await self._rows("select body from decisions where id = ?", decision_id)
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
        rows = await self._rows(
            "select rollback_id from handled where target = ? and version = ?",
            target,
            version,
        )
        return rows[0][0] if rows else None

    async def actions_since(self, target: str, since: float) -> tuple[float, ...]:
        """See `Journal.actions_since`."""
        rows = await self._rows(
            "select roll_back_started_at from rollbacks where target = ? and \"trigger\" = 'alert'"
            " and roll_back_started_at >= ? order by roll_back_started_at desc",
            target,
            since,
        )
        return tuple(row[0] for row in rows)

    async def last_action_at(self, target: str) -> float | None:
        """See `Journal.last_action_at`."""
        rows = await self._rows(
            "select max(roll_back_started_at) from rollbacks where target = ? and roll_back_started_at is not null",
            target,
        )
        last: float | None = rows[0][0]
        return last

    # --- releases and targets

    async def releases(self, target: str) -> tuple[Release, ...]:
        """See `Journal.releases`."""
        rows = await self._rows(
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
            before = sqlite_records.release_of(connection, target, version)
            after = change(before)
            if after != before:
                sqlite_records.write_release(connection, after)
            sqlite_records.audit(connection, action)
            return after

        return await self._write(work)

    async def target_state(self, target: str) -> TargetState:
        """See `Journal.target_state`."""
        return await self._read(lambda connection: sqlite_records.state_of(connection, target))

    async def change_target(
        self,
        target: str,
        change: Callable[[TargetState], TargetState],
        *,
        action: OperatorAction | None = None,
    ) -> TargetState:
        """See `Journal.change_target`."""

        def work(connection: sqlite3.Connection) -> TargetState:
            before = sqlite_records.state_of(connection, target)
            after = change(before)
            if after != before:
                sqlite_records.write_state(connection, after)
            sqlite_records.audit(connection, action)
            return after

        return await self._write(work, urgent=action is not None)  # a person who disarms must not have to wait

    async def operator_actions(self, *, subject: str | None = None, limit: int = 50) -> tuple[OperatorAction, ...]:
        """See `Journal.operator_actions`."""
        where, values = ("where subject = ?", [subject, limit]) if subject is not None else ("", [limit])
        rows = await self._rows(
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
        rows = await self._rows("select value from meta where key = 'heartbeat_at'")
        return float(rows[0][0]) if rows else None

    # --- drills

    async def begin_drill(self, drill: Drill, *, given_up: float, action: OperatorAction) -> None:
        """See `Journal.begin_drill`."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "update drills set ended_at = started_at where target = ? and ended_at is null and started_at < ?",
                (drill.target, given_up),
            )
            try:
                connection.execute(
                    "insert into drills (id, target, started_at, body) values (?, ?, ?, ?)",
                    (drill.id, drill.target, drill.at, codec.dump(drill)),
                )
            except sqlite3.IntegrityError as error:
                raise ConflictError(f"A drill of {drill.target} goes on already.", hint=DRILL_HINT) from error
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
        rows = await self._rows("select back_at from drills where id = ?", drill_id)
        at: float | None = rows[0][0] if rows else None
        return at

    async def drills(self, *, target: str, limit: int = 50, before: str | None = None) -> Page[Drill]:
        """See `Journal.drills`."""
        return await self._page(Drill, "drills", {"target": target}, limit, before)

    # --- keeping

    async def prune(self, before: float, most: int) -> int:
        """See `Journal.prune`."""
        return await sqlite_retention.prune(self._write, before, most)

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

    async def _read(self, work: Work[T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._read_thread, work, self._reader)
        except sqlite3.Error as error:
            raise translate(error) from error

    async def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._read(lambda connection: connection.execute(sql, values).fetchall())

    async def _page(
        self, kind: type[T], table: str, filters: dict[str, str | None], limit: int, before: str | None
    ) -> Page[T]:
        wanted = {column: value for column, value in filters.items() if value is not None}

        def work(connection: sqlite3.Connection) -> Page[T]:
            where, values = [f"{column} = ?" for column in wanted], list(wanted.values())
            if before is not None:
                row = connection.execute(f"select seq from {table} where id = ?", (before,)).fetchone()  # noqa: S608  # our own table names
                if row is None:
                    raise InvalidInputError(
                        f"{before!r} is no cursor.", hint="Use the `next` of the page before.", field="before"
                    )
                where.append("seq < ?")
                values.append(row[0])
            condition = f"where {' and '.join(where)}" if where else ""
            rows = connection.execute(
                f"select id, body from {table} {condition} order by seq desc limit ?",  # noqa: S608  # our own names
                (*values, limit + 1),
            ).fetchall()
            items = records.several(kind, rows[:limit])
            return Page(items, rows[limit - 1][0] if len(rows) > limit else None)

        return await self._read(work)
