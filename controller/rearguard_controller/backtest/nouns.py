"""The nouns of a back-test: what Prometheus' history says, and what would have come of it.

Here: frozen values. Times are seconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rearguard_controller.adapters.prometheus import Rules, Series
from rearguard_controller.model import Condition, Counts, Decision, Labels, StormLimit, Target, Verdict


class Stretch(NamedTuple):
    """From the first sample to the last, both included."""

    start: float
    end: float


class Presence(NamedTuple):
    """One version that was scraped without a break."""

    version: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on, `version` serves.

    Attributes:
        changed_after: when the version before was last seen serving; None for the first one.
    """

    at: float
    version: str
    changed_after: float | None = None


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """When one alert was pending or firing.

    Attributes:
        labels: with `alertname`.
        active: pending or firing.
        evaluated: Prometheus has no `ALERTS` of it: its rule's expression was evaluated over history.
        by_counts: no rule of it was loaded: it was worked out from raw counters.
    """

    labels: Labels
    active: tuple[Stretch, ...]
    firing: tuple[Stretch, ...]
    evaluated: bool = False
    by_counts: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A target's own figure over time, with its threshold.

    Attributes:
        step: seconds between two points, the first of which is at `start`.
        thresholds: over the same time; empty for a number, and for an alert without figure.
        today: the threshold of today, for moments of which history has none.
        comparable: the versions that had enough traffic, over the same time; empty if the rule does not tell.
    """

    condition: Condition
    start: float
    end: float
    step: float
    values: tuple[Series, ...]
    thresholds: tuple[Series, ...] = ()
    today: float | None = None
    comparable: tuple[Series, ...] = ()


CurveKey = tuple[str, str, str, frozenset[tuple[str, str]]]  # target, figure, threshold, labels


def curve_key(target: Target, condition: Condition) -> CurveKey:
    """The key under which the curves of a target's figure are kept."""
    labels = frozenset((condition.labels or {}).items())
    return target.name, condition.figure, condition.threshold, labels


CountsKey = tuple[str, float]  # target, and when the release began to serve


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is known of a stretch of the past.

    Attributes:
        presence: by target, in order of their start.
        curves: where figures are known, by `curve_key`.
        look_every: seconds between two looks of a controller that would have run then.
        silences: whether an Alertmanager is configured, whose silences history does not hold.
        notes: sentences on what could not be known.
        measured: by target and service_version the moments, in order, at which anything that its trigger rules
            measure had a value; under "" what names no version. None: nobody asked.
        counts: requests and failures of releases, and of the versions before them.
        around: by release, requests and failures of each target that it depends on: see `TargetFacts`.
    """

    start: float
    end: float
    targets: tuple[Target, ...]
    presence: Mapping[str, tuple[Presence, ...]]
    alerts: tuple[AlertHistory, ...]
    rules: Rules = field(default_factory=Rules)
    curves: Mapping[CurveKey, tuple[Curve, ...]] = field(default_factory=dict)
    look_every: float = 15.0
    silences: bool = False
    storm: StormLimit = field(default_factory=StormLimit)
    notes: tuple[str, ...] = ()
    measured: Mapping[str, Mapping[str, tuple[float, ...]]] | None = None
    counts: Mapping[CountsKey, Counts] = field(default_factory=dict)
    around: Mapping[CountsKey, Mapping[str, Counts]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A judgement, recorded once for as long as its answers stay the same.

    Attributes:
        last_at: when the same answer was given last.
        times: how many episodes of the alert led to it.
        helped: whether going back helped when people did it; None where that is not known.
    """

    decision: Decision
    last_at: float
    times: int = 1
    helped: bool | None = None

    @property
    def rolls_back(self) -> bool:
        """Whether a rollback would have been begun, had mode, environment and arming allowed it."""
        return self.decision.would is not Verdict.LEAVE


@dataclass(frozen=True, slots=True)
class Return:
    """A version changed back to an older one in history: a rollback that people, or their tools, did."""

    target: str
    at: float
    from_version: str
    to_version: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a walk through history.

    Attributes:
        records: in the order of judgement.
        unmatched: names of alerts that may trigger and match no target, with how many there were.
    """

    records: tuple[Record, ...]
    unmatched: Mapping[str, int] = field(default_factory=dict)
