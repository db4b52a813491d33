"""The journal's records in SQLite: reading and writing rows within a transaction that is already open.

Here: rows only. What an event changes stands in `rollback.consequences`, what a row holds in journal/statements.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rearguard_controller.journal import records, statements
from rearguard_controller.model import Decision, Drill, OperatorAction, Release, Rollback, TargetState
from rearguard_controller.rollback import Event, EventKind, ReleaseChange, apply, consequences

AfterT = TypeVar("AfterT", bound=Release | None)


def run(connection: sqlite3.Connection, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """Run a statement whose values are marked $1, $2, ...; returns its rows."""
    return connection.execute(sql.replace("$", "?"), values).fetchall()


def write_decision(connection: sqlite3.Connection, decision: Decision) -> None:
    """Store a decision."""
    run(connection, *statements.add_decision(decision))


def write_decisions(connection: sqlite3.Connection, decisions: Sequence[Decision]) -> None:
    """Store decisions by one statement: after each one this thread has to wait for its turn again."""
    if decisions:
        run(connection, *statements.add_decisions(decisions))


def open_rollback(connection: sqlite3.Connection, rollback: Rollback, idempotency_key: str | None) -> None:
    """Store a new rollback and its first event.

    Raises:
        ConflictError: the target has an open one, or the key was used before.
    """
    try:
        run(connection, *statements.add_rollback(rollback, idempotency_key))
    except sqlite3.IntegrityError as error:
        if "idempotency_key" in str(error):
            raise records.key_used() from error
        raise records.rollback_open(rollback) from error
    opened = Event(EventKind.OPENED, rollback.opened_at, opened=rollback)
    run(connection, *statements.add_event(rollback.id, opened))


def fold(connection: sqlite3.Connection, rollback_id: str, event: Event) -> Rollback:
    """Fold one event into a rollback and store both, with its consequences for the release and the target.

    Raises:
        NotFoundError, ConflictError: see `Lead.append`.
    """
    before = records.rollback_in(
        rollback_id, _body(connection, "select body from rollbacks where id = $1", rollback_id)
    )
    after = apply(before, event)
    follows = consequences(before, after)
    run(connection, *statements.add_event(rollback_id, event))
    try:
        if follows.handled:
            run(connection, *statements.add_handled(after))
        run(connection, *statements.change_rollback(after))
    except sqlite3.IntegrityError as error:
        raise records.already_handled(after) from error
    for follow in follows.changes:
        with records.goes_on():
            if isinstance(follow, ReleaseChange):
                change_release(connection, follow.target, follow.version, follow.change)
            else:
                change_target(connection, follow.target, follow.change)
    return after


def change_release(
    connection: sqlite3.Connection, target: str, version: str, change: Callable[[Release | None], AfterT]
) -> AfterT:
    """Read, change and store what is remembered of a version."""
    body = _body(connection, "select body from releases where target = $1 and version = $2", target, version)
    before = records.release_in(version, body)
    after = change(before)
    if after is not None and after != before:
        run(connection, *statements.put_release(after))
    return after


def change_target(
    connection: sqlite3.Connection, target: str, change: Callable[[TargetState], TargetState]
) -> TargetState:
    """Read, change and store what is remembered of a target."""
    rows = run(connection, statements.STATE, (target,))
    before = records.state_in(target, *(rows[0] if rows else (None,)))
    after = change(before)
    if after != before:
        run(connection, *statements.put_target(after))
    return after


def begin_drill(connection: sqlite3.Connection, drill: Drill, given_up: float) -> None:
    """Store a drill that begins.

    Raises:
        ConflictError: another one of the target goes on, see `Journal.begin_drill`.
    """
    run(connection, *statements.give_up_drills(drill.target, given_up))
    if not run(connection, *statements.add_drill(drill)):
        raise records.drill_open(drill.target)


def audit(connection: sqlite3.Connection, action: OperatorAction | None) -> None:
    """Store what a person did, if one did."""
    if action is not None:
        run(connection, *statements.add_action(action))


def _body(connection: sqlite3.Connection, sql: str, *values: object) -> str | None:
    """The `body` of the one row that a query finds, if it finds one."""
    rows = run(connection, sql, values)
    return rows[0][0] if rows else None
