"""The journal's records in PostgreSQL: reading and writing rows within a transaction that is already open.

Here: rows only. What an event changes stands in `rollback.consequences`, what a row holds in journal/statements.py. A
record that is read to be changed is locked until the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from rearguard_controller.journal import records, statements
from rearguard_controller.journal.postgres.connections import Connection, storable
from rearguard_controller.journal.statements import Statement
from rearguard_controller.model import Decision, Drill, OperatorAction, Release, Rollback, TargetState
from rearguard_controller.rollback import Event, EventKind, ReleaseChange, apply, consequences

AfterT = TypeVar("AfterT", bound=Release | None)


async def run(connection: Connection, statement: Statement) -> str:
    """Run a statement; returns the server's status text, which ends with the number of rows."""
    return await connection.execute(statement.sql, *map(storable, statement.values))


async def write_decision(connection: Connection, decision: Decision) -> None:
    """Store a decision."""
    await run(connection, statements.add_decision(decision))


async def write_decisions(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Store decisions by one statement."""
    if decisions:
        await run(connection, statements.add_decisions(decisions))


async def open_rollback(connection: Connection, rollback: Rollback, idempotency_key: str | None) -> None:
    """Store a new rollback and its first event.

    Raises:
        ConflictError: the target has an open one, or the key was used before.
    """
    try:
        await run(connection, statements.add_rollback(rollback, idempotency_key))
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "one_rollback_per_idempotency_key":
            raise records.key_used() from error
        raise records.rollback_open(rollback) from error
    opened = Event(EventKind.OPENED, rollback.opened_at, opened=rollback)
    await run(connection, statements.add_event(rollback.id, opened))


async def fold(connection: Connection, rollback_id: str, event: Event) -> Rollback:
    """Fold one event into a rollback and store both, with its consequences for the release and the target.

    Raises:
        NotFoundError, ConflictError: see `Lead.append`.
    """
    body = await _body(connection, "select body from rollbacks where id = $1 for update", rollback_id)
    before = records.rollback_in(rollback_id, body)
    after = apply(before, event)
    follows = consequences(before, after)
    await run(connection, statements.add_event(rollback_id, event))
    try:
        if follows.handled:
            await run(connection, statements.add_handled(after))
        await run(connection, statements.change_rollback(after))
    except asyncpg.UniqueViolationError as error:
        raise records.already_handled(after) from error
    for follow in follows.changes:
        with records.goes_on():
            if isinstance(follow, ReleaseChange):
                await change_release(connection, follow.target, follow.version, follow.change)
            else:
                await change_target(connection, follow.target, follow.change)
    return after


async def change_release(
    connection: Connection, target: str, version: str, change: Callable[[Release | None], AfterT]
) -> AfterT:
    """Read, change and store what is remembered of a version."""
    sql = "select body from releases where target = $1 and version = $2 for update"
    while True:  # again if another process made the record after we found none
        body = await _body(connection, sql, target, version)
        before = records.release_in(version, body)
        after = change(before)
        if after is None or after == before:
            return after
        if await _stored(connection, statements.put_release(after, only_new=body is None)):
            return after


async def change_target(
    connection: Connection, target: str, change: Callable[[TargetState], TargetState]
) -> TargetState:
    """Read, change and store what is remembered of a target."""
    while True:  # again if another process made the record after we found none
        row = await connection.fetchrow(f"{statements.STATE} for update of target_state", storable(target))
        before = records.state_in(target, *(row or (None,)))
        after = change(before)
        if after == before or await _stored(connection, statements.put_target(after, only_new=row is None)):
            return after


async def begin_drill(connection: Connection, drill: Drill, given_up: float) -> None:
    """Store a drill that begins.

    Raises:
        ConflictError: another one of the target goes on, see `Journal.begin_drill`.
    """
    await run(connection, statements.give_up_drills(drill.target, given_up))
    if not await _stored(connection, statements.add_drill(drill)):
        raise records.drill_open(drill.target)


async def audit(connection: Connection, action: OperatorAction | None) -> None:
    """Store what a person did, if one did."""
    if action is not None:
        await run(connection, statements.add_action(action))


async def _stored(connection: Connection, statement: Statement) -> bool:
    """Run a statement that stores one row unless another one is in its place; returns whether it stored it."""
    return (await run(connection, statement)).endswith(" 1")


async def _body(connection: Connection, sql: str, *values: Any) -> str | None:
    """The `body` of the one row that a query finds, if it finds one."""
    row = await connection.fetchrow(sql, *map(storable, values))
    return None if row is None else row["body"]
