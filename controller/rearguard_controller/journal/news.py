"""What is new in the journal since a mark, so that readers can follow it without a second record of events.

Here: the mark, the statements that find what came after it, and what their rows mean. A few records from before the
mark come again each time, because a record may be committed later than its time or number says; `Item.key` tells
which were told already. Nothing is written for this: what has happened follows from the records themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

from rearguard_controller.journal.statements import Statement
from rearguard_controller.model import TargetState
from rearguard_controller.model.observations import is_armed

MOST = 200  # records of one kind in one look; of more, the newest
AGAIN = 30.0  # seconds before the mark whose records come again
AGAIN_NUMBERS = 16  # and so many numbers before it
LONGEST_DRILL = 600.0  # seconds: a drill that ends now began at most so long ago
_MARK = re.compile(r"(\d{1,18})-(\d{1,18})-(\d{1,14})")


@unique
class Kind(StrEnum):
    """What happened."""

    DECISION = "decision"  # a decision was recorded; `what` is its verdict
    ROLLBACK = "rollback"  # something happened to a rollback; `what` is the kind of event
    ACTION = "action"  # a person did something; `what` is the word of the command
    SERVING = "serving"  # another version serves; `what` is that version
    ARMING = "arming"  # a target was armed or disarmed, by a person or by itself; `what` says which
    DRILL = "drill"  # a drill ended; `what` is `ended`


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that happened. `subject` is the id of the decision, rollback or drill, or the name of the target."""

    key: str
    kind: Kind
    at: float
    target: str
    subject: str
    what: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the journal: the last numbers of decisions and actions, and a time in seconds."""

    decisions: int
    actions: int
    at: float

    def __str__(self) -> str:
        return f"{self.decisions}-{self.actions}-{max(0, int(self.at * 1000))}"


@dataclass(frozen=True, slots=True)
class News:
    """What came after a mark, oldest first, and the mark after it. `more`: some of it is left out."""

    items: tuple[Item, ...]
    mark: Mark
    more: bool = False


def mark_in(text: str) -> Mark | None:
    """The mark that was written as this text; None if it is none."""
    match = _MARK.fullmatch(text)
    return None if match is None else Mark(int(match[1]), int(match[2]), int(match[3]) / 1000)


NEWEST = "select coalesce((select max(seq) from decisions), 0), coalesce((select max(id) from operator_actions), 0)"


def decisions(after: Mark) -> Statement:
    """Decisions: seq, id, target, verdict, decided_at."""
    return Statement(
        "select seq, id, target, verdict, decided_at from decisions where seq > $1 order by seq desc limit $2",
        (after.decisions - AGAIN_NUMBERS, MOST),
    )


def actions(after: Mark) -> Statement:
    """What people did: id, at, action, subject."""
    return Statement(
        "select id, at, action, subject from operator_actions where id > $1 order by id desc limit $2",
        (after.actions - AGAIN_NUMBERS, MOST),
    )


def rollback_events(after: Mark) -> Statement:
    """Events of rollbacks that are open or were closed since: rollback, number, at, kind, target."""
    return Statement(
        "select e.rollback_id, e.n, e.at, e.kind, r.target from rollback_events as e"
        " join rollbacks as r on r.id = e.rollback_id where e.at >= $1 and e.rollback_id in"
        " (select id from rollbacks where phase <> 'closed'"
        " union all select id from rollbacks where phase = 'closed' and closed_at >= $1)"
        " order by e.at desc, e.n desc limit $2",
        (after.at - AGAIN, MOST),
    )


def drills(after: Mark) -> Statement:
    """Drills that have ended since: id, target, ended_at."""
    return Statement(
        "select id, target, ended_at from drills where started_at >= $1 and ended_at >= $2"
        " order by started_at desc limit $3",
        (after.at - AGAIN - LONGEST_DRILL, after.at - AGAIN, MOST),
    )


Rows = Sequence[tuple[Any, ...]]


def read(
    after: Mark, now: float, found: Mapping[Kind, Rows], states: Mapping[str, TargetState], targets: Mapping[str, str]
) -> News:
    """What the rows mean.

    Args:
        after: the mark that was asked with.
        now: the present time, in seconds since the epoch.
        found: the rows of each statement.
        states: what is remembered of each target.
        targets: the target of each rollback that an action may name.
    """
    told, done = found[Kind.DECISION], found[Kind.ACTION]
    happened = reversed(found[Kind.ROLLBACK])  # of one moment, the events of a rollback stay in their order
    items = [
        *(Item(f"d{row[0]}", Kind.DECISION, row[4], row[2], row[1], row[3]) for row in told),
        *(Item(f"a{row[0]}", Kind.ACTION, row[1], targets.get(row[3], row[3]), row[3], row[2]) for row in done),
        *(Item(f"{row[0]}.{row[1]}", Kind.ROLLBACK, row[2], row[4], row[0], row[3]) for row in happened),
        *(Item(f"e{row[0]}", Kind.DRILL, row[2], row[1], row[0], "ended") for row in found[Kind.DRILL]),
        *(item for state in states.values() for item in _of_state(state, after.at - AGAIN, now)),
    ]
    mark = Mark(
        max((int(row[0]) for row in told), default=after.decisions),
        max((int(row[0]) for row in done), default=after.actions),
        now,
    )
    items.sort(key=lambda item: item.at)
    return News(tuple(items), mark, more=any(len(rows) >= MOST for rows in found.values()))


def _of_state(state: TargetState, since: float, now: float) -> list[Item]:
    items = []
    name, serving_since, changed_at = state.target, state.serving_since, state.armed_changed_at
    if serving_since is not None and serving_since >= since and state.serving_version is not None:
        key = f"s{name}@{serving_since}"
        items.append(Item(key, Kind.SERVING, serving_since, name, name, state.serving_version))
    if changed_at is not None and changed_at >= since:
        what = "armed" if is_armed(state, now) else "disarmed"
        items.append(Item(f"m{name}@{changed_at}", Kind.ARMING, changed_at, name, name, what))
    return items
