"""What the stores in SQLite and PostgreSQL do alike: all that is read, and the inbox.

Here: queries that are the same in both databases. Their values are marked $1, $2, ...; the SQLite store turns the
marks into ?1, ?2, ... Each store runs the queries in its own `_rows`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from rearguard_controller.errors import DamagedError, JournalError, NotFoundError
from rearguard_controller.journal import news, pages, records, statements
from rearguard_controller.journal.inbox import Inbox
from rearguard_controller.journal.news import Kind, Mark, News
from rearguard_controller.journal.pages import Listing
from rearguard_controller.journal.store import Page
from rearguard_controller.model import (
    Alert,
    Decision,
    Drill,
    InboxEntry,
    OperatorAction,
    Outcome,
    Release,
    Rollback,
    TargetState,
    Verdict,
)
from rearguard_controller.model.observations import unreadable
from rearguard_controller.rollback import Event

T = TypeVar("T")

SMALL_PAGE = 64 * 1024  # characters of records, which are decoded within a few milliseconds


class StoreBase(ABC):
    """The methods of a `Journal` that are the same for every database; `Journal` says what each promises."""

    _inbox: Inbox
    _releases_read: Mapping[str, Release] = MappingProxyType({})  # as below
    _states_read: Mapping[str, TargetState] = MappingProxyType({})  # by record, as they were last read together

    @abstractmethod
    async def _rows(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """The rows that a query finds.

        Raises:
            JournalError: the database could not be read.
        """

    def fault(self) -> JournalError | None:
        """See `Journal.fault`."""
        return None

    # --- inbox

    def accept(
        self, alerts: Sequence[Alert], received_at: float, *, shards: Sequence[int] | None = None
    ) -> Coroutine[Any, Any, None]:
        """See `Journal.accept`."""
        return self._inbox.accept(alerts, received_at, shards)

    async def unjudged(self, limit: int, *, but_not: Collection[int] = ()) -> tuple[InboxEntry, ...]:
        """See `Journal.unjudged`."""
        return await self._inbox.unjudged(limit, but_not)

    def unjudged_count(self) -> Coroutine[Any, Any, int]:
        """See `Journal.unjudged_count`."""
        return self._inbox.unjudged_count()

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Lead.mark_judged`."""
        await self._inbox.mark_judged(ids, at)

    # --- decisions and rollbacks

    async def open_rollbacks(self) -> tuple[Rollback, ...]:
        """See `Journal.open_rollbacks`."""
        rows = await self._rows("select id, body from rollbacks where phase <> 'closed' order by seq")
        return records.several(Rollback, [(name, body) for name, body in rows])

    async def targets_under_way(self) -> Mapping[str, str]:
        """See `Journal.targets_under_way`."""
        rows = await self._rows("select target, id from rollbacks where phase <> 'closed'")
        return {str(target): str(rollback_id) for target, rollback_id in rows}

    async def rollback(self, rollback_id: str) -> Rollback:
        """See `Journal.rollback`."""
        rows = await self._rows("select body from rollbacks where id = $1", rollback_id)
        return records.rollback_in(rollback_id, rows[0][0] if rows else None)

    async def events(self, rollback_id: str) -> tuple[Event, ...]:
        """See `Journal.events`."""
        rows = await self._rows("select body from rollback_events where rollback_id = $1 order by n", rollback_id)
        return tuple(records.one(Event, rollback_id, body) for (body,) in rows)

    async def rollbacks(
        self,
        *,
        target: str | None = None,
        outcome: Outcome | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Rollback]:
        """See `Journal.rollbacks`."""
        return await self._page(Listing(Rollback, "rollbacks", {"target": target, "outcome": outcome}, limit, before))

    async def rollback_by_key(self, idempotency_key: str) -> Rollback | None:
        """See `Journal.rollback_by_key`."""
        rows = await self._rows("select body from rollbacks where idempotency_key = $1", idempotency_key)
        return records.one(Rollback, "with this key", rows[0][0]) if rows else None

    async def decision(self, decision_id: str) -> Decision:
        """See `Journal.decision`."""
        rows = await self._rows("select body from decisions where id = $1", decision_id)
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
        filters = {"target": target, "verdict": verdict, "alert": statements.indexed_name(alert)}
        return await self._page(Listing(Decision, "decisions", filters, limit, before))

    # --- what happened before

    async def handled(self, target: str, version: str) -> str | None:
        """See `Journal.handled`."""
        rows = await self._rows("select rollback_id from handled where target = $1 and version = $2", target, version)
        return rows[0][0] if rows else None

    async def actions_since(self, target: str, since: float) -> tuple[float, ...]:
        """See `Journal.actions_since`."""
        rows = await self._rows(
            "select roll_back_started_at from rollbacks where target = $1 and \"trigger\" = 'alert'"
            " and roll_back_started_at >= $2 order by roll_back_started_at desc",
            target,
            since,
        )
        return tuple(at for (at,) in rows)

    async def last_action_at(self, target: str) -> float | None:
        """See `Journal.last_action_at`."""
        rows = await self._rows(
            "select max(roll_back_started_at) from rollbacks where target = $1 and roll_back_started_at is not null",
            target,
        )
        last: float | None = rows[0][0]
        return last

    # --- releases, targets, people

    async def releases(self, target: str) -> tuple[Release, ...]:
        """See `Journal.releases`."""
        rows = await self._rows(
            "select version, body from releases where target = $1 order by first_seen desc", target
        )
        return records.several(Release, [(name, body) for name, body in rows])

    async def all_releases(self) -> Mapping[str, tuple[Release, ...]]:
        """See `Journal.all_releases`."""
        rows = await self._rows("select target, version, body from releases order by first_seen desc")
        bodies = {(target, version): body for target, version, body in rows}
        found, _ = records.sorted_out(Release, bodies.items(), self._releases_read)
        self._releases_read = {bodies[name]: release for name, release in found}
        known: dict[str, list[Release]] = {}
        for (target, _version), release in found:
            known.setdefault(target, []).append(release)
        return {target: tuple(releases) for target, releases in known.items()}

    async def target_state(self, target: str) -> TargetState:
        """See `Journal.target_state`."""
        rows = await self._rows(statements.STATE, target)
        return records.state_in(target, *(rows[0] if rows else (None,)))

    async def target_states(self) -> Mapping[str, TargetState]:
        """See `Journal.target_states`."""
        rows = await self._rows("select target, body from target_state")
        states, read = dict[str, TargetState](), dict[str, TargetState]()
        for target, body in rows:
            try:
                state = self._states_read.get(body) or records.state_in(target, body)
            except DamagedError:  # whoever asks for it by itself is told
                states[target] = unreadable(target)
            else:
                states[target] = read[body] = state
        self._states_read = read
        return states

    async def operator_actions(self, *, subject: str | None = None, limit: int = 50) -> tuple[OperatorAction, ...]:
        """See `Journal.operator_actions`."""
        where, values = ("where subject = $2", [limit, subject]) if subject is not None else ("", [limit])
        rows = await self._rows(
            f"select at, operator, action, subject, reason from operator_actions {where} order by id desc limit $1",  # noqa: S608  # our own words
            *values,
        )
        return tuple(OperatorAction(*row) for row in rows)

    async def audit(
        self, *, subject: str | None = None, limit: int = 50, before: str | None = None
    ) -> Page[OperatorAction]:
        """See `Journal.audit`."""
        sql, values = pages.audit(subject, limit, before)
        return pages.read_audit(await self._rows(sql, *values), limit)

    async def heartbeat_at(self) -> float | None:
        """See `Journal.heartbeat_at`."""
        rows = await self._rows("select value from meta where key = 'heartbeat_at'")
        return float(rows[0][0]) if rows else None

    async def noted_threads(self) -> str | None:
        """See `Journal.noted_threads`."""
        rows = await self._rows("select value from meta where key = 'notice_threads'")
        return str(rows[0][0]) if rows else None

    # --- drills

    async def drill_back_at(self, drill_id: str) -> float | None:
        """See `Journal.drill_back_at`."""
        rows = await self._rows("select back_at from drills where id = $1", drill_id)
        at: float | None = rows[0][0] if rows else None
        return at

    async def drilled(self) -> frozenset[str]:
        """See `Journal.drilled`."""
        return frozenset(target for (target,) in await self._rows("select distinct target from drills"))

    async def drills(self, *, target: str, limit: int = 50, before: str | None = None) -> Page[Drill]:
        """See `Journal.drills`."""
        return await self._page(Listing(Drill, "drills", {"target": target}, limit, before))

    # --- what is new

    async def newest(self, now: float) -> Mark:
        """See `Journal.newest`."""
        rows = await self._rows(news.NEWEST)
        return Mark(int(rows[0][0]), int(rows[0][1]), now)

    async def news(self, after: Mark, now: float) -> News:
        """See `Journal.news`."""
        asked = {
            Kind.DECISION: news.decisions(after),
            Kind.ACTION: news.actions(after),
            Kind.ROLLBACK: news.rollback_events(after),
            Kind.DRILL: news.drills(after),
        }
        found = {kind: await self._rows(sql, *values) for kind, (sql, values) in asked.items()}
        of_rollbacks = {row[0]: row[4] for row in found[Kind.ROLLBACK]}
        return news.read(after, now, found, await self.target_states(), of_rollbacks)

    async def _page(self, listing: Listing[T]) -> Page[T]:
        found = [] if listing.before is None else await self._rows(listing.place(), listing.before)
        sql, values = listing.page(found[0][0] if found else None)
        rows = await self._rows(sql, *values)
        if sum(len(body) for _, body, _ in rows) < SMALL_PAGE:
            return listing.read(rows)
        return await asyncio.to_thread(listing.read, rows)  # decoding a large page would hold up the event loop
