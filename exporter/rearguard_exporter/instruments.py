"""Where values are kept: one official prometheus-client object per family, its children cached and capped.

Adapters observe through `Instruments` and nothing else, so the engine underneath can change without them.
Never here: names of metrics (metrics), frameworks (adapters), text (render).
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from rearguard_exporter import metrics
from rearguard_exporter.metrics import OVERFLOW, Family

MAX_VALUE_LENGTH = 200
"""Characters a label value may have; what is longer is cut."""

Child = TypeVar("Child", Counter, Gauge, Histogram)


def clean(value: str) -> str:
    """The value as every parser takes it: valid UTF-8, no NUL (Prometheus' lexer ends there), bounded length."""
    if len(value) > MAX_VALUE_LENGTH:
        value = value[:MAX_VALUE_LENGTH]
    if value.isascii() and "\0" not in value:
        return value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _keep(value: str) -> str:
    return value


def _status_class(value: str) -> str:
    return f"{value[:1]}xx" if value else value  # 5xx still matches the usual "5.."


def _whether(value: str) -> str:
    return OVERFLOW if value else value  # that there was an error must survive, which one need not


def _overflow(_: str) -> str:
    return OVERFLOW


# How a value folds once its family is full. A label that is not listed becomes OVERFLOW; those listed have few
# values, so the folded series are few as well.
_FOLDS: Mapping[str, Callable[[str], str]] = {
    "http_request_method": _keep,
    "http_response_status_code": _status_class,
    "error_type": _whether,
    "reason": _keep,
    "network_io_direction": _keep,
    "db_client_connection_state": _keep,
    "db_system_name": _keep,
}


class Capped(Generic[Child]):
    """A labelled family whose children are looked up by their values, at most `limit` of them unfolded."""

    def __init__(self, family: Family, metric: Child, limit: int) -> None:
        self.family = family
        self.folded = 0
        self._metric: Child = metric
        self._limit = limit
        self._children: dict[tuple[str, ...], Child] = {}
        self._folds: dict[tuple[str, ...], Child] = {}
        self._lock = threading.Lock()

    def child(self, *values: str) -> Child:
        """The child of these label values (in the family's order), or the one that stands for the overflow."""
        found = self._children.get(values)
        return found if found is not None else self._make(values)

    def known(self) -> Mapping[tuple[str, ...], Child]:
        """Every child that exists, by its label values; a copy."""
        with self._lock:
            return {**self._children, **self._folds}

    def series(self) -> int:
        """How many series this family holds."""
        return (len(self._children) + len(self._folds)) * self.family.lines

    def _make(self, values: tuple[str, ...]) -> Child:
        with self._lock:
            found = self._children.get(values)
            if found is not None:
                return found
            if len(self._children) < self._limit:
                made = self._metric.labels(*(clean(value) for value in values))
                self._children[values] = made
                return made
            self.folded += 1
            pairs = zip(self.family.labels, values, strict=True)
            folded = tuple(_FOLDS.get(label, _overflow)(value) for label, value in pairs)
            if folded not in self._folds:
                self._folds[folded] = self._metric.labels(*(clean(value) for value in folded))
            return self._folds[folded]


class Instruments:
    """Every family that is observed as things happen, in one registry."""

    def __init__(self, registry: CollectorRegistry, limit: int) -> None:
        def counter(family: Family) -> Capped[Counter]:
            made = Counter(family.name, family.help, family.labels, registry=registry)
            return Capped(family, made, limit)

        def gauge(family: Family) -> Capped[Gauge]:
            made = Gauge(family.name, family.help, family.labels, registry=registry)
            return Capped(family, made, limit)

        def histogram(family: Family) -> Capped[Histogram]:
            made = Histogram(family.name, family.help, family.labels, registry=registry, buckets=family.bounds)
            return Capped(family, made, limit)

        self.http_duration = histogram(metrics.HTTP_DURATION)
        self.http_active = gauge(metrics.HTTP_ACTIVE)
        self.socket_active = gauge(metrics.SOCKET_ACTIVE)
        self.socket_connections = counter(metrics.SOCKET_CONNECTIONS)
        self.socket_duration = histogram(metrics.SOCKET_DURATION)
        self.socket_disconnects = counter(metrics.SOCKET_DISCONNECTS)
        self.socket_messages = counter(metrics.SOCKET_MESSAGES)
        self.db_duration = histogram(metrics.DB_DURATION)
        self.pool_timeouts = counter(metrics.POOL_TIMEOUTS)
        self.pool_failures = counter(metrics.POOL_FAILURES)
        self.db_up = gauge(metrics.DB_UP)
        lag = metrics.LOOP_LAG
        self.loop_lag = Histogram(lag.name, lag.help, registry=registry, buckets=lag.bounds)

    def capped(self) -> tuple[Capped[Counter] | Capped[Gauge] | Capped[Histogram], ...]:
        """The labelled families."""
        return (
            self.http_duration,
            self.http_active,
            self.socket_active,
            self.socket_connections,
            self.socket_duration,
            self.socket_disconnects,
            self.socket_messages,
            self.db_duration,
            self.pool_timeouts,
            self.pool_failures,
            self.db_up,
        )


class OwnCost(Collector):
    """What the exporter itself costs: series held, values folded, time spent on rendering."""

    def __init__(self, instruments: Instruments) -> None:
        self.render_seconds: dict[str, float] = {}
        self._instruments = instruments

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gauges and counters by family."""
        series, folded, render = metrics.EXPORTER_SERIES, metrics.EXPORTER_FOLDED, metrics.EXPORTER_RENDER
        held = GaugeMetricFamily(series.name, series.help, labels=series.labels)
        lost = CounterMetricFamily(folded.name, folded.help, labels=folded.labels)
        for capped in self._instruments.capped():
            held.add_metric((capped.family.name,), capped.series())
            lost.add_metric((capped.family.name,), capped.folded)
        yield held
        yield lost
        spent = GaugeMetricFamily(render.name, render.help, labels=render.labels)
        for name, seconds in tuple(self.render_seconds.items()):
            spent.add_metric((name,), seconds)
        yield spent


class TargetInfo(Collector):
    """The constant `target_info`."""

    def __init__(self, values: tuple[str, str, str]) -> None:
        self._values = tuple(clean(value) for value in values)

    def describe(self) -> Iterable[Metric]:
        """What it collects: it never changes."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """One gauge of value 1."""
        family = metrics.TARGET_INFO
        info = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        info.add_metric(self._values, 1)
        yield info
