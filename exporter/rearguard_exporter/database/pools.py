"""Connection pools as gauges, read at each scrape.

Reading a pool takes a few attribute look-ups; the database is not asked.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rearguard_exporter import families
from rearguard_exporter.families import OVERFLOW, Family
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.label_values import MAX_VALUE_LENGTH, clean


class PoolFigures(NamedTuple):
    """One pool at this moment. A figure is None if this kind of pool does not know it."""

    name: str
    idle: int | None = None
    used: int | None = None
    maximum: int | None = None  # also None if there is no limit
    pending: int | None = None


ReadPool = Callable[[], PoolFigures | None]
"""Reads a pool; returns None once the pool is gone."""


_NAME_LENGTH = MAX_VALUE_LENGTH - 10  # with room for the number of a name that is taken


class Pools(Collector):
    """Every pool that is measured. Those beyond `limit` are shown as one."""

    def __init__(self, limit: int) -> None:
        self.family = families.POOL_COUNT
        self.folded = 0
        self._limit = limit
        self._readers: dict[str, ReadPool] = {}
        self._resting: dict[str, Callable[[], bool]] = {}
        self._claimed: weakref.WeakSet[object] = weakref.WeakSet()

    def claim(self, owner: object) -> bool:
        """True the first time that `owner` (an engine, a pool) is passed. It is not kept alive by this."""
        if owner in self._claimed:
            return False
        self._claimed.add(owner)
        return True

    def free_name(self, wanted: str) -> str:
        """A name for a new pool: `orders`, or `orders-2` and so on while pools in use have that name."""
        self.read()  # forgets those that are gone
        wanted = clean(wanted)[:_NAME_LENGTH]
        name, number = wanted, 1
        while name in self._readers and not self._is_resting(name):
            number += 1
            name = f"{wanted}-{number}"
        return name

    def has(self, name: str) -> bool:
        """Whether a pool of this name is measured. If so, its adapter counts the failed connections."""
        return name in self._readers

    def add(self, name: str, read: ReadPool, is_resting: Callable[[], bool] | None = None) -> None:
        """Show this pool from now on. While `is_resting()` is true, another pool may take its name and place."""
        self._readers[name] = read
        self._resting.pop(name, None)
        if is_resting is not None:
            self._resting[name] = is_resting

    def _is_resting(self, name: str) -> bool:
        is_resting = self._resting.get(name)
        return is_resting is not None and is_resting()

    def read(self) -> list[PoolFigures]:
        """Every pool that still exists. Pools that are gone are forgotten."""
        alive: list[PoolFigures] = []
        for name, read in tuple(self._readers.items()):
            try:
                figures = read()
            except Exception:  # noqa: BLE001 - one odd pool must not cost the scrape
                report(f"pool {name}")
                continue
            if figures is None:
                self._readers.pop(name, None)
                self._resting.pop(name, None)
            else:
                alive.append(figures)
        return alive

    def shown(self) -> list[dict[str, object]]:
        """The pools, as the dashboard shows them."""
        return [figures._asdict() for figures in self.read()]

    def series(self) -> int:
        """How many series of `family` there are at most: two for each pool."""
        return 2 * min(len(self._readers), self._limit + 1)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Three gauges. Pools beyond the limit are added up, if all of them know the figure."""
        count = _gauge(families.POOL_COUNT)
        maximum = _gauge(families.POOL_MAX)
        pending = _gauge(families.POOL_PENDING)
        pools = self.read()
        shown, beyond = pools[: self._limit], pools[self._limit :]
        if beyond:
            self.folded += len(beyond)
            shown.append(_sum(beyond))
        for pool in shown:
            _add(count, (pool.name, "idle"), pool.idle)
            _add(count, (pool.name, "used"), pool.used)
            _add(maximum, (pool.name,), pool.maximum)
            _add(pending, (pool.name,), pool.pending)
        yield from (count, maximum, pending)


def _sum(pools: list[PoolFigures]) -> PoolFigures:
    def total(values: list[int | None]) -> int | None:
        return None if None in values else sum(value for value in values if value is not None)

    return PoolFigures(
        OVERFLOW,
        total([pool.idle for pool in pools]),
        total([pool.used for pool in pools]),
        total([pool.maximum for pool in pools]),
        total([pool.pending for pool in pools]),
    )


def _gauge(family: Family) -> GaugeMetricFamily:
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)


def _add(family: GaugeMetricFamily, labels: tuple[str, ...], value: int | None) -> None:
    if value is not None:
        family.add_metric(labels, value)
