"""A rollout in which two versions serve side by side, and `current` prints either: it is one release. Pure.

Here: what is remembered of a version that is read no more, whether a version that is read again was ever away, and
which of two versions that are read in turn counts as serving.
"""

from __future__ import annotations

from dataclasses import replace

from rearguard_controller.judgement.already_firing import LONGEST_UNSEEN
from rearguard_controller.model import Alternation, Left, TargetState

ONE_ROLLOUT = LONGEST_UNSEEN  # seconds after which a release that is read again was really away
BESIDE = 60.0  # seconds for which a release counts as serving while only the version beside it is read


def leaving(state: TargetState, now: float) -> Left | None:
    """What to remember of the serving version when another one is read at `now`; None if nothing served."""
    if state.serving_version is None:
        return None
    return Left(
        version=state.serving_version,
        at=now,
        since=state.serving_since,
        changed_after=state.changed_after,
        previous_version=state.previous_version,
        is_release=state.is_release,
        alerts_before=state.alerts_before,
    )


def is_one_rollout(state: TargetState, version: str, now: float) -> bool:
    """Whether a version that is read at `now` is the release that was read minutes ago, and so never went away."""
    left = state.left
    return left is not None and left.version == version and left.is_release and 0 <= now - left.at <= ONE_ROLLOUT


def back_in_its_rollout(state: TargetState, now: float, *, trusted: bool) -> TargetState:
    """The state with the release that was left last, as it began at its first sight.

    What was pending or firing since then came with it, whichever version was read meanwhile.
    """
    left = state.left
    if left is None or state.serving_version is None:
        return state
    is_newer = not state.is_release or (left.since or 0.0) > (state.serving_since or 0.0)
    return replace(
        state,
        serving_version=left.version,
        serving_since=left.since,
        changed_after=left.changed_after,
        looked_at=now,
        previous_version=left.previous_version,
        is_release=left.is_release and not trusted,
        clean_since=None,
        clean_checked_at=None,
        alerts=None,
        alerts_before=left.alerts_before,
        score=state.score if left.unscored is None else left.unscored,
        left=leaving(state, now),
        alternation=_alternation(state, state.serving_version, now) if is_newer else state.alternation,
    )


def is_beside(state: TargetState, version: str, now: float) -> bool:
    """Whether a version that is read at `now` only serves beside the release, as `current` has shown both in turn.

    The release counts as serving until it was not read for `BESIDE`.
    """
    before, left = state.alternation, state.left
    if before is None or left is None or state.looked_at is None or not state.is_release:
        return False
    known = left.version == version and not left.is_release
    return known and 0 <= now - before.last <= ONE_ROLLOUT and 0 <= now - state.looked_at <= BESIDE


def beside(state: TargetState, version: str, now: float) -> TargetState:
    """The state after a version was read that only serves beside the release."""
    return replace(state, alternation=_alternation(state, version, now))


def alternates(state: TargetState, now: float) -> bool:
    """Whether `current` has printed two versions in turn until just now."""
    return state.alternation is not None and 0 <= now - state.alternation.last <= BESIDE


def arrived_at(state: TargetState) -> float | None:
    """When the serving version was first read after another one, of which instances may have served until then."""
    since, left = state.serving_since, state.left
    return since if since is None or left is None else max(since, left.at)


def _alternation(state: TargetState, other: str, now: float) -> Alternation:
    before = state.alternation
    if before is not None and 0 <= now - before.last <= ONE_ROLLOUT:
        return Alternation(before.since, now, other)
    return Alternation(now, now, other)
