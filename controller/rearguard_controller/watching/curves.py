"""What is drawn over time: figures of a target, the figure and limit of a rollback's condition, alerts that fired.

Here: the questions, and which series of an answer belong to whom.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from rearguard_controller.adapters.prometheus import Series, promql
from rearguard_controller.adapters.prometheus.figures import (
    is_about,
    number_in,
    of_target,
    split_threshold,
    threshold_for,
)
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.model import Condition, Labels, Sample, Target
from rearguard_controller.model.observations import EXISTS

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Limited:
    """A condition's figure over time, one series for each version, beside its limit; `limit` may have no points."""

    values: tuple[Series, ...]
    operator: str
    limit: Points


@dataclass(frozen=True, slots=True)
class Curves:
    """Asks Prometheus for a stretch of time; every method raises SourceError where it gives no usable answer."""

    prometheus: Asks

    async def of_condition(self, condition: Condition, start: float, end: float, step: float) -> Limited:
        """The figure of a condition, and what it was compared with."""
        about = partial(is_about, condition=condition, version=None)
        figure = of_target(condition.figure, condition)
        values = await self.prometheus.query_range(figure, start, end, step, about)
        if condition.threshold == EXISTS:
            return Limited(values, EXISTS, ())
        operator, expression = split_threshold(condition.alert, condition.threshold)
        number = number_in(expression)
        if number is not None:
            return Limited(values, operator, ((start, number), (end, number)))
        found = await self.prometheus.query_range(expression, start, end, step)
        return Limited(values, operator, _limit(found, condition.selector))

    async def of_alerts(self, target: Target, start: float, end: float, step: float) -> tuple[Series, ...]:
        """The alerts of a target that fired, a point for each moment at which one did."""
        each = (promql.selector_text({"alertstate": "firing", **matcher}) for matcher in target.match)
        question = " or ".join(f"ALERTS{selector}" for selector in each)
        return await self.prometheus.query_range(question, start, end, step, target.owns)


def _limit(found: Iterable[Series], selector: Labels) -> Points:
    """At each moment the threshold that belongs to this selector."""
    at_moment: dict[float, list[Sample]] = {}
    for series in found:
        for at, value in series.points:
            at_moment.setdefault(at, []).append(Sample(series.labels, value))
    known = ((at, threshold_for(samples, selector)) for at, samples in sorted(at_moment.items()))
    return tuple((at, value) for at, value in known if value is not None)
