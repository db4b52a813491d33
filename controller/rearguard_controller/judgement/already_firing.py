"""The pre-release snapshot: what was pending or firing before a release can never be blamed on it. Pure.

Here: whether an alert was among those seen right before the serving version came, and which `service_version`s are
the release's own. Instances of a new version may serve for a while before the target's `current` names it: what they
alone show came with the release. The snapshot itself is taken in `releases` and by the back-test.
"""

from __future__ import annotations

from rearguard_controller.model import SeenAlert, TargetFacts, TargetState
from rearguard_controller.wording import span

LONG_BEFORE = 300.0  # seconds before a snapshot: an alert that was there so long before did not come with the release
UNSEEN = 60.0  # seconds before its first sight in which a release of which `current` is read in turn may have served
LONGEST_UNSEEN = 300.0  # seconds between two readings of the version within which a fault still came with the change


def already(name: str, known: TargetFacts) -> tuple[bool | None, str] | None:
    """What the snapshot says for `began_after_release`: was an alert of this name there before the release?

    Only the alert's name counts. Its instances and pods change with every release, and so does the version in the
    labels of an alert about something underneath, such as a host.

    Returns:
        False and a sentence when the alert was there, None and a sentence when that is not known; None alone when the
        snapshot has nothing against the release.
    """
    state = known.state
    if state is None or not state.is_release or state.alerts_before is None or state.serving_since is None:
        return None
    if known.serving_version is None:
        return None
    snapshot, own = state.alerts_before, own_labels(known)
    found = _named(name, _there_before(state, snapshot.alerts), own)
    if found is not None:
        ago = span(state.serving_since - snapshot.at)
        return False, f"{name} was already {found.state} {ago} before {known.serving_version} began to serve."
    if snapshot.unknown:
        return None, f"It is not known what was pending or firing before the release: {snapshot.unknown}."
    if _named(name, snapshot.between, own) is not None:
        unread = span(state.serving_since - snapshot.at)
        detail = f"Which version served was not read for {unread}, and {name} was pending or firing in that time."
        return None, detail
    return None


def own_labels(known: TargetFacts) -> tuple[str, ...]:
    """The service_versions whose figures and alerts do not count against the time before the release.

    These are the release's own one, if the version before is known to show another; and those of versions that were
    rolled away from: what they still show is their own fault.
    """
    state, serving = known.state, known.serving
    if state is None or not state.is_release or serving is None:
        return ()
    previous = known.release(state.previous_version)
    before = None if previous is None else previous.service_version
    own = serving.service_version or serving.version
    labels = {own} if own == serving.version or before is not None else set()
    for release in known.releases:
        if release.distrusted and release.version != state.previous_version and release.service_version is not None:
            labels.add(release.service_version)
    return tuple(sorted(labels - {before}))


def changed_after(state: TargetState | None) -> float | None:
    """The last moment at which the version before is known to have served alone; None when no change was seen."""
    if state is None:
        return None
    last = state.serving_since if state.changed_after is None else state.changed_after
    return last - UNSEEN if last is not None and came_in_turn(state) else last


def came_in_turn(state: TargetState) -> bool:
    """Whether `current` printed the serving version and the one before in turn while it was rolled out.

    Then it may have served, unseen, before it was first read. Turns with any other version say nothing of that time.
    """
    turns, since = state.alternation, state.serving_since
    if turns is None or since is None or turns.other != state.previous_version:
        return False
    return turns.since >= since


def stood_long(name: str, known: TargetFacts) -> bool:
    """Whether an alert of this name had been there for long when the version before was last seen.

    One that began shortly before may have come with instances of the release that nobody had seen yet.
    """
    state = known.state
    if state is None or state.alerts_before is None:
        return False
    at, own = state.alerts_before.at, own_labels(known)
    named = [each for each in state.alerts_before.alerts if each.name == name and each.service_version not in own]
    return any(each.since is not None and at - each.since >= LONG_BEFORE for each in named)


def _there_before(state: TargetState, alerts: tuple[SeenAlert, ...]) -> tuple[SeenAlert, ...]:
    """The alerts of a snapshot without those that began when the release may have served unseen."""
    unseen_from = changed_after(state)
    if unseen_from is None or not came_in_turn(state):
        return alerts
    return tuple(each for each in alerts if each.since is None or each.since < unseen_from)


def _named(name: str, alerts: tuple[SeenAlert, ...], own: tuple[str, ...]) -> SeenAlert | None:
    return next((each for each in alerts if each.name == name and each.service_version not in own), None)
