"""Connection pools as gauges, read at the moment of a scrape from whoever keeps them.

Reading a pool is a few attribute look-ups; nothing is asked of the database. Never here: drivers.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rearguard_exporter import metrics
from rearguard_exporter.instruments import clean
from rearguard_exporter.metrics import Family
from rearguard_exporter.quiet import report


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One pool now. None where the kind of pool does not know."""

    name: str
    idle: int | None = None
    used: int | None = None
    maximum: int | None = None  # also None where there is no limit
    pending: int | None = None


ReadPool = Callable[[], PoolFigures | None]
"""Reads a pool; None when it is gone."""


class Pools(Collector):
    """Every pool being measured."""

    def __init__(self) -> None:
        self._readers: dict[str, ReadPool] = {}
        self._claimed: weakref.WeakSet[object] = weakref.WeakSet()

    def claim(self, owner: object) -> bool:
        """Whether `owner` (an engine, a pool) is measured for the first time here; it is kept alive by nobody."""
        if owner in self._claimed:
            return False
        self._claimed.add(owner)
        return True

    def free_name(self, wanted: str) -> str:
        """`wanted`, or with a number when another pool has it: `orders`, `orders-2`, and so on."""
        name, number = wanted, 1
        while name in self._readers:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def has(self, name: str) -> bool:
        """Whether a pool of this name is measured: its failed connections are counted where they happen."""
        return name in self._readers

    def add(self, name: str, read: ReadPool) -> None:
        """Show this pool from now on."""
        self._readers[name] = read

    def read(self) -> list[PoolFigures]:
        """Every pool that still exists; those that are gone are forgotten."""
        alive: list[PoolFigures] = []
        for name, read in tuple(self._readers.items()):
            try:
                figures = read()
            except Exception:  # noqa: BLE001 - one odd pool must not cost the scrape
                report(f"pool {name}")
                continue
            if figures is None:
                self._readers.pop(name, None)
            else:
                alive.append(figures)
        return alive

    def shown(self) -> list[dict[str, object]]:
        """The pools for the dashboard."""
        return [asdict(figures) for figures in self.read()]

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Three gauges."""
        count = _gauge(metrics.POOL_COUNT)
        maximum = _gauge(metrics.POOL_MAX)
        pending = _gauge(metrics.POOL_PENDING)
        for pool in self.read():
            name = clean(pool.name)
            _add(count, (name, "idle"), pool.idle)
            _add(count, (name, "used"), pool.used)
            _add(maximum, (name,), pool.maximum)
            _add(pending, (name,), pool.pending)
        yield from (count, maximum, pending)


def _gauge(family: Family) -> GaugeMetricFamily:
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)


def _add(family: GaugeMetricFamily, labels: tuple[str, ...], value: int | None) -> None:
    if value is not None:
        family.add_metric(labels, value)
