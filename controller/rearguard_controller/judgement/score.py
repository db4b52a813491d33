"""The running score: how often people did by hand what the controller would have done. Pure.

Here: how the score of a target changes when the controller says that it would go back (but mode, environment, arming
or a person keeps it from acting), when people go back, when the version changes otherwise, and as time passes. Each
release counts once.
"""

from __future__ import annotations

from dataclasses import replace

from rearguard_controller.model import Decision, Phase, Release, Rollback, Score, TargetState, Trigger, Verdict

LASTS = 30.0  # seconds for which another version must be read before the one before it counts as left
FOR_GOOD = float("inf")  # a moment by which every version that was left has stayed away


def is_said(decision: Decision, opened: Rollback | None) -> bool:
    """Whether a decision only says that it would go back, and so counts for the score.

    True if mode, environment or arming keeps it from acting, and if the rollback that it `opened` waits for a person;
    False if it begins at once.
    """
    acts = decision.would in (Verdict.ROLL_BACK, Verdict.ASK)
    waits = opened is None or opened.phase is Phase.WAITING
    return decision.trigger is Trigger.ALERT and acts and waits


def said(state: TargetState, version: str | None, now: float) -> TargetState:
    """The state after the controller said that it would go back from `version`; a release counts only once."""
    state = lasted(state, FOR_GOOD)
    score = state.score
    if version is None or version != state.serving_version or version in (score.version, score.settled):
        return state
    return replace(state, score=replace(score, version=version, said_at=now))


def went_back(state: TargetState, version: str, now: float, *, window: float) -> TargetState:
    """The state after people went back from `version`, or began to; `window` is how long a release may be blamed.

    If the controller had said so before, both agree. If not, people alone went back; that counts only if the version
    was released within the window.
    """
    score = state.score
    if score.settled == version:
        return state
    if score.version == version and score.said_at is not None:
        lead = score.lead + max(0.0, now - score.said_at)
        return _settled(state, replace(score, agreed=score.agreed + 1, lead=lead), version)
    since = state.serving_since
    young = state.is_release and since is not None and now - since <= window
    if version != state.serving_version or not young:
        return state
    return _settled(state, replace(score, only_people=score.only_people + 1), version)


def left(state: TargetState, before: Release, to: Release, now: float, *, window: float, by_us: bool) -> TargetState:
    """The state once the serving version is left for another one; `by_us` says that an automatic rollback did it."""
    if by_us:
        state = acted(state, before.version)
    elif is_back(before, to):
        state = went_back(state, before.version, now, window=window)
    return stayed(state, before.version)


def once_it_lasts(state: TargetState, before: Score, after: Score) -> TargetState:
    """The state that counts `after` instead of `before` once the version that was left has stayed away."""
    if state.left is None or after == before:
        return state
    return replace(state, left=replace(state.left, scored=after))


def lasted(state: TargetState, now: float) -> TargetState:
    """The state once the version that was left has stayed away for `LASTS` seconds: then it counts that it was left.

    A version that comes back within minutes was never left: `current` was asked through a load balancer.
    """
    left = state.left
    if left is None or left.scored is None or now - left.at < LASTS:
        return state
    return replace(state, score=left.scored, left=replace(left, scored=None, unscored=state.score))


def stayed(state: TargetState, version: str) -> TargetState:
    """The state once it is clear that people do not go back from `version`: only the controller would have."""
    score = state.score
    if score.version != version:
        return state
    return _settled(state, replace(score, only_we=score.only_we + 1), version)


def acted(state: TargetState, version: str) -> TargetState:
    """The state after the controller itself went back from `version`: nothing is left to compare."""
    return _settled(state, state.score, version) if state.score.version == version else state


def passed(state: TargetState, release: Release, now: float, *, window: float) -> TargetState:
    """The state after a poll that finds the same version serving: it may have earned trust, or the window is over."""
    said_at, since = state.score.said_at, state.serving_since
    if state.score.version != release.version or said_at is None:
        return state
    trusted = release.known_good_at is not None and release.known_good_at > said_at
    over = since is not None and now - max(since, said_at) > window
    return stayed(state, release.version) if trusted or over else state


def is_back(left: Release | None, to: Release) -> bool:
    """Whether a change of version goes back: to one that served, or was trusted, before the one that is left."""
    if left is None or left.served_at is None:
        return False
    before = min((at for at in (to.served_at, to.known_good_at) if at is not None), default=None)
    return before is not None and before < left.served_at


def _settled(state: TargetState, score: Score, version: str) -> TargetState:
    return replace(state, score=replace(score, version=None, said_at=None, settled=version))
