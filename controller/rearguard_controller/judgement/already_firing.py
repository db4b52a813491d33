"""The pre-release snapshot: what was pending or firing before a release can never be blamed on it. Pure.

Here: whether an alert is among those that were seen right before the serving version came, and which
`service_version`s are the release's own: instances of a new version may serve for a while before the target's
`current` names it, and what they alone show came with it.
Never here: taking the snapshot (`releases`, `history`) and the other signs of a beginning (`reasons`).
"""

from __future__ import annotations

from rearguard_controller.model import Facts, SeenAlert, TargetState
from rearguard_controller.wording import span

LONGEST_UNSEEN = 300.0  # seconds between two readings of the version within which a fault still came with the change


def already(name: str, facts: Facts) -> tuple[bool | None, str] | None:
    """Whether an alert was there before the release: False with a sentence, None when that is not known.

    Compared by name and target, as instances and pods come and go with a release, and a fault of what lies below
    changes its version with them.

    Returns:
        The answer of `began_after_release` and its sentence; None when the snapshot has nothing against the release.
    """
    state = facts.state
    if state is None or not state.is_release or state.alerts_before is None or state.serving_since is None:
        return None
    if facts.serving_version is None:
        return None
    snapshot, own = state.alerts_before, own_labels(facts)
    found = _named(name, snapshot.alerts, own)
    if found is not None:
        ago = span(state.serving_since - snapshot.at)
        return False, f"{name} was already {found.state} {ago} before {facts.serving_version} began to serve."
    if snapshot.unknown:
        return None, f"It is not known what was pending or firing before the release: {snapshot.unknown}."
    if _named(name, snapshot.between, own) is not None:
        unread = span(state.serving_since - snapshot.at)
        detail = f"Which version served was not read for {unread}, and {name} was pending or firing in that time."
        return None, detail
    return None


def own_labels(facts: Facts) -> tuple[str, ...]:
    """The service_versions that say nothing about the time before the release, though they were seen in it.

    The release's own, where the version before is known by another one; and those of versions that were rolled away
    from: what they show is their own fault, however long it lingers.
    """
    state, serving = facts.state, facts.release(facts.serving_version)
    if state is None or not state.is_release or serving is None:
        return ()
    previous = facts.release(state.previous_version)
    before = None if previous is None else previous.service_version
    own = serving.service_version or serving.version
    labels = {own} if own == serving.version or before is not None else set()
    for release in facts.releases:
        if release.distrusted and release.version != state.previous_version and release.service_version is not None:
            labels.add(release.service_version)
    return tuple(sorted(labels - {before}))


def changed_after(state: TargetState | None) -> float | None:
    """The last moment at which the version before is known to have served; None when no change was seen."""
    if state is None:
        return None
    return state.serving_since if state.changed_after is None else state.changed_after


def _named(name: str, alerts: tuple[SeenAlert, ...], own: tuple[str, ...]) -> SeenAlert | None:
    return next((each for each in alerts if each.name == name and each.service_version not in own), None)
