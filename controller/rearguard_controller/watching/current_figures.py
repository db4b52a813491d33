"""The figures of all trigger rules at this moment, for the dashboard: one query for each figure, not for each target.

Here: the readings, and which of them belong to a target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from rearguard_controller.adapters.prometheus import AlertingRule
from rearguard_controller.adapters.prometheus.figures import (
    _THRESHOLD,
    _own,
    number_in,
    split_threshold,
    threshold_for,
)
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Labels, Sample, compare

MOST_INDEXED = 6  # labels of a selector: each doubles what is looked up


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a figure for the dashboard."""

    alert: str
    version: str | None  # the service_version it was measured for; None where it speaks for all
    value: float
    operator: str
    threshold: float | None
    past: bool | None
    figure: str = field(default="", compare=False)  # as PromQL
    limit: str = field(default="", compare=False)  # what it is compared with, as PromQL


@dataclass(frozen=True, slots=True)
class Row:
    """All values of one figure and of its threshold, of every service, at one moment."""

    alert: str
    operator: str
    values: tuple[Sample, ...]
    thresholds: tuple[Sample, ...]
    limit: str = ""  # PromQL of the thresholds
    figure: str = ""  # and of the values
    _found: dict[object, dict[tuple[str | None, ...], list[int]]] = field(default_factory=dict, compare=False)

    def values_near(self, selector: Labels) -> list[Sample]:
        """The values that may belong to a target; the others have other values for its labels."""
        return self._near("values", self.values, selector)

    def thresholds_near(self, selector: Labels) -> list[Sample]:
        """The thresholds that may belong to a target, in their order."""
        return self._near("thresholds", self.thresholds, selector)

    def _near(self, which: str, samples: tuple[Sample, ...], selector: Labels) -> list[Sample]:
        """Found by an index over the selector's labels, so that nobody looks through the samples of all targets."""
        names = tuple(sorted(selector))
        index = self._found.get((which, names))
        if index is None:
            index = self._found[which, names] = {}
            for number, sample in enumerate(samples):
                index.setdefault(tuple(sample.labels.get(name) for name in names), []).append(number)
        patterns = product(*((selector[name], None) for name in names)) if len(names) <= MOST_INDEXED else index
        return [samples[number] for number in sorted(n for key in patterns for n in index.get(key, ()))]


Key = tuple[str, str]  # the annotations `figure` and `threshold` of a rule
Table = Mapping[Key, Row]


def keys_of(rules: Iterable[AlertingRule]) -> list[Key]:
    """The (figure, threshold) pairs that alerting rules declare, in their order."""
    pairs = [(rule.annotations.get("figure", ""), rule.annotations.get("threshold", "")) for rule in rules]
    return [(figure, threshold) for figure, threshold in pairs if figure and _THRESHOLD.match(threshold)]


async def tabulate(prometheus: Asks, rules: Sequence[AlertingRule]) -> Table:
    """Every figure that alerting rules name, asked once for all targets; without those that gave no usable answer."""
    keys = list(dict.fromkeys(keys_of(rules)))
    rows = await asyncio.gather(*(_row_or_none(prometheus, key, rules) for key in keys))
    return {key: row for key, row in zip(keys, rows, strict=True) if row is not None}


async def _row_or_none(prometheus: Asks, key: Key, rules: Sequence[AlertingRule]) -> Row | None:
    try:
        return await row(prometheus, key, rules)
    except SourceError:
        return None


def rows_of(table: Table, rules: Iterable[AlertingRule]) -> list[Row]:
    """The rows of the figures that these rules name, in the order of the rules."""
    return [table[key] for key in dict.fromkeys(keys_of(rules)) if key in table]


async def row(prometheus: Asks, key: Key, rules: Iterable[AlertingRule]) -> Row:
    """Ask for one (figure, threshold) pair, once for all targets.

    Raises:
        SourceError: Prometheus gave no usable answer.
    """
    figure, threshold = key
    name = next((rule.name for rule in rules if rule.annotations.get("figure") == figure), "")
    operator, expression = split_threshold(name, threshold)
    values = await prometheus.query(figure)
    number = number_in(expression)
    limits = await prometheus.query(expression) if number is None else (Sample({}, number),)
    return Row(name, operator, tuple(values), tuple(limits), expression, figure)


def threshold_in(row: Row, selector: Labels) -> float | None:
    """A target's threshold in a row; None when Prometheus has none for it."""
    return threshold_for(row.thresholds_near(selector), selector)


def readings(row: Row, selector: Labels) -> list[Reading]:
    """A target's values in a row, one for each version with data."""
    threshold = threshold_in(row, selector)
    return [
        Reading(
            alert=row.alert,
            version=sample.labels.get(VERSION_LABEL),
            value=sample.value,
            operator=row.operator,
            threshold=threshold,
            past=None if threshold is None else compare(sample.value, row.operator, threshold),
            figure=row.figure,
            limit=row.limit,
        )
        for sample in _own(row.values_near(selector), selector, None, None)
    ]
