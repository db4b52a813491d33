"""Every family that is observed as things happen, and the collectors of what is constant or the exporter's own.

Adapters observe through `Instruments` and nothing else, so the engine underneath can change without them.
Never here: names of metrics (metrics), how values are kept (slots), frameworks (adapters), text (render).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from rearguard_exporter import families
from rearguard_exporter.excluded_paths import Excluded
from rearguard_exporter.families import Family
from rearguard_exporter.values.exemplars import Exemplars
from rearguard_exporter.values.request_extras import Additions
from rearguard_exporter.values.slots import MAX_VALUE_LENGTH, Slots, clean
from rearguard_exporter.values.user_labels import Hook, RequestLabels

__all__ = ["LABEL_LIMIT", "MAX_VALUE_LENGTH", "Instruments", "Options", "OwnCost", "TargetInfo", "clean"]

LABEL_LIMIT = 20
"""Values that a label of a request hook may have before new ones fold into the overflow value."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may change about what is observed."""

    exemplars: bool | None = False  # None: while OpenTelemetry's SDK is loaded
    exclude: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # constant
    request_labels: Mapping[str, Hook] = field(default_factory=dict)
    label_limit: int = LABEL_LIMIT


class Instruments:
    """Every family that is observed as things happen, in one registry."""

    def __init__(self, registry: CollectorRegistry, limit: int, options: Options | None = None) -> None:
        told = options or Options()
        self.exemplars = Exemplars(told.exemplars)
        self.excluded = Excluded(told.exclude) if told.exclude else None
        self.request_labels: RequestLabels | None = None

        def slots(family: Family) -> Slots:
            made = Slots(family, limit, told.labels)
            registry.register(made)
            return made

        duration = families.HTTP_DURATION
        self.http_duration = slots(replace(duration, labels=(*duration.labels, *told.request_labels)))
        if told.request_labels:
            fold = self.http_duration.count_fold
            self.request_labels = RequestLabels(told.request_labels, told.label_limit, fold)
        self.http_active = slots(families.HTTP_ACTIVE)
        self.socket_active = slots(families.SOCKET_ACTIVE)
        self.socket_connections = slots(families.SOCKET_CONNECTIONS)
        self.socket_duration = slots(families.SOCKET_DURATION)
        self.socket_disconnects = slots(families.SOCKET_DISCONNECTS)
        self.socket_messages = slots(families.SOCKET_MESSAGES)
        self.db_duration = slots(families.DB_DURATION)
        self.pool_timeouts = slots(families.POOL_TIMEOUTS)
        self.pool_failures = slots(families.POOL_FAILURES)
        self.db_up = slots(families.DB_UP)
        self.loop_lag = slots(families.LOOP_LAG).child()

    def additions(self) -> Additions | None:
        """What is added to the observation of each request; None where there is nothing, as far as is known now."""
        if self.request_labels is None and not self.exemplars.on:
            return None
        return Additions(self.request_labels, self.exemplars)

    def capped(self) -> tuple[Slots, ...]:
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


class Counted(Protocol):
    """A family with a limit of series."""

    family: Family
    folded: int

    def series(self) -> int:
        """How many series it holds."""


class OwnCost(Collector):
    """What the exporter itself costs: series held, values folded, time spent on rendering."""

    def __init__(self, instruments: Instruments, *others: Counted) -> None:
        self.render_seconds: dict[str, float] = {}
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


class TargetInfo(Collector):
    """The constant `target_info`."""

    def __init__(self, values: tuple[str, str, str]) -> None:
        self._values = tuple(clean(value) for value in values)

    def describe(self) -> Iterable[Metric]:
        """What it collects: it never changes."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """One gauge of value 1."""
        family = families.TARGET_INFO
        info = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        info.add_metric(self._values, 1)
        yield info
