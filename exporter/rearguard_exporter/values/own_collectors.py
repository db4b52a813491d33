"""Collectors of what is constant and of what the exporter itself costs, and how they are told from others."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from rearguard_exporter import families
from rearguard_exporter.families import Family
from rearguard_exporter.values.instruments import Instruments
from rearguard_exporter.values.label_values import clean


class Counted(Protocol):
    """A family whose series are limited."""

    family: Family
    folded: int

    def series(self) -> int:
        """How many series it holds."""


class OwnCost(Collector):
    """What the exporter itself costs: series held, values folded, seconds spent on rendering; and who was late."""

    def __init__(self, instruments: Instruments, *others: Counted) -> None:
        self.render_seconds: dict[str, float] = {}
        self.timeouts: dict[str, int] = {}  # of collectors of the application, by name
        self._counted: tuple[Counted, ...] = (*instruments.capped(), *others)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gauges and counters by family."""
        series, folded, render = families.EXPORTER_SERIES, families.EXPORTER_FOLDED, families.EXPORTER_RENDER
        held = GaugeMetricFamily(series.name, series.help, labels=series.labels)
        lost = CounterMetricFamily(folded.name, folded.help, labels=folded.labels)
        for capped in self._counted:
            held.add_metric((capped.family.name,), capped.series())
            lost.add_metric((capped.family.name,), capped.folded)
        yield held
        yield lost
        spent = GaugeMetricFamily(render.name, render.help, labels=render.labels)
        for name, seconds in tuple(self.render_seconds.items()):
            spent.add_metric((name,), seconds)
        yield spent
        timeouts = families.EXPORTER_TIMEOUTS
        late = CounterMetricFamily(timeouts.name, timeouts.help, labels=timeouts.labels)
        for name, count in tuple(self.timeouts.items()):
            late.add_metric((name,), count)
        yield late


class OwnRegistry:
    """Registers the exporter's collectors in a registry, and knows them from those of the application there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        """Register it.

        Raises:
            ValueError: another collector has one of its names.
        """
        self._registry.register(collector)
        self.collectors.append(collector)


class TargetInfo(Collector):
    """The constant `target_info`."""

    def __init__(self, values: tuple[str, str, str]) -> None:
        self._values = tuple(clean(value) for value in values)

    def describe(self) -> Iterable[Metric]:
        """The same as `collect`: it never changes."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """One gauge of value 1."""
        family = families.TARGET_INFO
        info = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        info.add_metric(self._values, 1)
        yield info
