"""What a controller would have measured at a moment of the past. Pure.

Here: from the curves of a target's figure to the measurements that facts hold, by the same functions as for the
present (`figures`); and which curves a walk through history will need.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, Rules, Series, figures
from rearguard_controller.adapters.prometheus.alert_rules import rules_of
from rearguard_controller.adapters.prometheus.figures import LONGEST_LOOK, against, is_about, start_of_episode
from rearguard_controller.backtest.nouns import AlertHistory, Change, Curve, CurveKey, Presence, World, curve_key
from rearguard_controller.facts import side_by_side
from rearguard_controller.facts.measurements import BEFORE_RELEASE
from rearguard_controller.judgement import beside
from rearguard_controller.judgement.beside import Beside, Limit, Pair
from rearguard_controller.model import (
    VERSION_LABEL,
    AlertState,
    Condition,
    Labels,
    Measurement,
    Sample,
    SharedFault,
    Target,
    compare,
    is_subset,
)
from rearguard_controller.model.observations import EXISTS, same_fault

MOST_BEFORE = 5  # versions before a release of which the last minutes are read
THRESHOLD_LASTS = 600.0  # seconds for which a threshold holds after its last sample


@dataclass(frozen=True, slots=True)
class Wanted:
    """A curve that a walk through history may ask for."""

    target: Target
    condition: Condition
    start: float
    end: float


def condition_of(history: AlertHistory, rules: Rules, target: Target) -> Condition | None:
    """The condition of an alert of the past, as its rule declares it today: history holds no annotations."""
    known = rules_then(history.labels, rules)
    annotations = known[0].annotations if known else {}
    alert = PrometheusAlert(history.labels, annotations, AlertState.FIRING, None, None)
    return figures.condition_of(alert, rules, target, known=known)


def rules_then(labels: Labels, rules: Rules) -> tuple[AlertingRule, ...]:
    """The rules that an alert of the past may come from: see `rules_of`.

    The labels of a rule may have been edited since, so a rule whose name is unique need not match them.
    """
    named = tuple(rule for rule in rules.alerting if rule.name == labels.get("alertname", ""))
    return named if len(named) == 1 else rules_of(labels, rules)


def wanted(world: World, changed: Mapping[str, Sequence[Change]]) -> tuple[Wanted, ...]:
    """The curves that judging needs: those around alerts that fired while a change of version could be blamed."""
    found: dict[tuple[object, ...], Wanted] = {}
    for history in world.alerts:
        for target in world.targets:
            if not (target.owns(history.labels) and is_subset(target.policy.alerts, history.labels)):
                continue
            condition = condition_of(history, world.rules, target)
            if condition is not None:
                for each in _of_alert(history, target, condition, changed[target.name], world.end):
                    found[(*curve_key(target, condition), each.start, each.end)] = each
    return tuple(found.values())


def _of_alert(
    history: AlertHistory, target: Target, condition: Condition, changed: Sequence[Change], end: float
) -> list[Wanted]:
    found: list[Wanted] = []
    for number, change in enumerate(changed):
        if change.changed_after is None:
            continue
        replaced = changed[number + 1].at if number + 1 < len(changed) else end
        until = min(replaced, change.at + target.policy.watch_window)
        fired = [each for each in history.firing if each.start <= until and each.end >= change.at]
        if not fired:
            continue
        last = min(until, max(each.end for each in fired))
        found.append(Wanted(target, condition, max(change.at, last - LONGEST_LOOK) - BEFORE_RELEASE, last))
        for earlier in changed[max(0, number - MOST_BEFORE + 1) : number + 1]:
            if earlier.changed_after is not None:
                after = earlier.changed_after
                found.append(Wanted(target, condition, after - BEFORE_RELEASE, after))
    return found


class Curves:
    """The curves of one condition of one target."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        """Answer from these."""
        self._curves = curves
        self._past: dict[tuple[int, frozenset[str]], list[float]] = {}
        self._beside: dict[tuple[int, Pair], list[tuple[float, Beside]]] = {}

    def now(self, at: float, version: str | None, *, present: bool) -> Measurement | None:
        """The figure against its threshold at a moment; None where no curve reaches.

        `present` says whether the target was scraped then: an alert without figure is over only if it was.
        """
        curve = self._at(at)
        if curve is None:
            return None
        point = _point_before(curve, at)
        values = [
            value
            for series in curve.values
            if is_about(series.labels, curve.condition, version)
            and (value := _value_at(series, point, curve.step)) is not None
        ]
        if curve.condition.threshold == EXISTS:
            past = True if values else False if present else None
            return Measurement(next(iter(values), None), None, EXISTS, past)
        operator, threshold = _threshold(curve, at)
        return against(figures.worst(values, operator), operator, threshold)

    def since(self, at: float, but_not: Collection[str]) -> float | None:
        """When the condition's episode at a moment began, by the figures of all versions but these; None if none."""
        curve = self._at(at)
        if curve is None:
            return None
        past = self._moments_past(curve, frozenset(but_not))
        return start_of_episode(past[: bisect_right(past, at)], at, curve.step)

    def before(self, start: float, end: float, at: float, version: str) -> Measurement | None:
        """The median of a version's figure over a time, against the threshold at a later moment.

        Raises:
            SourceError: the condition has no figure.
        """
        over = next((each for each in self._curves if each.start == start and each.end == end), None)
        latest = self._at(at)
        if over is None or latest is None:
            return None
        operator, threshold = _threshold(latest, at)
        values = [
            value
            for series in over.values
            if is_about(series.labels, over.condition, version)
            for _, value in series.points
        ]
        return against(median(values) if values else None, operator, threshold)

    def shared(self, at: float, pair: Pair, presence: Sequence[Presence]) -> SharedFault | None:
        """What an older version had shown beside a release up to a moment; it may have ended since.

        Raises:
            SourceError: the annotation is no threshold.
        """
        curve = self._at(at)
        if curve is None:
            return None
        key = (id(curve), pair)
        if key not in self._beside:
            self._beside[key] = list(_beside(curve, pair, presence))
        known = self._beside[key]
        index = bisect_right(known, at, key=lambda each: each[0])
        return known[index - 1][1].fault if index else None

    def _at(self, at: float) -> Curve | None:
        """The longest curve that reaches a moment; the short ones are of the minutes before a release."""
        reaching = [each for each in self._curves if each.start <= at <= each.end + each.step]
        return max(reaching, key=lambda each: each.end - each.start, default=None)

    def _moments_past(self, curve: Curve, but_not: frozenset[str]) -> list[float]:
        known = self._past.get((id(curve), but_not))
        if known is None:
            points = [
                point
                for series in curve.values
                if series.labels.get(VERSION_LABEL) not in but_not
                for point in series.points
            ]
            if curve.condition.threshold == EXISTS:
                known = sorted(moment for moment, _ in points)
            else:
                known = sorted(moment for moment, value in points if _is_past(curve, moment, value))
            self._past[id(curve), but_not] = known
        return known


def alike(key: CurveKey, known: Mapping[CurveKey, Curves]) -> list[Curves]:
    """The curves of the same target's other figures that are about the same fault."""
    fault = key[1], key[2]
    return [
        curves
        for other, curves in known.items()
        if other != key and other[0] == key[0] and same_fault(fault, (other[1], other[2]))
    ]


def _beside(curve: Curve, pair: Pair, presence: Sequence[Presence]) -> Iterator[tuple[float, Beside]]:
    """What had been seen of both versions at every point of a curve."""
    condition, known = curve.condition, Beside()
    found = side_by_side.own_series(curve.values, condition)
    enough = side_by_side.versions_at(side_by_side.own_series(curve.comparable, condition))
    values = side_by_side.values_at(found)
    for at in sorted(values):
        scraped = {each.version for each in presence if each.start <= at <= each.end}
        limit: Limit = (EXISTS, None) if condition.threshold == EXISTS else _threshold(curve, at)
        reading = beside.reading_of(at, limit, values[at], pair, scraped)
        known = beside.follow_all(known, condition, [reading], pair.own, enough)
        yield at, known


def _is_past(curve: Curve, at: float, value: float) -> bool:
    operator, threshold = _threshold(curve, at)
    return threshold is not None and compare(value, operator, threshold)


def _threshold(curve: Curve, at: float) -> tuple[str, float | None]:
    """Operator and threshold at a moment: from history if it has the threshold, else as they are today.

    Raises:
        SourceError: the annotation is no threshold.
    """
    operator, expression = figures.split_threshold(curve.condition.alert, curve.condition.threshold)
    number = figures.number_in(expression)
    if number is not None:
        return operator, number
    samples = []
    for series in curve.thresholds:
        index = bisect_right(series.points, at, key=lambda point: point[0])
        if index and at - series.points[index - 1][0] <= THRESHOLD_LASTS:
            samples.append(Sample(series.labels, series.points[index - 1][1]))
    found = figures.threshold_for(samples, curve.condition.selector)
    return operator, curve.today if found is None else found


def _point_before(curve: Curve, at: float) -> float:
    """The last point of a curve's grid that is not after a moment."""
    return curve.start + curve.step * int((at - curve.start) / curve.step + 1e-6)


def _value_at(series: Series, at: float, step: float) -> float | None:
    """A series' value at a point of its grid; None where it has none."""
    index = bisect_right(series.points, at + step / 2, key=lambda point: point[0])
    if index and abs(series.points[index - 1][0] - at) < step / 2:
        return series.points[index - 1][1]
    return None
