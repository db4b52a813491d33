"""What a worker's `/metrics` shows of all workers: the newest generation's families, added up.

Here: which generation, families as collectors hand them out. Never here: text (exposition).
"""

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from sys import maxsize
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rearguard_exporter import families
from rearguard_exporter.families import FAMILIES, Family, Kind
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.counts import Counts, Key, Table, add_up
from rearguard_exporter.values.slots import Child, Slots, SlotsMetric
from rearguard_exporter.workers.definitions import Point, Published, joined
from rearguard_exporter.workers.folder import Look
from rearguard_exporter.workers.merging import Plan, Sums
from rearguard_exporter.workers.opened_file import OpenedFile
from rearguard_exporter.workers.store import WorkersStore

_ORDER = {family.name: number for number, family in enumerate(FAMILIES)}


@dataclass(slots=True)
class _Joined:
    """The values of one family at one moment. Its children keep their text from scrape to scrape."""

    family: Family
    constant: dict[str, str]
    began: dict[Key, float] | None
    width: int
    table: Table
    known: list[Child]

    def children(self) -> list[Child]:
        """Every child, once."""
        return self.known

    def tables(self) -> list[Table]:
        """One table, already added up."""
        return [self.table]


class Shown(Collector):
    """The families of all workers. `own` are the slots of this process, `publish` shares its other figures."""

    def __init__(self, store: WorkersStore, own: Iterable[Slots], publish: Callable[[], None]) -> None:
        self._store = store
        self._own = tuple(own)
        self._publish = publish
        self._plan = Plan()
        self._forms: dict[Family, Slots] = {}  # they hold the children
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """Replace the lock: the parent may have held it at the fork."""
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, as it is now."""
        with self._lock:
            made = list(self._collect())
        yield from made

    def _collect(self) -> Iterator[Metric]:
        self._publish()
        for slots in self._own:
            slots.keep_zeros()
        look = self._look()
        living = look.living()
        files = self._newest(look, living)
        identity = files[0].head.identity if files else self._store.identity()
        sums = self._plan.sums(files)
        if identity == self._store.identity():
            _add_unshared(sums, self._store.unshared)
        yield _target_info(identity)
        made = [self._slots_metric(family, counts, sums, identity) for family, counts in sums.counts.items()]
        made += [_metric(family, points) for family, points in sums.points.items() if points]
        made.append(_workers(living, identity))
        yield from sorted(made, key=lambda metric: _ORDER.get(_wire_name(metric), maxsize))

    def _look(self) -> Look:
        try:
            return self._store.look()
        except OSError as failure:
            self._store.tell(failure)
            return Look()

    def _newest(self, look: Look, living: list[OpenedFile]) -> list[OpenedFile]:
        """The files of the newest generation that lives, and its archive."""
        alive = [each.head.generation for each in living]
        if self._store.own is None:  # this process has no file: files of its identity are all that fits its own
            every, same = (*look.archives, *look.workers), self._store.identity()
            alive = [each.head.generation for each in every if each.head.identity == same]
        newest = max(alive, default=0)
        return [each for each in (*look.archives, *look.workers) if each.head.generation == newest]

    def _slots_metric(
        self, family: Family, counts: dict[Key, Counts], sums: Sums, identity: Mapping[str, Any]
    ) -> Metric:
        form = self._forms.get(family)
        if form is None:
            form = self._forms[family] = Slots(family, maxsize, identity["labels"])
        known = [form.child(*key) for key in counts]
        for slots in self._own:
            if slots.family == family:
                self._lend_exemplars(slots, known)
        table = {child.key: values for child, values in zip(known, counts.values(), strict=True)}
        began = {child.key: since for child, since in zip(known, sums.began[family].values(), strict=True)}
        return SlotsMetric(_Joined(family, form.constant, began, family.width, table, known))

    @staticmethod
    def _lend_exemplars(slots: Slots, known: list[Child]) -> None:
        own = slots.known()
        for child in known:
            mine = own.get(child.key)
            child.exemplars = mine.exemplars if mine is not None else None


def _add_unshared(sums: Sums, unshared: list[tuple[Family, Key, Counts]]) -> None:
    for family, key, counts in tuple(unshared):
        table = sums.counts.setdefault(family, {})
        before = table.get(key)
        if before is not None and family.width == 1:
            table[key] = array("d", (joined([before[0], counts[0]], family.joining),))
        else:
            table[key] = add_up([counts] if before is None else [before, counts], family.width)
        sums.began.setdefault(family, {}).setdefault(key, 0.0)


def _target_info(identity: Mapping[str, Any]) -> Metric:
    family = families.TARGET_INFO
    labels = dict(identity["labels"])
    info = GaugeMetricFamily(family.name, family.help, labels=[*labels, *family.labels])
    info.add_metric([*labels.values(), identity["service"], identity["version"], identity["environment"]], 1)
    return info


def _workers(living: list[OpenedFile], identity: Mapping[str, Any]) -> Metric:
    family = families.WORKERS
    gauge = GaugeMetricFamily(family.name, family.help, labels=[*identity["labels"], *family.labels])
    counted: dict[str, int] = {}
    for each in living:
        version = each.head.identity["version"]
        counted[version] = counted.get(version, 0) + 1
    for version, count in sorted(counted.items()):
        gauge.add_metric([*identity["labels"].values(), version], count)
    return gauge


def _metric(family: Published, points: Mapping[Point, float]) -> Metric:
    metric = Metric(family.name, family.help, family.type)
    for point, value in points.items():
        metric.add_sample(point.name, dict(point.labels), value)
    return metric


def _wire_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == Kind.COUNTER else metric.name
