"""Figures: the numbers that show whether a condition holds, since when, and whether it is over.

Here: from a trigger alert to its condition (the annotations `figure` and `threshold`, see docs/rules.md), and from
a condition to measurements by Prometheus: now, over a span of time, of one version or of all. Missing data is never
a number: it is a measurement whose `past` is None.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from statistics import median

from rearguard_controller.adapters.prometheus.agreement import agreed
from rearguard_controller.adapters.prometheus.alert_rules import from_series, rules_of
from rearguard_controller.adapters.prometheus.answers import AlertingRule, PrometheusAlert, Rules
from rearguard_controller.adapters.prometheus.promql import (
    METRIC_NAME,
    agreeing,
    clear_seconds,
    presence,
    selector_text,
    settle_seconds,
)
from rearguard_controller.adapters.prometheus.queryable import Asks, apart
from rearguard_controller.errors import SourceError
from rearguard_controller.model import (
    VERSION_LABEL,
    Condition,
    Labels,
    Measurement,
    Sample,
    Target,
    agree,
    compare,
    is_subset,
    normalised,
)
from rearguard_controller.model.observations import EPISODE_GAP, EXISTS, last_episode

MOST_POINTS = 1000  # of a range query; Prometheus itself refuses more than 11,000
FINEST_STEP = 5.0  # seconds between the points of a range query
LOOK_BEFORE = 1800.0  # seconds before a rollback in which its fault is looked at
LONGEST_LOOK = 86400.0  # seconds that a range query looks back at most

_THRESHOLD = re.compile(r"^\s*(>=|<=|>|<)\s*(\S.*)$", re.DOTALL)


def condition_of(
    alert: PrometheusAlert, rules: Rules, target: Target, *, known: Sequence[AlertingRule] | None = None
) -> Condition | None:
    """What must hold for this alert, as its rule declares it.

    Args:
        alert: as Prometheus has it, annotations filled in.
        rules: Prometheus' rules, for alerts without a figure and for how far back a figure looks.
        target: the one that the alert belongs to.
        known: the rules that it comes from, where they are known already.

    Returns:
        The condition. Without a `figure` it is the rule's expression, which holds whenever it returns something; of
        several rules that the alert may come from, the expression of any. None if neither is known.
    """
    figure = alert.annotations.get("figure", "").strip()
    threshold = alert.annotations.get("threshold", "").strip()
    declared = bool(figure and _THRESHOLD.match(threshold))
    its = rules_of(alert.labels, rules) if known is None else known
    matches = [matcher for matcher in target.match if is_subset(matcher, alert.labels)]
    baseline = frozenset(alert.annotations.get("baseline", "").split()) if declared else frozenset()
    clears = max((clear_seconds(rule, rules, figure if declared else "", baseline) for rule in its), default=0.0)
    if declared:
        settle, labels = settle_seconds(figure, rules, baseline), next(iter(matches), None)
        comparable = alert.annotations.get("comparable", "").strip()
        return Condition(alert.name, figure, threshold, target.telemetry, settle, clears, comparable, labels)
    if not its:
        return None
    query = _any_of(list(dict.fromkeys(rule.query for rule in its)))
    labels = from_series(alert.labels, its, matches)
    return Condition(alert.name, query, EXISTS, target.telemetry, settle_seconds(query, rules), clears, labels=labels)


def _any_of(expressions: Sequence[str]) -> str:
    """An expression that returns something when any of these does; a comment at the end of one ends there."""
    return expressions[0] if len(expressions) == 1 else " or ".join(f"({each}\n)" for each in expressions)


async def measure(
    prometheus: Asks, condition: Condition, *, version: str | None = None, but_not: str | None = None
) -> Measurement:
    """The condition's figure against its threshold now.

    Args:
        prometheus: who is asked.
        condition: whose figure.
        version: only this `service_version`; samples without that label speak for every version.
        but_not: no sample of this `service_version`.

    Returns:
        The worst value found and whether it is past the threshold; `past` is None without data. An expression without
        a threshold that returns nothing counts as not past only while an instance of the target is up, and while the
        job that the alert names is scraped.

    Raises:
        SourceError: Prometheus gave no usable answer, or its replicas disagree.
    """
    replicas = apart(prometheus)
    if len(replicas) == 1:
        return await _measured(replicas[0], condition, version, but_not)
    return await agreed(
        replicas,
        lambda one: _measured(one, condition, version, but_not),
        lambda one: _is_scraped(one, condition, version, but_not),
    )


async def _measured(prometheus: Asks, condition: Condition, version: str | None, but_not: str | None) -> Measurement:
    """What `measure` returns, by one Prometheus."""
    found = await prometheus.query(condition.figure)
    samples = [each for each in found if is_about(each.labels, condition, version) and _may_count(each, but_not)]
    if condition.threshold == EXISTS:
        if samples:
            return Measurement(samples[0].value, None, EXISTS, past=True)
        seen = await _is_scraped(prometheus, condition, version, but_not)
        return Measurement(None, None, EXISTS, past=False if seen else None)
    operator, threshold = await threshold_of(prometheus, condition)
    return against(worst((sample.value for sample in samples), operator), operator, threshold)


async def _is_scraped(prometheus: Asks, condition: Condition, version: str | None, but_not: str | None) -> bool:
    """Whether an instance of the target is up by one Prometheus; without a figure also its alert's job."""
    seen = _own(await prometheus.query(presence(condition.selector)), condition.selector, version, but_not)
    present = [each for each in seen if each.value == 1]
    if condition.threshold != EXISTS or not present:
        return bool(present)
    return await _source_is_scraped(prometheus, condition, present)


async def threshold_of(prometheus: Asks, condition: Condition) -> tuple[str, float | None]:
    """The operator and present value of a condition's threshold; None when Prometheus has none for the target."""
    operator, expression = split_threshold(condition.alert, condition.threshold)
    number = number_in(expression)
    if number is not None:
        return operator, number
    return operator, threshold_for(await prometheus.query(expression), condition.selector)


async def median_over(
    prometheus: Asks, condition: Condition, start: float, end: float, *, version: str | None
) -> Measurement:
    """The median of the condition's figure between two moments, of one version, against the threshold of now.

    The median, because a few bad moments, such as a restart, decide a mean.

    Raises:
        SourceError: Prometheus gave no usable answer, or its replicas disagree.
    """
    replicas = apart(prometheus)
    if len(replicas) > 1:
        return await agreed(replicas, lambda one: median_over(one, condition, start, end, version=version))
    prometheus = replicas[0]
    operator, threshold = await threshold_of(prometheus, condition)
    values = [value for _, value in await _points(prometheus, condition, start, end, version)]
    return against(median(values) if values else None, operator, threshold)


async def readings_before(
    prometheus: Asks, condition: Condition, end: float, *, version: str | None
) -> tuple[str, float | None, list[tuple[float, float]]]:
    """The operator and threshold of now, and the worst value of each moment in the half hour up to `end`.

    Of one version, or of all. An alert without a figure has no values.

    Raises:
        SourceError: Prometheus gave no usable answer.
    """
    if condition.threshold == EXISTS:
        return EXISTS, None, []
    operator, threshold = await threshold_of(prometheus, condition)
    at_moment: dict[float, list[float]] = {}
    for moment, value in await _points(prometheus, condition, end - LOOK_BEFORE, end, version):
        at_moment.setdefault(moment, []).append(value)
    found = [(moment, worst(values, operator)) for moment, values in sorted(at_moment.items())]
    return operator, threshold, [(moment, value) for moment, value in found if value is not None]


async def episode_start(
    prometheus: Asks, condition: Condition, since: float, now: float, *, but_not: Collection[str] = ()
) -> float | None:
    """When the condition's present episode began, by the figures of all versions except `but_not`.

    An episode ends when the condition did not hold for more than `EPISODE_GAP` seconds. If the time is so long that
    its points lie further apart than that, it ends after more than two points.

    Returns:
        The first moment, at or after `since`, of the episode that reaches up to now; None if the condition has not
        held lately.
    """
    if condition.threshold == EXISTS:
        moments = [moment for moment, _ in await _points(prometheus, condition, since, now, None, but_not)]
    else:
        operator, threshold = await threshold_of(prometheus, condition)
        points = await _points(prometheus, condition, since, now, None, but_not)
        moments = [
            moment for moment, value in points if threshold is not None and compare(value, operator, threshold)
        ]
    return start_of_episode(moments, now, step_between(since, now))


# --- on values that are known: the same for the present and for history --------------------------------------


def against(value: float | None, operator: str, threshold: float | None) -> Measurement:
    """A value against a threshold; `past` is None when one of them is not known."""
    past = None if value is None or threshold is None else compare(value, operator, threshold)
    return Measurement(value, threshold, operator, past)


def start_of_episode(moments: Iterable[float], now: float, step: float) -> float | None:
    """The first of the moments at which a condition held without a gap up to now (see `episode_start`).

    Args:
        moments: when it held, in any order.
        now: what the episode must reach up to.
        step: seconds between two moments at which it was looked for.
    """
    gap = max(EPISODE_GAP, 2 * step)
    known = list(moments)
    return None if not known or now - max(known) > gap else last_episode(known, gap)


def worst(values: Iterable[float], operator: str) -> float | None:
    """The value furthest past a threshold with this operator, or else nearest to it; None without values."""
    return (max if operator in (">", ">=") else min)(values, default=None)


def split_threshold(alert: str, threshold: str) -> tuple[str, str]:
    """The operator and the PromQL of an annotation `threshold`; `SourceError` when it is none."""
    found = _THRESHOLD.match(threshold)
    if found is None:
        raise SourceError(
            f"The threshold of {alert} is {threshold!r}.",
            hint="The annotation `threshold` is an operator (> >= < <=) and PromQL, such as `> vector(0.1)`.",
        )
    return found[1], found[2]


def number_in(expression: str) -> float | None:
    """The number, if the expression is just a number; else None."""
    try:
        return float(expression)
    except ValueError:
        return None


def threshold_for(samples: Iterable[Sample], selector: Labels) -> float | None:
    """The threshold that belongs to this selector, of several the one that shares most labels; None: there is none.

    A threshold without labels belongs to everybody. Any other must share a label with the selector and contradict
    none: one that has no label in common may be of any service.
    """
    wanted = normalised(selector)
    known = [(normalised(sample.labels), sample.value) for sample in samples]
    mine = [(len(labels.keys() & wanted.keys()), value) for labels, value in known if _shares(labels, wanted)]
    return max(mine, key=lambda each: each[0])[1] if mine else None


def _shares(labels: Labels, wanted: Labels) -> bool:
    shared = labels.keys() & wanted.keys()
    return not labels or (bool(shared) and all(labels[name] == wanted[name] for name in shared))


async def _points(
    prometheus: Asks,
    condition: Condition,
    start: float,
    end: float,
    version: str | None,
    but_not: Collection[str] = (),
) -> list[tuple[float, float]]:
    asked = of_target(condition.figure, condition)
    found = await prometheus.query_range(asked, start, end, step_between(start, end))
    return [
        point
        for series in found
        if is_about(series.labels, condition, version) and series.labels.get(VERSION_LABEL) not in but_not
        for point in series.points
    ]


def of_target(figure: str, condition: Condition) -> str:
    """PromQL of those series of a figure that may be about a condition's target: all that do not contradict it.

    Over a span of time a plain name would bring every point of every service. Anything else is asked as it is
    written: where its labels come from cannot be told.
    """
    if not METRIC_NAME.fullmatch(figure) or condition.threshold == EXISTS:
        return figure
    return figure + agreeing(condition.selector)


def step_between(start: float, end: float) -> float:
    """Seconds between the points of a range query over this time."""
    return max(FINEST_STEP, (end - start) / MOST_POINTS)


def _own(samples: Iterable[Sample], selector: Labels, version: str | None, but_not: str | None) -> list[Sample]:
    return [each for each in samples if is_own(each.labels, selector, version) and _may_count(each, but_not)]


def _may_count(sample: Sample, but_not: str | None) -> bool:
    return but_not is None or sample.labels.get(VERSION_LABEL) != but_not


async def _source_is_scraped(prometheus: Asks, condition: Condition, present: Iterable[Sample]) -> bool:
    """Whether the job that an alert names is scraped now: else its expression returns nothing for want of data.

    Args:
        prometheus: who is asked.
        condition: without a figure.
        present: the instances of the target that are up; what is of their job needs no question.
    """
    job = (condition.labels or {}).get("job")
    if job is None or any(each.labels.get("job", job) == job for each in present):
        return True
    return any(each.value == 1 for each in await prometheus.query(f"up{selector_text({'job': job})}"))


def is_about(labels: Labels, condition: Condition, version: str | None) -> bool:
    """Whether a value with these labels counts for a condition, and for this `service_version`.

    A figure's counts if it carries the target's telemetry labels. If it does not contradict them, the map of `match`
    by which the alert belongs to the target will do: not all metrics wear the same labels.
    A value of a rule's expression counts unless it contradicts the labels that the alert has from it. If it does, it
    is about something else. Whether it carries telemetry labels does not matter.
    """
    mine = condition.labels
    if mine is None or not labels:
        return is_own(labels, condition.selector, version)
    if version is not None and labels.get(VERSION_LABEL, version) != version:
        return False
    if condition.threshold == EXISTS:
        return agree(mine, labels)
    return is_subset(condition.selector, labels) or (is_subset(mine, labels) and agree(condition.selector, labels))


def is_own(labels: Labels, selector: Labels, version: str | None) -> bool:
    """Whether a figure with these labels is about the target with this selector, and this `service_version`."""
    if not labels:  # a bare number speaks for everyone
        return True
    right_version = version is None or labels.get(VERSION_LABEL, version) == version
    return right_version and is_subset(selector, labels)
