"""Which targets a poll looks at: those that are young or troubled at every poll, all others in turn.

Here: what a poll sees of every target without looking at it, and when that is reason enough for a look. What a look
finds says whether the target is calm.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from rearguard_controller.adapters.prometheus import PrometheusAlert, Rules
from rearguard_controller.model import VERSION_LABEL, Release, ReleaseKind, Target, TargetState
from rearguard_controller.releases.looks import Serving, Watch
from rearguard_controller.releases.presence import Instances, presence_of
from rearguard_controller.releases.rollout import ONE_ROLLOUT, alternates

IN_TURN = 4  # polls in which every calm target is looked at once
AT_LEAST_EVERY = 60.0  # seconds: where polls take long, a calm target has its turn more often


class Look(Enum):
    """How a poll looks at a target."""

    CLOSELY = "closely"  # something may have changed
    IN_TURN = "in turn"  # it is only time


@dataclass(frozen=True, slots=True)
class Signs:
    """What a poll sees of a target without looking at it; while it stays the same, nothing is known to have changed.

    Attributes:
        release: how its version is read.
        instances: what they show; None: not known.
        alerts: those of the target that are pending or firing.
        rules: how often the loaded rules, or their health, have changed.
        serving: the version that serves, as the journal says.
        announced: when a deployment began that has not ended, by those who deploy.
        under_way: whether a rollback of it is open.
    """

    release: ReleaseKind
    instances: frozenset[object] | None
    alerts: frozenset[object]
    rules: int
    serving: str | None = None
    announced: float | None = None
    under_way: bool = False


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the journal says of all targets, by name."""

    states: Mapping[str, TargetState] = field(default_factory=dict)
    under_way: Mapping[str, str] = field(default_factory=dict)  # open rollbacks


@dataclass(slots=True)
class _Seen:
    signs: Signs
    calm: bool = False


class Attention:
    """Remembers what was seen of each target, through reloads."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen: dict[str, _Seen] = {}
        self._polls = 0
        self._epoch: int | None = None

    def keep_only(self, targets: Iterable[Target]) -> None:
        """From now on these are watched; what was seen of others is forgotten, and is news if they come back."""
        names = {target.name for target in targets}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}

    def begin(self, epoch: int | None) -> None:
        """A poll begins; in another term everything is looked at closely."""
        self._polls += 1
        if epoch != self._epoch:
            self._epoch = epoch
            self._seen.clear()

    def look(self, name: str, signs: Signs, turns: int) -> Look | None:
        """How to look at a target in this poll; None: not at all.

        Args:
            name: of the target.
            signs: what this poll sees of it.
            turns: polls in which every calm target has its turn.
        """
        before = self._seen.get(name)
        if before is None or before.signs != signs:
            self._seen[name] = _Seen(signs)
            return Look.CLOSELY
        if not before.calm or signs.under_way:
            return Look.CLOSELY
        return Look.IN_TURN if (self._polls + zlib.crc32(name.encode())) % turns == 0 else None

    def found(self, name: str, *, calm: bool) -> None:
        """What the last look at a target found."""
        if name in self._seen:
            self._seen[name].calm = calm


class Loaded:
    """Counts how often the rules have changed: then every target is looked at again."""

    def __init__(self) -> None:
        """None is known yet."""
        self._known: object = None
        self.changes = 0

    def see(self, rules: Rules) -> None:
        """These are loaded now."""
        alerting = [
            (each.name, each.query, each.health, each.last_error, tuple(each.annotations.items()))
            for each in rules.alerting
        ]
        known = (alerting, len(rules.recording))
        if known != self._known:
            self._known, self.changes = known, self.changes + 1


def turns(poll_seconds: float) -> int:
    """Polls in which every calm target is looked at once; `poll_seconds` is how long a poll lasts."""
    return max(1, min(IN_TURN, int(AT_LEAST_EVERY / poll_seconds)))


def signs_of(
    target: Target, alerts: Iterable[PrometheusAlert], there: Instances | None, known: Remembered, rules: int
) -> Signs:
    """What a poll sees of a target.

    Args:
        target: whose.
        alerts: its, pending or firing.
        there: its instances; None: not known.
        known: what the journal says of all targets.
        rules: see `Signs`.
    """
    state = known.states.get(target.name)
    return Signs(
        release=target.release,
        instances=None if there is None else shown(there),
        alerts=frozenset((each.name, each.state, each.labels.get(VERSION_LABEL)) for each in alerts),
        rules=rules,
        serving=None if state is None else state.serving_version,
        announced=None if state is None else state.deploy_started_at,
        under_way=target.name in known.under_way,
    )


def shown(instances: Instances) -> frozenset[object] | None:
    """What instances show, in a form that is equal while they show the same."""
    if instances.samples is None:
        return None
    return frozenset((frozenset(each.labels.items()), each.value) for each in instances.samples)


def is_calm(target: Target, serving: Serving, release: Release | None, watch: Watch, now: float) -> bool:
    """Whether nothing of a target is young or in trouble, so that it need not be looked at closely.

    It is young while its version earns trust, or may still be blamed as a release.
    """
    state = serving.state
    if serving.version is None or release is None or serving.unready or (watch.alerts and not watch.in_storm):
        return False
    if state.deploy_started_at is not None or alternates(state, now):
        return False
    if state.left is not None and now - state.left.at <= ONE_ROLLOUT:
        return False
    unearned = release.known_good_at is None
    if unearned and state.clean_since is not None:
        return False
    window = target.policy.watch_window + (target.policy.known_good_after if unearned else 0.0)
    since = state.serving_since
    if (unearned or state.is_release) and (since is None or now - since <= window):
        return False
    return watch.instances is None or not _differs(watch.instances, release)


def _differs(instances: Instances, release: Release) -> bool:
    """Whether instances show another version than the one that serves, or several."""
    told = presence_of(instances, 0.0)
    return bool(told.named) and told.service_version != release.service_version
