"""The journal's records in PostgreSQL, each within a transaction that is already open.

Here: reading a record to change it (locked until the transaction ends) and writing it.
Never here: transactions, and what users ask for (journal/postgres.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg

from rearguard_controller.errors import ConflictError, NotFoundError
from rearguard_controller.journal import codec, records
from rearguard_controller.journal.postgres.connections import Connection, storable
from rearguard_controller.journal.store import DRILL_HINT, OperatorAction
from rearguard_controller.model import Decision, Drill, Release, Rollback, StepKind, TargetState, Trigger
from rearguard_controller.rollback import Event, EventKind, apply, arming, marks


async def write_decision(connection: Connection, decision: Decision) -> None:
    """Store a decision."""
    await _execute(
        connection,
        "insert into decisions (id, target, verdict, alert, decided_at, body) values ($1, $2, $3, $4, $5, $6)",
        decision.id,
        decision.target,
        decision.verdict,
        records.listed_as(None if decision.alert is None else decision.alert.name),
        decision.decided_at,
        codec.dump(decision),
    )


async def open_rollback(connection: Connection, rollback: Rollback, idempotency_key: str | None) -> None:
    """Store a new rollback and its first event.

    Raises:
        ConflictError: the target has an open one, or the key was used before.
    """
    try:
        await _execute(
            connection,
            'insert into rollbacks (id, target, "trigger", from_version, phase, idempotency_key, decision_id, body)'
            " values ($1, $2, $3, $4, $5, $6, $7, $8)",
            rollback.id,
            rollback.target,
            rollback.trigger,
            rollback.from_version,
            rollback.phase,
            idempotency_key,
            rollback.decision_id,
            codec.dump(rollback),
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "one_rollback_per_idempotency_key":
            raise ConflictError("This idempotency key was used before.") from error
        raise ConflictError(f"A rollback of {rollback.target} is already under way.") from error
    await _write_event(connection, rollback.id, Event(EventKind.OPENED, rollback.opened_at, opened=rollback))


async def fold(connection: Connection, rollback_id: str, event: Event) -> Rollback:
    """Fold one event into a rollback and store both, with what they mean for the release and the target.

    Raises:
        NotFoundError, ConflictError: see `Journal.append`.
    """
    row = await connection.fetchrow("select body from rollbacks where id = $1 for update", storable(rollback_id))
    before = known_rollback(rollback_id, row)
    after = apply(before, event)
    await _write_event(connection, rollback_id, event)
    await _write_rollback(connection, after, first_intent=_leaves(after) and not _leaves(before))
    closes = before.outcome is None and after.outcome is not None
    if closes or (_leaves(after) and not _leaves(before)):
        with records.goes_on():
            await _mark(connection, after)
    if closes:
        with records.goes_on():
            await change_target(connection, after.target, lambda state: arming(state, after))
    return after


def known_rollback(rollback_id: str, row: asyncpg.Record | None) -> Rollback:
    """The rollback in a row.

    Raises:
        NotFoundError: there is no row.
        JournalError: it is damaged.
    """
    if row is None:
        raise NotFoundError(f"There is no rollback {rollback_id}.", hint="List them with: rearguard history")
    return records.one(Rollback, rollback_id, row["body"])


def state_in(target: str, row: asyncpg.Record | None) -> TargetState:
    """The target's state in a row; that of a target never seen where there is none."""
    return (
        TargetState(target) if row is None else replace(records.one(TargetState, target, row["body"]), target=target)
    )


async def change_release(
    connection: Connection, target: str, version: str, change: Callable[[Release | None], Release]
) -> Release:
    """Read, change and store what is remembered of a version."""
    while True:  # again when another process has made the record since we found none
        row = await connection.fetchrow(
            "select body from releases where target = $1 and version = $2 for update",
            storable(target),
            storable(version),
        )
        before = None if row is None else records.one(Release, version, row["body"])
        after = change(before)
        if after == before or await _write_release(connection, after, new=before is None):
            return after


async def change_target(
    connection: Connection, target: str, change: Callable[[TargetState], TargetState]
) -> TargetState:
    """Read, change and store what is remembered of a target."""
    while True:  # again when another process has made the record since we found none
        row = await connection.fetchrow(
            "select body from target_state where target = $1 for update", storable(target)
        )
        before = state_in(target, row)
        after = change(before)
        if after == before or await _write_target(connection, after, new=row is None):
            return after


async def begin_drill(connection: Connection, drill: Drill, given_up: float) -> None:
    """Store a drill that begins.

    Raises:
        ConflictError: another one of the target goes on, see `Journal.begin_drill`.
    """
    await connection.execute(
        "update drills set ended_at = started_at where target = $1 and ended_at is null and started_at < $2",
        drill.target,
        given_up,
    )
    begun = await connection.fetch(
        "insert into drills (id, target, started_at, body) values ($1, $2, $3, $4)"
        " on conflict (target) where ended_at is null do nothing returning seq",
        drill.id,
        drill.target,
        drill.at,
        codec.dump(drill),
    )
    if not begun:
        raise ConflictError(f"A drill of {drill.target} goes on already.", hint=DRILL_HINT)


async def audit(connection: Connection, action: OperatorAction | None) -> None:
    """Store what a person did, if one did."""
    if action is not None:
        await _execute(
            connection,
            "insert into operator_actions (at, operator, action, subject, reason) values ($1, $2, $3, $4, $5)",
            action.at,
            action.operator,
            action.action,
            action.subject,
            action.reason,
        )


async def _write_event(connection: Connection, rollback_id: str, event: Event) -> None:
    await _execute(
        connection,
        "insert into rollback_events (rollback_id, n, at, kind, epoch, body) values"
        " ($1, (select count(*) from rollback_events where rollback_id = $1), $2, $3, (select epoch from lease), $4)",
        rollback_id,
        event.at,
        event.kind,
        codec.dump(event),
    )


async def _write_rollback(connection: Connection, rollback: Rollback, *, first_intent: bool) -> None:
    step = rollback.step_of(StepKind.ROLL_BACK)
    try:
        if first_intent and rollback.trigger is Trigger.ALERT:
            await _execute(
                connection,
                "insert into handled (target, version, rollback_id) values ($1, $2, $3)",
                rollback.target,
                rollback.from_version,
                rollback.id,
            )
        await _execute(
            connection,
            "update rollbacks set phase = $1, outcome = $2, body = $3, closed_at = $4,"
            " roll_back_started_at = coalesce(roll_back_started_at, $5) where id = $6",
            rollback.phase,
            rollback.outcome,
            codec.dump(rollback),
            rollback.closed_at,
            None if step is None else step.started_at,
            rollback.id,
        )
    except asyncpg.UniqueViolationError as error:
        raise ConflictError(
            f"An automatic rollback of {rollback.target} away from {rollback.from_version} has started before."
        ) from error


async def _mark(connection: Connection, rollback: Rollback) -> None:
    row = await connection.fetchrow(
        "select body from releases where target = $1 and version = $2 for update",
        storable(rollback.target),
        storable(rollback.from_version),
    )
    if row is None:
        return
    release = records.one(Release, rollback.from_version, row["body"])
    marked = marks(release, rollback)
    if marked != release:
        await _write_release(connection, marked, new=False)


def _leaves(rollback: Rollback) -> bool:
    step = rollback.step_of(StepKind.ROLL_BACK)
    return step is not None and step.attempt > 0


async def _write_release(connection: Connection, release: Release, *, new: bool) -> bool:
    """Whether it was written: a new one is not where another process was first."""
    sql = (
        "insert into releases (target, version, first_seen, body) values ($1, $2, $3, $4)"
        " on conflict (target, version) do nothing"
        if new
        else "update releases set first_seen = $3, body = $4 where target = $1 and version = $2"
    )
    done = await _execute(connection, sql, release.target, release.version, release.first_seen, codec.dump(release))
    return done.endswith(" 1")


async def _write_target(connection: Connection, state: TargetState, *, new: bool) -> bool:
    """Whether it was written: a new one is not where another process was first."""
    sql = (
        "insert into target_state (target, body) values ($1, $2) on conflict (target) do nothing"
        if new
        else "update target_state set body = $2 where target = $1"
    )
    return (await _execute(connection, sql, state.target, codec.dump(state))).endswith(" 1")


async def _execute(connection: Connection, sql: str, *values: Any) -> str:
    return await connection.execute(sql, *map(storable, values))
