"""The rules of releases: what is remembered of a version and a target after something was seen or said. Pure.

Here: from what was known and one observation to what is known now; which checks stand in the way of trust. The rules
run inside one transaction of the journal, so that a rollback that closes meanwhile never loses its marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from rearguard_controller.judgement.already_firing import LONGEST_UNSEEN, stood_long
from rearguard_controller.model import (
    VERSION_LABEL,
    AlertsSeen,
    Check,
    Labels,
    Policy,
    Release,
    Rollback,
    SharedFault,
    StepKind,
    StepState,
    TargetFacts,
    TargetState,
    Trust,
)
from rearguard_controller.model.checks import FIGURES, TRUST_CHECKS, TRUST_UNLESS_FAILED
from rearguard_controller.model.observations import GAPS_ALLOWED
from rearguard_controller.releases.rollout import (
    alternates,
    arrived_at,
    back_in_its_rollout,
    is_one_rollout,
    leaving,
)
from rearguard_controller.wording import span

LAST_SEEN_EVERY = 21_600.0  # seconds between two notes that a version still serves; its end is noted in any case
READY_APART = 1.0  # seconds after its template within which a release counts as ready at once
MAPPING_AFTER = 60.0  # seconds alone before a service_version that another version showed is believed


@dataclass(frozen=True, slots=True)
class Denial:
    """What kept the serving version from earning trust at the last poll.

    Attributes:
        alerts: names of the trigger alerts that are pending or firing.
        checks: those of `TRUST_CHECKS` that do not hold, or are not known.
        up: whether Prometheus sees every instance of it, and at least one, scraped; None if it was not asked.
    """

    alerts: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    up: bool | None = True


def seen(known: Release | None, target: str, version: str, now: float) -> Release:
    """A release after it was seen serving at `now`."""
    if known is None:
        return Release(target, version, first_seen=now, last_seen=now, served_at=now)
    if known.served_at is not None and now - known.last_seen < LAST_SEEN_EVERY:
        return known
    return replace(known, last_seen=now, served_at=now if known.served_at is None else known.served_at)


def began_to_serve(state: TargetState, version: str, at: float) -> TargetState:
    """A target's state once it is known that a release's first instance became ready only at `at`.

    Until then the version before served alone, so that a fault of that time is not the release's.
    """
    since = state.serving_since
    if state.serving_version != version or not state.is_release or since is None or at - since < READY_APART:
        return state
    return replace(state, serving_since=at, changed_after=at)


def described(release: Release, description: str, shown: str | None = None) -> Release:
    """A release as people know it now; what is known of it stays when nothing is said.

    Args:
        release: as it is known so far.
        description: how people know it; empty if nothing is said.
        shown: its `service_version`, where the version is read from that label.
    """
    if shown is not None and release.service_version != shown:
        release = replace(release, service_version=shown)
    return replace(release, description=description) if description not in ("", release.description) else release


def serves(state: TargetState, version: str, now: float, *, trusted: bool) -> TargetState:
    """A target's state once `version` serves.

    A change to a version that is not trusted is a release; the first version ever seen, and a return to a trusted
    one, are not.
    """
    if state.serving_version == version:
        return replace(state, looked_at=now)
    if is_one_rollout(state, version, now):
        return back_in_its_rollout(state, now, trusted=trusted)
    return replace(
        state,
        serving_version=version,
        serving_since=now,
        changed_after=state.looked_at,
        looked_at=now,
        previous_version=state.serving_version,
        is_release=state.serving_version is not None and not trusted,
        clean_since=None,
        clean_checked_at=None,
        figure_at=None,
        adopting=state.serving_version is None,
        alerts=None,
        alerts_before=alerts_before(state, now),
        left=leaving(state, now),
    )


def alerts_before(state: TargetState, now: float) -> AlertsSeen | None:
    """What was pending or firing right before a version that is first seen at `now`; None for the first version ever.

    The alerts were read together with the version before. The poll that found the new version does not count: by then
    the new version's own alerts may be pending. A reading that is too old says nothing of the moment of the change.
    """
    if state.serving_version is None:
        return None
    if state.alerts is not None and 0 <= now - state.alerts.at <= LONGEST_UNSEEN:
        return state.alerts
    since = state.looked_at if state.alerts is None else state.alerts.at
    unread = "" if since is None else f" for {span(now - since)}"
    return AlertsSeen(now if since is None else since, unknown=f"alerts and version were not read together{unread}")


def with_alerts(state: TargetState, alerts: AlertsSeen | None) -> TargetState:
    """The state with this poll's alerts. `alerts` is None if the poll could not read them; then the state stays."""
    return state if alerts is None else replace(state, alerts=alerts)


def tended(state: TargetState, now: float, *, clean: bool, most_gap: float, has_figure: bool) -> TargetState:
    """A target's state after one poll that found its service clean, or not, and a figure of it, or none."""
    if has_figure:
        state = replace(state, figure_at=now)
    if not clean:
        return replace(state, clean_since=None, clean_checked_at=now)
    broken = state.clean_checked_at is None or not 0 <= now - state.clean_checked_at <= most_gap
    since = now if state.clean_since is None or broken else state.clean_since
    return replace(state, clean_since=since, clean_checked_at=now)


def differ_in_time_only(before: TargetState, after: TargetState) -> bool:
    """Whether a look found a target as it was: only the moments at which it was seen so have moved on."""
    alerts = after.alerts
    if alerts is not None and before.alerts is not None:
        alerts = replace(alerts, at=before.alerts.at)
    figure_at = before.figure_at if _is_measured(before) == _is_measured(after) else after.figure_at
    seen = replace(
        after,
        looked_at=before.looked_at,
        clean_checked_at=before.clean_checked_at,
        figure_at=figure_at,
        alerts=alerts,
    )
    return seen == before


def _is_measured(state: TargetState) -> bool:
    """Whether a figure had a value since the present time of good service began."""
    return state.figure_at is not None and state.clean_since is not None and state.figure_at >= state.clean_since


def most_apart(every: float, poll_interval: float) -> float:
    """Seconds that two looks at a target may lie apart, so that its service still counts as unbroken.

    Some polls may be missed, of those that are really made: polls of many targets last longer than `poll_interval`.
    After `LONGEST_UNSEEN` nobody can tell what happened in between, however long a poll lasts.

    Args:
        every: seconds between the two looks before them.
        poll_interval: seconds between two polls, as configured.
    """
    return max(GAPS_ALLOWED * poll_interval, min(GAPS_ALLOWED * every, LONGEST_UNSEEN))


def against_trust(checks: Iterable[Check], trust: Trust) -> tuple[Check, ...]:
    """Which checks stand in the way of trust: while there are any, no version earns it.

    Those of `TRUST_CHECKS` that do not hold, or were not answered, and those of `TRUST_UNLESS_FAILED` that fail. If
    the policy trusts by `up`, no figure is needed.
    """
    answered = {check.name: check for check in checks}
    names = [name for name in TRUST_CHECKS if name != FIGURES or trust is Trust.FIGURES]
    needed = (answered.get(name) or Check(name, None, "Nobody has been able to tell so far.") for name in names)
    failed = tuple(check for name, check in answered.items() if name in TRUST_UNLESS_FAILED and check.holds is False)
    return (*(check for check in needed if check.holds is not True), *failed)


def stands(name: str, known: TargetFacts, began: float | None, now: float, watch_window: float) -> bool:
    """Whether a trigger alert was there before the serving version: then it says nothing against its trust.

    It was there, and had been for minutes, while a trusted version served before this one: an alert that began right
    before may have come with the release. Without a version before, it has been there for longer than a release may
    be blamed. An alert that a version without trust had, too, still counts.

    Args:
        name: the alert's.
        known: the target, with its releases.
        began: when the alert's condition became true, by Prometheus; None: not known.
        now: seconds since the epoch.
        watch_window: seconds after a release for which an alert may be blamed on it.
    """
    state = known.state
    if state is None:
        return False
    if not state.is_release:
        return began is not None and now - began > watch_window
    before = known.release(state.previous_version)
    if before is None or before.known_good_at is None or before.distrusted:
        return False
    return stood_long(name, known)


def earns(release: Release, state: TargetState, now: float, policy: Policy) -> bool:
    """Whether the serving release becomes known good now.

    It served well for long enough, meanwhile a figure had a value for it (unless the policy trusts by `up`), and no
    mark forbids it.
    """
    since = state.clean_since
    if since is None or now - since < policy.known_good_after:
        return False
    measured = policy.trust is Trust.BY_UP or (state.figure_at is not None and state.figure_at >= since)
    return measured and release.known_good_at is None and not release.distrusted


def recently_released(state: TargetState, now: float, watch_window: float) -> bool:
    """Whether what serves is a release that may still be blamed."""
    since = state.serving_since
    return state.is_release and since is not None and now - since <= watch_window


def trusted(release: Release, now: float) -> Release:
    """A release that has earned trust at `now`, unless it was marked meanwhile; trust that it has already stays."""
    return release if release.known_good_at is not None or release.distrusted else replace(release, known_good_at=now)


def believable(known: Mapping[str, Release], state: TargetState, shown: str | None, now: float) -> str | None:
    """The `service_version` to remember for the serving version, if what Prometheus shows can be believed.

    Right after a change the old version's label may linger; so a label that another version is known by is believed
    only after a while, unless it is the version's own name.
    """
    version = state.serving_version
    if shown is None or version is None or shown == version:
        return shown
    taken = any(release.service_version == shown for release in known.values() if release.version != version)
    if taken and (alternates(state, now) or now - (arrived_at(state) or now) < MAPPING_AFTER):
        return None
    return shown


def concerns(labels: Labels, service_version: str | None) -> bool:
    """Whether an alert is about the serving version: it names no other."""
    claimed = labels.get(VERSION_LABEL)
    return claimed is None or service_version is None or claimed == service_version


def lingering(rollback: Rollback | None, version: str, now: float) -> frozenset[str]:
    """Names of alerts that cannot have cleared yet since a rollback to `version`: they say nothing against it."""
    step = None if rollback is None or rollback.to_version != version else rollback.step_of(StepKind.ROLL_BACK)
    if rollback is None or step is None or step.state is not StepState.DONE or step.ended_at is None:
        return frozenset()
    since = now - step.ended_at
    return frozenset(each.alert for each in rollback.conditions if 0 <= since < each.clears)


def with_shared_fault(release: Release, fault: SharedFault) -> Release:
    """A release with what is known now of a fault that an older version showed beside it."""
    key = (fault.figure, fault.threshold)
    others = tuple(each for each in release.shared_faults if (each.figure, each.threshold) != key)
    return replace(release, shared_faults=(*others, fault))


def announced(
    known: Release | None, target: str, version: str, now: float, *, barrier: bool | None, good: bool | None
) -> Release:
    """A release after somebody spoke of it; None leaves a mark as it is."""
    release = known or Release(target, version, first_seen=now, last_seen=now)
    if barrier is not None:
        release = replace(release, barrier=barrier)
    if good is True:
        release = replace(release, known_good_at=release.known_good_at or now, bad_at=None, suspect_at=None)
    if good is False:
        release = replace(release, known_good_at=None)
    return release


def has_returned(state: TargetState, release: Release) -> bool:
    """Whether the serving version came back after a rollback away from it; False if it never stopped serving."""
    marked, began = release.distrusted_since, state.serving_since
    return state.serving_version == release.version and marked is not None and began is not None and began > marked
