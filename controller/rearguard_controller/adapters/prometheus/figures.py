"""Figures: the numbers that show whether a condition holds, since when, and whether it is over.

Here: from a trigger alert to its condition (the annotations `figure` and `threshold`, see docs/rules.md), and from
a condition to measurements by Prometheus: now, over a span of time, of one version or of all. Missing data is never
a number: it is a measurement whose `past` is None.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from statistics import median

from rearguard_controller.adapters.prometheus import (
    PrometheusAlert,
    Rules,
    clear_seconds,
    settle_seconds,
)
from rearguard_controller.adapters.prometheus.agreement import agreed
from rearguard_controller.adapters.prometheus.promql import presence
from rearguard_controller.adapters.prometheus.queryable import Asks, apart
from rearguard_controller.errors import SourceError
from rearguard_controller.model import (
    VERSION_LABEL,
    Condition,
    Labels,
    Measurement,
    Sample,
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


def condition_of(alert: PrometheusAlert, rules: Rules, selector: Labels) -> Condition | None:
    """What must hold for this alert, as its rule declares it.

    Args:
        alert: as Prometheus has it, annotations filled in.
        rules: Prometheus' rules, for alerts without a figure and for how far back a figure looks.
        selector: the telemetry labels of the target that the alert belongs to.

    Returns:
        The condition. Without a `figure` it is the rule's expression, which holds whenever it returns something. None
        if neither is known.
    """
    figure = alert.annotations.get("figure", "").strip()
    threshold = alert.annotations.get("threshold", "").strip()
    name = alert.labels.get("alertname", "")
    rule = next((rule for rule in rules.alerting if rule.name == name and is_subset(rule.labels, alert.labels)), None)
    clears = 0.0 if rule is None else clear_seconds(rule, rules, figure if _THRESHOLD.match(threshold) else "")
    if figure and _THRESHOLD.match(threshold):
        comparable = alert.annotations.get("comparable", "").strip()
        return Condition(name, figure, threshold, selector, settle_seconds(figure, rules), clears, comparable)
    if rule is None:
        return None
    return Condition(name, rule.query, EXISTS, selector, settle_seconds(rule.query, rules), clears)


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
        a threshold that returns nothing counts as not past only while an instance of the target is up.

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
    samples = _own(await prometheus.query(condition.figure), condition.selector, version, but_not)
    if condition.threshold == EXISTS:
        if samples:
            return Measurement(samples[0].value, None, EXISTS, past=True)
        seen = await _is_scraped(prometheus, condition, version, but_not)
        return Measurement(None, None, EXISTS, past=False if seen else None)
    operator, threshold = await threshold_of(prometheus, condition)
    return against(worst((sample.value for sample in samples), operator), operator, threshold)


async def _is_scraped(prometheus: Asks, condition: Condition, version: str | None, but_not: str | None) -> bool:
    """Whether an instance of the target is up by one Prometheus."""
    seen = _own(await prometheus.query(presence(condition.selector)), condition.selector, version, but_not)
    return any(each.value == 1 for each in seen)


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
    """The first threshold that belongs to this selector; None when there is none.

    A threshold without labels belongs to everybody. Any other must share a label with the selector and contradict
    none: one that has no label in common may be of any service.
    """
    wanted = normalised(selector)
    return next((sample.value for sample in samples if _shares(normalised(sample.labels), wanted)), None)


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
    found = await prometheus.query_range(condition.figure, start, end, step_between(start, end))
    return [
        point
        for series in found
        if is_own(series.labels, condition.selector, version) and series.labels.get(VERSION_LABEL) not in but_not
        for point in series.points
    ]


def step_between(start: float, end: float) -> float:
    """Seconds between the points of a range query over this time."""
    return max(FINEST_STEP, (end - start) / MOST_POINTS)


def _own(samples: Iterable[Sample], selector: Labels, version: str | None, but_not: str | None) -> list[Sample]:
    mine = [sample for sample in samples if is_own(sample.labels, selector, version)]
    return [sample for sample in mine if but_not is None or sample.labels.get(VERSION_LABEL) != but_not]


def is_own(labels: Labels, selector: Labels, version: str | None) -> bool:
    """Whether a figure with these labels is about the target with this selector, and this `service_version`."""
    if not labels:  # a bare number speaks for everyone
        return True
    right_version = version is None or labels.get(VERSION_LABEL, version) == version
    return right_version and is_subset(selector, labels)
