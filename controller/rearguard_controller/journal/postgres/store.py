"""The journal in PostgreSQL, for several replicas.

Here: the lease, what is one transaction, what is read. The invariants stand in schema/postgres, the transitions in
`rollback`; this module only stores.
Never here: decisions, connections (journal/connections.py), how a record is changed within a transaction
(journal/postgres_records.py), the inbox (journal/postgres_inbox.py). See journal/store.py for what each method
promises.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from rearguard_controller.errors import NotFoundError
from rearguard_controller.journal import codec, records
from rearguard_controller.journal.pages import Listing
from rearguard_controller.journal.postgres import records as postgres_records
from rearguard_controller.journal.postgres.connections import Connection, Connections
from rearguard_controller.journal.postgres.inbox import PostgresInbox
from rearguard_controller.journal.postgres.retention import prune
from rearguard_controller.journal.store import Fence, InboxEntry, OperatorAction, Page
from rearguard_controller.model import Alert, Decision, Drill, Outcome, Release, Rollback, TargetState, Verdict
from rearguard_controller.rollback import Event

T = TypeVar("T")

NOW = "extract(epoch from clock_timestamp())::double precision"  # the database's clock


class PostgresJournal:
    """A `Journal` in one database; any number of processes."""

    shared = True

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

    async def take_lease(self, holder: str, seconds: float) -> int | None:
        """See `Journal.take_lease`."""
        over = f"(until is null or until <= {NOW})"
        await self._leading.end_hung()  # a leader that was stopped in a write would keep the lease's row
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
        await self._leading.end_hung()  # a follower may hang as well, in the middle of a person's word
        rows = await self._leading.rows(
            f"update lease set until = {NOW} + $2::double precision"  # noqa: S608  # our own words
            " where epoch = $1 and until is not null returning epoch",
            epoch,
            seconds,
        )
        return bool(rows)

    async def prove_lead(self) -> None:
        """See `Journal.prove_lead`."""

        async def nothing(_connection: Connection) -> None:
            pass

        await self._write(nothing)

    async def release_lease(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._leading.rows("update lease set until = null where epoch = $1", epoch)

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

        async def work(connection: Connection) -> None:
            await postgres_records.write_decision(connection, decision)
            if rollback is not None:
                await postgres_records.open_rollback(connection, rollback, idempotency_key)
            await postgres_records.audit(connection, action)

        await self._write(work)

    async def append(self, rollback_id: str, event: Event, *, action: OperatorAction | None = None) -> Rollback:
        """See `Journal.append`."""

        async def work(connection: Connection) -> Rollback:
            after = await postgres_records.fold(connection, rollback_id, event)
            await postgres_records.audit(connection, action)
            return after

        return await self._write(work)

    async def open_rollbacks(self) -> tuple[Rollback, ...]:
        """See `Journal.open_rollbacks`."""
        rows = await self._connections.rows("select id, body from rollbacks where phase <> 'closed' order by seq")
        return records.several(Rollback, [(row["id"], row["body"]) for row in rows])

    async def rollback(self, rollback_id: str) -> Rollback:
        """See `Journal.rollback`."""
        rows = await self._connections.rows("select body from rollbacks where id = $1", rollback_id)
        return postgres_records.known_rollback(rollback_id, rows[0] if rows else None)

    async def events(self, rollback_id: str) -> tuple[Event, ...]:
        """See `Journal.events`."""
        rows = await self._connections.rows(
            "select body from rollback_events where rollback_id = $1 order by n", rollback_id
        )
        return tuple(records.one(Event, rollback_id, row["body"]) for row in rows)

    async def rollbacks(
        self,
        *,
        target: str | None = None,
        outcome: Outcome | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Rollback]:
        """See `Journal.rollbacks`."""
        return await self._page(Rollback, "rollbacks", {"target": target, "outcome": outcome}, limit, before)

    async def rollback_by_key(self, idempotency_key: str) -> Rollback | None:
        """See `Journal.rollback_by_key`."""
        rows = await self._connections.rows("select body from rollbacks where idempotency_key = $1", idempotency_key)
        return records.one(Rollback, "with this key", rows[0]["body"]) if rows else None

    async def decision(self, decision_id: str) -> Decision:
        """See `Journal.decision`."""
        rows = await self._connections.rows("select body from decisions where id = $1", decision_id)
        if not rows:
            raise NotFoundError(f"There is no decision {decision_id}.", hint="List them with: rearguard decisions")
        return records.one(Decision, decision_id, rows[0]["body"])

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
        rows = await self._connections.rows(
            "select rollback_id from handled where target = $1 and version = $2", target, version
        )
        return str(rows[0][0]) if rows else None

    async def actions_since(self, target: str, since: float) -> tuple[float, ...]:
        """See `Journal.actions_since`."""
        rows = await self._connections.rows(
            "select roll_back_started_at from rollbacks where target = $1 and \"trigger\" = 'alert'"
            " and roll_back_started_at >= $2 order by roll_back_started_at desc",
            target,
            since,
        )
        return tuple(row[0] for row in rows)

    async def last_action_at(self, target: str) -> float | None:
        """See `Journal.last_action_at`."""
        rows = await self._connections.rows(
            "select max(roll_back_started_at) from rollbacks where target = $1 and roll_back_started_at is not null",
            target,
        )
        last: float | None = rows[0][0]
        return last

    # --- releases and targets

    async def releases(self, target: str) -> tuple[Release, ...]:
        """See `Journal.releases`."""
        rows = await self._connections.rows(
            "select version, body from releases where target = $1 order by first_seen desc", target
        )
        return records.several(Release, [(row["version"], row["body"]) for row in rows])

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

    async def target_state(self, target: str) -> TargetState:
        """See `Journal.target_state`."""
        rows = await self._connections.rows("select body from target_state where target = $1", target)
        return postgres_records.state_in(target, rows[0] if rows else None)

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

    async def operator_actions(self, *, subject: str | None = None, limit: int = 50) -> tuple[OperatorAction, ...]:
        """See `Journal.operator_actions`."""
        where, values = ("where subject = $2", [limit, subject]) if subject is not None else ("", [limit])
        rows = await self._connections.rows(
            f"select at, operator, action, subject, reason from operator_actions {where} order by id desc limit $1",  # noqa: S608  # our own words
            *values,
        )
        return tuple(OperatorAction(*row) for row in rows)

    async def note_heartbeat(self, at: float) -> None:
        """See `Journal.note_heartbeat`."""
        await self._connections.rows(
            "insert into meta (key, value) values ('heartbeat_at', $1)"
            " on conflict (key) do update set value = excluded.value",
            str(at),
        )

    async def heartbeat_at(self) -> float | None:
        """See `Journal.heartbeat_at`."""
        rows = await self._connections.rows("select value from meta where key = 'heartbeat_at'")
        return float(rows[0]["value"]) if rows else None

    # --- drills

    async def begin_drill(self, drill: Drill, *, given_up: float, action: OperatorAction) -> None:
        """See `Journal.begin_drill`."""

        async def work(connection: Connection) -> None:
            await postgres_records.begin_drill(connection, drill, given_up)
            await postgres_records.audit(connection, action)

        await self._write(work)

    async def end_drill(self, drill: Drill) -> None:
        """See `Journal.end_drill`."""
        await self._write(
            lambda connection: connection.execute(
                "update drills set ended_at = $2, body = $3 where id = $1",
                drill.id,
                drill.ended_at,
                codec.dump(drill),
            )
        )

    async def note_drill_back(self, drill_id: str, at: float) -> None:
        """See `Journal.note_drill_back`."""
        await self._write(
            lambda connection: connection.execute(
                "update drills set back_at = $2 where id = $1 and back_at is null", drill_id, at
            )
        )

    async def drill_back_at(self, drill_id: str) -> float | None:
        """See `Journal.drill_back_at`."""
        rows = await self._connections.rows("select back_at from drills where id = $1", drill_id)
        at: float | None = rows[0][0] if rows else None
        return at

    async def drills(self, *, target: str, limit: int = 50, before: str | None = None) -> Page[Drill]:
        """See `Journal.drills`."""
        return await self._page(Drill, "drills", {"target": target}, limit, before)

    # --- keeping

    async def prune(self, before: float, most: int) -> int:
        """See `Journal.prune`."""
        return await prune(self._connections, self._fence, before, most)

    # --- within

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._connections.change(work, self._fence)

    async def _page(
        self, kind: type[T], table: str, filters: dict[str, str | None], limit: int, before: str | None
    ) -> Page[T]:
        listing = Listing(kind, table, filters, limit, before)
        found = [] if before is None else await self._connections.rows(listing.place("$"), before)
        sql, values = listing.page("$", found[0]["seq"] if found else None)
        rows = await self._connections.rows(sql, *values)
        return listing.read([(row["id"], row["body"]) for row in rows])
