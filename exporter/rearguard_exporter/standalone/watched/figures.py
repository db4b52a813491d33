"""The figures of all that is watched, as one collector: a family is written once, whoever has figures of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Protocol, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rearguard_exporter.families import Family, Kind

Figures: TypeAlias = Mapping[Family, Mapping[tuple[str, ...], float]]
"""For each family its values, by the values of its labels."""


class Watched(Protocol):
    """Something that is looked at."""

    @property
    def figures(self) -> Figures:
        """What the last look found. This only reads: nothing is asked."""


class WatchedCollector(Collector):
    """The figures of whatever `watched` returns at the moment."""

    def __init__(self, watched: Callable[[], Iterable[Watched]]) -> None:
        self._watched = watched

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family once, with the figures of all."""
        merged: dict[Family, dict[tuple[str, ...], float]] = {}
        for each in self._watched():
            for family, values in each.figures.items():
                merged.setdefault(family, {}).update(values)
        for family, values in merged.items():
            kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            for labels, value in values.items():
                metric.add_metric(labels, value)
            yield metric


class Value:
    """One value of a family, in the shape that checks of databases write to."""

    __slots__ = ("_labels", "_values")

    def __init__(self, values: MutableMapping[tuple[str, ...], float], labels: tuple[str, ...]) -> None:
        self._values = values
        self._labels = labels

    def set(self, value: float) -> None:
        """Make this the value."""
        self._values[self._labels] = value

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        self._values[self._labels] = self._values.get(self._labels, 0.0) + amount


class Values:
    """The values of one family, of one watched thing."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, ...], float] = {}

    def child(self, *labels: str) -> Value:
        """The value of these labels. Until it is set, it is 0 of a counter and absent of a gauge."""
        return Value(self.all, labels)
