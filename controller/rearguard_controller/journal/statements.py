"""What the journal writes: statements that both SQLite and PostgreSQL understand, with the columns of each record.

Here: statements only. Their values are marked $1, $2, ...; the SQLite store turns the marks into ?1, ?2, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple

from rearguard_controller.journal import codec
from rearguard_controller.model import Decision, Drill, OperatorAction, Release, Rollback, StepKind, TargetState
from rearguard_controller.rollback import Event

STATE = "select body, (select value from meta where key = 'watched') as watched from target_state where target = $1"

MOST_INDEXED = 200  # characters of an alert's name that lists go by; an index takes no long texts


class Statement(NamedTuple):
    """SQL, and the values of its marks in order."""

    sql: str
    values: tuple[object, ...]


def indexed_name(name: str | None) -> str | None:
    """The beginning of an alert's name, by which decisions are found; names come from outside and may be long."""
    return None if name is None else name[:MOST_INDEXED]


def add_decision(decision: Decision) -> Statement:
    """Store a decision."""
    return add_decisions([decision])


def add_decisions(decisions: Sequence[Decision]) -> Statement:
    """Store some decisions, at least one."""
    return _insert("decisions", *map(_of_decision, decisions, codec.dump_several(decisions)))


def _of_decision(decision: Decision, body: str) -> dict[str, object]:
    return {
        "id": decision.id,
        "target": decision.target,
        "verdict": decision.verdict,
        "alert": indexed_name(None if decision.alert is None else decision.alert.name),
        "decided_at": decision.decided_at,
        "body": body,
    }


def add_rollback(rollback: Rollback, idempotency_key: str | None) -> Statement:
    """Store a new rollback, without its first event."""
    return _insert(
        "rollbacks",
        {
            "id": rollback.id,
            "target": rollback.target,
            "trigger": rollback.trigger,
            "from_version": rollback.from_version,
            "phase": rollback.phase,
            "idempotency_key": idempotency_key,
            "decision_id": rollback.decision_id,
            "body": codec.dump(rollback),
        },
    )


def change_rollback(rollback: Rollback) -> Statement:
    """Store what a rollback is after an event. The time of the first start of its roll_back step never changes."""
    step = rollback.step_of(StepKind.ROLL_BACK)
    return Statement(
        "update rollbacks set phase = $1, outcome = $2, body = $3, closed_at = $4,"
        " roll_back_started_at = coalesce(roll_back_started_at, $5) where id = $6",
        (
            rollback.phase,
            rollback.outcome,
            codec.dump(rollback),
            rollback.closed_at,
            None if step is None else step.started_at,
            rollback.id,
        ),
    )


def add_event(rollback_id: str, event: Event) -> Statement:
    """Store an event as the rollback's last one, with the epoch of the present leader."""
    return Statement(
        "insert into rollback_events (rollback_id, n, at, kind, epoch, body) values"
        " ($1, (select count(*) from rollback_events where rollback_id = $1), $2, $3, (select epoch from lease), $4)",
        (rollback_id, event.at, event.kind, codec.dump(event)),
    )


def add_handled(rollback: Rollback) -> Statement:
    """Store that the version is handled: no other automatic rollback may leave it."""
    return _insert(
        "handled",
        {"target": rollback.target, "version": rollback.from_version, "rollback_id": rollback.id},
    )


def put_release(release: Release, *, only_new: bool = False) -> Statement:
    """Store what is remembered of a version, replacing what was stored. With `only_new`, replace nothing."""
    known = "do nothing" if only_new else "do update set first_seen = excluded.first_seen, body = excluded.body"
    return Statement(
        "insert into releases (target, version, first_seen, body) values ($1, $2, $3, $4)"  # noqa: S608  # our own words
        f" on conflict (target, version) {known}",
        (release.target, release.version, release.first_seen, codec.dump(release)),
    )


def put_target(state: TargetState, *, only_new: bool = False) -> Statement:
    """Store what is remembered of a target, replacing what was stored. With `only_new`, replace nothing."""
    known = "do nothing" if only_new else "do update set body = excluded.body"
    return Statement(
        f"insert into target_state (target, body) values ($1, $2) on conflict (target) {known}",  # noqa: S608  # our own words
        (state.target, codec.dump(state)),
    )


def add_action(action: OperatorAction) -> Statement:
    """Store what a person did."""
    return _insert(
        "operator_actions",
        {
            "at": action.at,
            "operator": action.operator,
            "action": action.action,
            "subject": action.subject,
            "reason": action.reason,
        },
    )


def note_heartbeat(at: float) -> Statement:
    """Store when a heartbeat came, replacing the last one."""
    return Statement(
        "insert into meta (key, value) values ('heartbeat_at', $1)"
        " on conflict (key) do update set value = excluded.value",
        (str(at),),
    )


def note_threads(text: str) -> Statement:
    """Store what services said of first messages, replacing what was stored before."""
    return Statement(
        "insert into meta (key, value) values ('notice_threads', $1)"
        " on conflict (key) do update set value = excluded.value",
        (text,),
    )


def note_watched(note: str) -> Statement:
    """Store until when all targets were seen as their records say, replacing what was stored before."""
    return Statement(
        "insert into meta (key, value) values ('watched', $1) on conflict (key) do update set value = excluded.value",
        (note,),
    )


def give_up_drills(target: str, before: float) -> Statement:
    """End the target's drill that began before this moment and never ended."""
    return Statement(
        "update drills set ended_at = started_at where target = $1 and ended_at is null and started_at < $2",
        (target, before),
    )


def add_drill(drill: Drill) -> Statement:
    """Store a drill that begins; returns one row, or none when another drill of the target goes on."""
    return Statement(
        "insert into drills (id, target, started_at, body) values ($1, $2, $3, $4)"
        " on conflict (target) where ended_at is null do nothing returning seq",
        (drill.id, drill.target, drill.at, codec.dump(drill)),
    )


def end_drill(drill: Drill) -> Statement:
    """Store what a drill found."""
    return Statement(
        "update drills set ended_at = $2, body = $3 where id = $1", (drill.id, drill.ended_at, codec.dump(drill))
    )


def note_drill_back(drill_id: str, at: float) -> Statement:
    """Store when a drill's alert came back, unless it is stored already."""
    return Statement("update drills set back_at = $2 where id = $1 and back_at is null", (drill_id, at))


def _insert(table: str, *rows: Mapping[str, object]) -> Statement:
    """Store rows that have the same columns."""
    names = ", ".join(f'"{name}"' for name in rows[0])  # quoted, for "trigger" is a word of SQL
    numbers = count(1)
    marks = ", ".join(f"({', '.join(f'${next(numbers)}' for _ in row)})" for row in rows)
    values = tuple(value for row in rows for value in row.values())
    return Statement(f"insert into {table} ({names}) values {marks}", values)  # noqa: S608  # our own names
