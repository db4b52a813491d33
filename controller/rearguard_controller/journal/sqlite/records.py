"""The journal's records in SQLite, each within a transaction that is already open.

Here: reading a record and writing it.
Never here: transactions, and what users ask for (journal/sqlite.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

from rearguard_controller.errors import ConflictError, NotFoundError
from rearguard_controller.journal import codec, records
from rearguard_controller.journal.store import DRILL_HINT, OperatorAction
from rearguard_controller.model import Decision, Drill, Release, Rollback, StepKind, TargetState, Trigger
from rearguard_controller.rollback import Event, EventKind, apply, arming, marks


def write_decision(connection: sqlite3.Connection, decision: Decision) -> None:
    """Store a decision."""
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


def open_rollback(connection: sqlite3.Connection, rollback: Rollback, idempotency_key: str | None) -> None:
    """Store a new rollback and its first event.

    Raises:
        ConflictError: the target has an open one, or the key was used before.
    """
    try:
        connection.execute(
            'insert into rollbacks (id, target, "trigger", from_version, phase, idempotency_key, decision_id, body)'
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                rollback.id,
                rollback.target,
                rollback.trigger,
                rollback.from_version,
                rollback.phase,
                idempotency_key,
                rollback.decision_id,
                codec.dump(rollback),
            ),
        )
    except sqlite3.IntegrityError as error:
        if "idempotency_key" in str(error):
            raise ConflictError("This idempotency key was used before.") from error
        raise ConflictError(f"A rollback of {rollback.target} is already under way.") from error
    _write_event(connection, rollback.id, Event(EventKind.OPENED, rollback.opened_at, opened=rollback))


def _write_event(connection: sqlite3.Connection, rollback_id: str, event: Event) -> None:
    connection.execute(
        "insert into rollback_events (rollback_id, n, at, kind, epoch, body) values"
        " (?1, (select count(*) from rollback_events where rollback_id = ?1), ?2, ?3,"
        " (select epoch from lease), ?4)",
        (rollback_id, event.at, event.kind, codec.dump(event)),
    )


def fold(connection: sqlite3.Connection, rollback_id: str, event: Event) -> Rollback:
    """Fold one event into a rollback and store both, with what they mean for the release and the target.

    Raises:
        NotFoundError, ConflictError: see `Journal.append`.
    """
    before = rollback_of(connection, rollback_id)
    after = apply(before, event)
    first_intent = _leaves(after) and not _leaves(before)
    closes = before.outcome is None and after.outcome is not None
    _write_event(connection, rollback_id, event)
    _write_rollback(connection, after, first_intent=first_intent)
    if closes or first_intent:
        with records.goes_on():
            _mark(connection, after)
    if closes:
        with records.goes_on():
            _write_state(connection, arming(state_of(connection, after.target), after))
    return after


def rollback_of(connection: sqlite3.Connection, rollback_id: str) -> Rollback:
    """One rollback; NotFoundError, or JournalError for a damaged one."""
    row = connection.execute("select body from rollbacks where id = ?", (rollback_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no rollback {rollback_id}.", hint="List them with: rearguard history")
    return records.one(Rollback, rollback_id, row[0])


def _write_rollback(connection: sqlite3.Connection, rollback: Rollback, *, first_intent: bool) -> None:
    step = rollback.step_of(StepKind.ROLL_BACK)
    started = None if step is None else step.started_at
    try:
        if first_intent and rollback.trigger is Trigger.ALERT:
            connection.execute(
                "insert into handled (target, version, rollback_id) values (?, ?, ?)",
                (rollback.target, rollback.from_version, rollback.id),
            )
        connection.execute(
            "update rollbacks set phase = ?, outcome = ?, body = ?, closed_at = ?,"
            " roll_back_started_at = coalesce(roll_back_started_at, ?) where id = ?",
            (rollback.phase, rollback.outcome, codec.dump(rollback), rollback.closed_at, started, rollback.id),
        )
    except sqlite3.IntegrityError as error:
        raise ConflictError(
            f"An automatic rollback of {rollback.target} away from {rollback.from_version} has started before."
        ) from error


def _mark(connection: sqlite3.Connection, rollback: Rollback) -> None:
    """What a started roll_back step and a close mean for the version that is left."""
    release = _release_of(connection, rollback.target, rollback.from_version)
    if release is not None:
        marked = marks(release, rollback)
        if marked != release:
            _write_release(connection, marked)


def _leaves(rollback: Rollback) -> bool:
    step = rollback.step_of(StepKind.ROLL_BACK)
    return step is not None and step.attempt > 0


def change_release(
    connection: sqlite3.Connection, target: str, version: str, change: Callable[[Release | None], Release]
) -> Release:
    """Read, change and store what is remembered of a version."""
    before = _release_of(connection, target, version)
    after = change(before)
    if after != before:
        _write_release(connection, after)
    return after


def change_target(
    connection: sqlite3.Connection, target: str, change: Callable[[TargetState], TargetState]
) -> TargetState:
    """Read, change and store what is remembered of a target."""
    before = state_of(connection, target)
    after = change(before)
    if after != before:
        _write_state(connection, after)
    return after


def begin_drill(connection: sqlite3.Connection, drill: Drill, given_up: float) -> None:
    """Store a drill that begins.

    Raises:
        ConflictError: another one of the target goes on, see `Journal.begin_drill`.
    """
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


def _release_of(connection: sqlite3.Connection, target: str, version: str) -> Release | None:
    """What is remembered of a version, if anything."""
    row = connection.execute(
        "select body from releases where target = ? and version = ?", (target, version)
    ).fetchone()
    return None if row is None else records.one(Release, version, row[0])


def _write_release(connection: sqlite3.Connection, release: Release) -> None:
    connection.execute(
        "insert into releases (target, version, first_seen, body) values (?, ?, ?, ?)"
        " on conflict (target, version) do update set first_seen = excluded.first_seen, body = excluded.body",
        (release.target, release.version, release.first_seen, codec.dump(release)),
    )


def state_of(connection: sqlite3.Connection, target: str) -> TargetState:
    """What is remembered of a target; a target never seen is armed."""
    row = connection.execute("select body from target_state where target = ?", (target,)).fetchone()
    return TargetState(target) if row is None else replace(records.one(TargetState, target, row[0]), target=target)


def _write_state(connection: sqlite3.Connection, state: TargetState) -> None:
    connection.execute(
        "insert into target_state (target, body) values (?, ?)"
        " on conflict (target) do update set body = excluded.body",
        (state.target, codec.dump(state)),
    )


def audit(connection: sqlite3.Connection, action: OperatorAction | None) -> None:
    """Store what a person did, if one did."""
    if action is not None:
        connection.execute(
            "insert into operator_actions (at, operator, action, subject, reason) values (?, ?, ?, ?, ?)",
            (action.at, action.operator, action.action, action.subject, action.reason),
        )
