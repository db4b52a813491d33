"""What a rollback's events change beyond the rollback: what is remembered of its release and its target.

Here: everything that follows from an event, in one place. Whoever stores the event stores these changes in the same
transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rearguard_controller.model import Outcome, Release, Rollback, StepKind, TargetState, Trigger


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """How what is remembered of a version changes; `change` gets and returns None if nothing is remembered."""

    target: str
    version: str
    change: Callable[[Release | None], Release | None]


@dataclass(frozen=True, slots=True)
class TargetChange:
    """How what is remembered of a target changes."""

    target: str
    change: Callable[[TargetState], TargetState]


@dataclass(frozen=True, slots=True)
class Consequences:
    """What an event changes beyond its rollback.

    Attributes:
        handled: whether the version that the rollback leaves counts as handled from now on: no other automatic
            rollback may leave it.
        changes: to be made in this order.
    """

    handled: bool
    changes: tuple[ReleaseChange | TargetChange, ...]


def consequences(before: Rollback, after: Rollback) -> Consequences:
    """What the event changes that led from `before` to `after`.

    Two moments change something: the first intent of the roll_back step, and the close.
    """
    leaves = _has_left(after) and not _has_left(before)
    closes = before.outcome is None and after.outcome is not None
    changes: list[ReleaseChange | TargetChange] = []
    if leaves or closes:
        changes.append(ReleaseChange(after.target, after.from_version, lambda release: _marked(release, after)))
    if closes and after.outcome is Outcome.INTERRUPTED and after.trigger is Trigger.ALERT:
        changes.append(ReleaseChange(after.target, after.from_version, lambda release: _counted(release, after)))
    if closes:
        changes.append(TargetChange(after.target, lambda state: arming(state, after)))
    return Consequences(leaves and after.trigger is Trigger.ALERT, tuple(changes))


def _has_left(rollback: Rollback) -> bool:
    """Whether the roll_back step was ever started."""
    step = rollback.step_of(StepKind.ROLL_BACK)
    return step is not None and step.attempt > 0


def _marked(release: Release | None, rollback: Rollback) -> Release | None:
    return None if release is None else marks(release, rollback)


def _counted(release: Release | None, rollback: Rollback) -> Release | None:
    """What is remembered of a version after an automatic rollback away from it was interrupted."""
    if release is None:
        return None
    return replace(release, interrupted=release.interrupted + 1, interrupted_at=rollback.closed_at)


def marks(release: Release, rollback: Rollback) -> Release:
    """What is remembered of the version that a rollback leaves, when roll_back starts and at the close.

    The version is suspect once the intent of the roll_back step is stored. The close settles it: bad when leaving
    it helped, cleared when it did not, or when the command never began. Any other outcome leaves the mark as it is,
    so that a mark that a person changed meanwhile stays.
    """
    step = rollback.step_of(StepKind.ROLL_BACK)
    if step is None or step.attempt == 0:  # no version was left
        return release
    match rollback.outcome:
        case Outcome.RECOVERED:
            return replace(release, bad_at=rollback.closed_at)
        case Outcome.NOT_RECOVERED | Outcome.INTERRUPTED:  # interrupted: its command could not be started
            return replace(release, suspect_at=None)
        case None:
            return replace(release, suspect_at=release.suspect_at or step.started_at)
        case _:
            return release


def arming(state: TargetState, rollback: Rollback) -> TargetState:
    """The target's state after a rollback closed: disarmed when the rollback began and did not help.

    It began when any step started; without this, an attempt that fails at its first hook would be made again at every
    poll. A rollback that a person aborted or closed before its first step disarms for the same reason. One that was
    interrupted says nothing of the target and never disarms it; how often it is tried anew is counted.
    """
    if rollback.outcome is Outcome.INTERRUPTED:
        return state
    proved = rollback.step_of(StepKind.VERIFY_RECOVERY) is not None  # then `completed` means: over without its help
    helped = rollback.outcome is Outcome.RECOVERED or (rollback.outcome is Outcome.COMPLETED and not proved)
    begun = any(step.attempt for step in rollback.steps)
    ended = rollback.outcome in (Outcome.ABORTED, Outcome.NEEDS_A_PERSON)  # without a step, only people end it so
    if rollback.outcome is None or helped or not (begun or ended):
        return state
    return replace(
        state,
        armed=False,
        armed_reason=f"rollback {rollback.id} ended as {rollback.outcome}",
        armed_changed_at=rollback.closed_at,
        disarmed_until=None,
        disarmed_by=rollback.outcome,
    )
