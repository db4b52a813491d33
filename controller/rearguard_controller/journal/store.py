"""What every journal promises, whatever database holds it.

Here: two protocols - `Journal` for any replica, `Lead` for the leader alone -, and the small records that only the
journal speaks of. They are two types, so that one passed in the place of the other does not type-check.
Never here: SQL, files, connections. A store raises `JournalError` when it could not read or write (then nothing was
stored), `NotFoundError` for an unknown id and `ConflictError` when an invariant of the tables refuses the change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.news import Mark, News
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
from rearguard_controller.model.watched import Watched
from rearguard_controller.rollback import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some records, newest first.

    Attributes:
        items: at most as many as were asked for; fewer where their text would be too much for one answer.
        next: the `before` cursor of the next page; None at the end.
        unreadable: ids of records that belong to this page, and are damaged.
    """

    items: tuple[T, ...]
    next: str | None
    unreadable: tuple[str, ...] = ()


@dataclass(slots=True)
class Fence:
    """The epoch under which this process leads, as it changes; None while it does not lead.

    `shard` is the one that it leads; None where all targets are led by one replica.
    """

    epoch: int | None = None
    shard: int | None = None


class Lead(Protocol):
    """What only the leader may write. It reads nothing: whoever leads reads from the `Journal`.

    Every write, in its own transaction, first checks that the lease still carries the fence's epoch.

    Raises (by each method):
        LeaseLostError: the fence has no epoch, or the lease another one. Nothing was stored.
    """

    @property
    def epoch(self) -> int | None:
        """The epoch under which this process leads now; None while it does not lead.

        Of several shards, a number that changes whenever one of them is gained or lost; None while none is led.
        """

    def of(self, target: str) -> Lead:
        """What the leader of this target's shard may write; `NOBODYS` is no target's name."""

    async def prove_lead(self) -> None:
        """Return when the lease carries the fence's epoch; nothing is stored.

        Raises:
            LeaseLostError: it does not.
        """

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """Take alerts off the list of those that wait."""

    async def hand_over(self, ids: Sequence[int], shard: int) -> None:
        """Leave alerts that wait to the leader of another shard, whose they are."""

    async def record(
        self, decision: Decision, rollback: Rollback | None = None, *, others: Sequence[Rollback] = ()
    ) -> None:
        """Store a decision about an alert, and the rollback that it opens: see `Journal.record`.

        `others` are the rollbacks of other targets that go back together with it: all are opened, or none.
        """

    async def record_several(self, decisions: Sequence[Decision]) -> None:
        """Store decisions about alerts that open no rollback, in their order and in one transaction."""

    async def append(self, rollback_id: str, event: Event) -> Rollback:
        """Fold what happened to a rollback into it and store both, in one transaction; returns the new rollback.

        The intent of the roll_back step also marks the version it leaves as suspect. Closing settles that mark and
        the target's arming as the outcome demands.

        Raises:
            ConflictError: the event is not allowed in this state, or an automatic rollback away from this version
                has already started once.
        """

    async def change_release(self, target: str, version: str, change: Callable[[Release | None], Release]) -> Release:
        """Change what is remembered of a version, as it was observed: see `Journal.change_release`."""

    async def change_target(self, target: str, change: Callable[[TargetState], TargetState]) -> TargetState:
        """Change what is remembered of a target, as it was observed: see `Journal.change_target`."""

    async def note_watched(self, watched: Watched) -> None:
        """Remember until when all targets of the shard were seen as they are remembered, instead of before."""

    async def change_both(
        self,
        target: str,
        version: str,
        release: Callable[[Release | None], Release],
        state: Callable[[TargetState, Release], TargetState],
    ) -> tuple[Release, TargetState]:
        """Change what is remembered of a version and of its target, in one transaction; returns the new values.

        `state` also gets the new value of the version. Both must be pure.
        """

    async def prune(self, before: float, most: int) -> int:
        """Forget, a little at a time, what is older than `before` or beyond the newest `most` of its kind.

        The kinds are: closed rollbacks with their events, decisions that no stored rollback refers to, judged and
        unreadable alerts, drills, and the audit. Open rollbacks stay, and so does what `handled` answers.

        Returns:
            The number of records that are gone, events not counted.
        """


class Journal(Protocol):
    """What any replica may read and write, leader or not: durable on return, invariants held by the database.

    Deliveries, heartbeats, threads of notices, drills and what people say may come to any replica, so their writes
    check no lease.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes may use it at the same time, so that a lease can pass to them."""

    def fault(self) -> JournalError | None:
        """Why nothing can be stored or read now, as far as it is known without asking; None if nothing is wrong."""

    def fenced(self, fence: Fence) -> Lead:
        """The same store for what only the leader may write, under this fence."""

    async def take_lease(self, holder: str, seconds: float) -> int | None:
        """Take the lease if it is free or over, by the database's clock.

        Returns:
            The new epoch, one higher than every one before; None when another holder has the lease.
        """

    async def renew_lease(self, epoch: int, seconds: float) -> bool:
        """Keep the lease for `seconds` from now, by the database's clock; False when it carries another epoch."""

    async def release_lease(self, epoch: int) -> None:
        """Let the lease go, so that another replica need not wait for its end; does nothing if it is not ours."""

    async def agree_on_shards(self, count: int) -> None:
        """Return when all replicas have this many shards; the first to start says so for all.

        Raises:
            JournalError: replicas with another number live, or lived a moment ago.
        """

    def of_shard(self, number: int, count: int) -> Journal:
        """The same store, with the lease, the alerts that wait and the open rollbacks of one of several shards."""

    async def note_replica(self, name: str, seconds: float) -> Mapping[str, float]:
        """Live for `seconds` from now, by the database's clock; returns for how long each replica has lived."""

    async def forget_replica(self, name: str) -> None:
        """Live no more: the others need not wait."""

    async def accept(
        self, alerts: Sequence[Alert], received_at: float, *, shards: Sequence[int] | None = None
    ) -> None:
        """Store alerts; many concurrent calls share one commit. On return they are on disk.

        `shards` says whose leader reads each, where there are several.
        """

    async def unjudged(self, limit: int, *, but_not: Collection[int] = ()) -> tuple[InboxEntry, ...]:
        """Accepted alerts not yet judged, oldest first, without those in `but_not`; sets unreadable ones aside.

        Alerts that were delivered in the same words are one object.
        """

    async def unjudged_count(self) -> int:
        """How many alerts wait. Cheap: a count up to half a second old, plus what we accepted since."""

    async def record(
        self,
        decision: Decision,
        rollback: Rollback | None = None,
        *,
        idempotency_key: str | None = None,
        action: OperatorAction,
    ) -> None:
        """Store a decision about a person's request, the rollback that it opens and the person's action, as one.

        Raises:
            ConflictError: the target already has an open rollback, or the idempotency key was used before.
        """

    async def append(self, rollback_id: str, event: Event, *, action: OperatorAction) -> Rollback:
        """Fold a person's word into a rollback and store both, in one transaction; returns the new rollback.

        A word that closes the rollback also settles marks and arming, as `Lead.append` does.

        Raises:
            ConflictError: the event is not allowed in this state.
        """

    async def open_rollbacks(self) -> tuple[Rollback, ...]:
        """Rollbacks that are not closed, oldest first."""

    async def targets_under_way(self) -> Mapping[str, str]:
        """The id of the open rollback of each target that has one, also of one whose record is damaged."""

    async def rollback(self, rollback_id: str) -> Rollback:
        """One rollback with its steps."""

    async def events(self, rollback_id: str) -> tuple[Event, ...]:
        """A rollback's events in order; the rollback is their fold."""

    async def rollbacks(
        self,
        *,
        target: str | None = None,
        outcome: Outcome | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Rollback]:
        """Rollbacks, newest first. `before` is a cursor from the previous page (a rollback id)."""

    async def rollback_by_key(self, idempotency_key: str) -> Rollback | None:
        """The rollback that a manual trigger with this key opened, if any."""

    async def decision(self, decision_id: str) -> Decision:
        """One decision with all its reasons."""

    async def decisions(
        self,
        *,
        target: str | None = None,
        verdict: Verdict | None = None,
        alert: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Decision]:
        """Decisions, newest first. `alert` is the alert's name, `before` a cursor (a decision id)."""

    async def handled(self, target: str, version: str) -> str | None:
        """The id of the automatic rollback whose roll_back step away from this version has started, if any."""

    async def actions_since(self, target: str, since: float) -> tuple[float, ...]:
        """When automatic rollbacks of the target started their roll_back step, newest first."""

    async def last_action_at(self, target: str) -> float | None:
        """When the target's newest roll_back step of any trigger started."""

    async def releases(self, target: str) -> tuple[Release, ...]:
        """The target's releases, newest `first_seen` first."""

    async def all_releases(self) -> Mapping[str, tuple[Release, ...]]:
        """The releases of every target that has some, as `releases` gives them; damaged ones are left out."""

    async def change_release(
        self,
        target: str,
        version: str,
        change: Callable[[Release | None], Release],
        *,
        action: OperatorAction | None = None,
    ) -> Release:
        """Read, change and store what is remembered of a version, in one transaction; returns the new value.

        `change` gets None for a version never seen; it must be pure. Nothing is written when nothing changes.
        """

    async def target_state(self, target: str) -> TargetState:
        """What is remembered of a target; a target never seen is armed and knows no version.

        Its moments are those of `Lead.note_watched`, where that is later.
        """

    async def target_states(self) -> Mapping[str, TargetState]:
        """What is remembered of every target that was ever seen, by name; `unreadable` for a damaged one.

        Its moments are those of the last change.
        """

    async def change_target(
        self,
        target: str,
        change: Callable[[TargetState], TargetState],
        *,
        action: OperatorAction | None = None,
    ) -> TargetState:
        """Read, change and store what is remembered of a target, in one transaction; returns the new value."""

    async def operator_actions(self, *, subject: str | None = None, limit: int = 50) -> tuple[OperatorAction, ...]:
        """The newest entries of the audit, newest first."""

    async def audit(
        self, *, subject: str | None = None, limit: int = 50, before: str | None = None
    ) -> Page[OperatorAction]:
        """The audit page by page, newest first. `before` is a cursor from the previous page."""

    async def note_heartbeat(self, at: float) -> None:
        """Remember when a heartbeat came, instead of the one before."""

    async def heartbeat_at(self) -> float | None:
        """When the last heartbeat came, to any process; None if none ever came."""

    async def note_threads(self, text: str) -> None:
        """Remember what services of notices said of first messages, instead of what was remembered before."""

    async def noted_threads(self) -> str | None:
        """What `note_threads` was given last, by any process; None if it never was."""

    async def begin_drill(self, drill: Drill, *, given_up: float, action: OperatorAction) -> None:
        """Store a drill that begins. An unfinished drill of the target that began before `given_up` counts as over.

        Raises:
            ConflictError: another drill of the target goes on.
        """

    async def end_drill(self, drill: Drill) -> None:
        """Store what a drill found."""

    async def note_drill_back(self, drill_id: str, at: float) -> None:
        """Remember when a drill's alert first came back by webhook. Does nothing for a drill that is not stored."""

    async def drill_back_at(self, drill_id: str) -> float | None:
        """When the drill's alert first came back, to any process; None while it has not."""

    async def drilled(self) -> frozenset[str]:
        """The targets that were ever drilled, of what is still kept."""

    async def drills(self, *, target: str, limit: int = 50, before: str | None = None) -> Page[Drill]:
        """Drills of a target, newest first, an unfinished one included. `before` is a cursor (a drill id)."""

    async def newest(self, now: float) -> Mark:
        """The mark after everything that is stored; `now` is the present time in seconds since the epoch."""

    async def news(self, after: Mark, now: float) -> News:
        """What was stored after a mark, oldest first, and a little from before it: `Item.key` tells it apart."""

    async def close(self) -> None:
        """Finish what is being written and release the files."""
