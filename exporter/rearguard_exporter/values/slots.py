"""Where values are kept: for each family a table of key -> counts, one table a thread, added up when they are read.

An observation is one look-up in the thread's own table and list arithmetic: only that thread writes there, so
nothing is locked and nothing is lost. The table of a thread that ended is folded into the past. At most `limit` keys
of a family are kept as they are; what comes after folds into few.
Never here: names of metrics (metrics), which families there are (instruments), exposition formats (render).
"""

import threading
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from rearguard_exporter.families import OVERFLOW, Family, Kind, written_number
from rearguard_exporter.fork_safety import tell_after_fork

MAX_VALUE_LENGTH = 200
"""Characters a label value may have; what is longer is cut."""

Key = tuple[str, ...]
"""Label values in the order of the family's labels."""

Counts: TypeAlias = "array[float]"
"""A histogram's buckets (not cumulated, the last is +Inf) and its sum; of other kinds the one value."""

Table: TypeAlias = "dict[Key, array[float]]"
"""What one thread counted."""

_FOLD_AFTER = 32  # threads more than live ones before those that ended are folded without a scrape


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


class _Owner:
    """Lives as long as its thread does."""

    __slots__ = ("__weakref__",)


class _Mine(threading.local):
    """The table of the thread that asks; made, and made known, when a thread asks first."""

    def __init__(self, join: Callable[[_Owner, Table], None]) -> None:
        self.table: Table = {}
        self.owner = _Owner()
        join(self.owner, self.table)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation that can be looked up elsewhere."""

    labels: str  # as OpenMetrics writes them, without braces
    value: float
    at: float  # Unix time


class Child:
    """One set of label values of a family; a handle for those who observe it again and again."""

    __slots__ = ("exemplars", "key", "labels", "slots", "written")

    def __init__(self, slots: "Slots", key: Key) -> None:
        self.slots = slots
        self.key = key
        self.labels: str | None = None  # as both formats escape them, made when first written (text)
        self.written: tuple[bytes, str] | None = None  # what was written last, and its lines (text)
        self.exemplars: dict[int, Exemplar] | None = None  # by bucket; made with the first one

    def inc(self) -> None:
        """One more."""
        self.slots.mine(self)[0] += 1.0

    def dec(self) -> None:
        """One less, of a gauge."""
        self.slots.mine(self)[0] -= 1.0

    def set(self, value: float) -> None:
        """The gauge is `value` now, whatever any thread wrote before."""
        self.slots.put(self, value)

    def observe(self, value: float) -> None:
        """Count `value` in the histogram."""
        counts = self.slots.mine(self)
        counts[bisect_left(self.slots.family.bounds, value)] += 1.0
        counts[-1] += value

    def keep(self, bucket: int, exemplar: Exemplar) -> None:
        """Show this exemplar with this bucket, instead of the one before."""
        if self.exemplars is None:
            self.exemplars = {}
        self.exemplars[bucket] = exemplar

    def counts(self) -> Counts:
        """What all threads counted."""
        return add_up(tables_of(self.slots.tables(), self.key), self.slots.width)

    def collect(self) -> Iterable[Metric]:
        """The family with this child alone."""
        family = self.slots.family
        metric = Metric(_base(family), family.help, family.kind.value)
        metric.samples = list(_samples(self.slots, self.key, self.counts()))
        return (metric,)


class SlotsMetric(Metric):
    """A family as the official encoders want it; the samples are made when they are read, and ours does not."""

    def __init__(self, slots: "Slots") -> None:
        self.slots: Slots | None = None
        super().__init__(_base(slots.family), slots.family.help, slots.family.kind.value)
        self.slots = slots

    @property
    def samples(self) -> list[Sample]:
        """Every sample now."""
        slots = self.slots
        if slots is None:
            return []
        tables = slots.tables()
        return [
            sample
            for child in slots.children()
            for sample in _samples(slots, child.key, add_up(tables_of(tables, child.key), slots.width))
        ]

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        """Nothing: they are made when they are read."""


class Slots(Collector):
    """The values of one family, at most `limit` sets of label values of it unfolded."""

    def __init__(self, family: Family, limit: int, constant: Mapping[str, str] | None = None) -> None:
        self.family = family
        self.constant = dict(constant or {})  # labels of every child
        self.folded = 0
        self.width = len(family.bounds) + 2 if family.kind is Kind.HISTOGRAM else 1
        self._bounds = family.bounds
        self._limit = limit
        self._children: dict[Key, Child] = {}
        self._folds: dict[Key, Child] = {}
        self._cleaned: dict[Key, Child] = {}  # of keys that had to be cleaned: two may become one
        self.forget_parent()
        tell_after_fork(self)
        self._tables: list[tuple[weakref.ref[_Owner], Table]] = []
        self._past: Table = {}
        self._fold_at = _FOLD_AFTER
        self._mine = _Mine(self._join)

    def forget_parent(self) -> None:
        """What the parent counted stays in sight; its lock may never be released here."""
        self._lock = threading.Lock()

    def observe(self, key: Key, value: float) -> None:
        """Count `value` in the histogram of this key."""
        try:
            counts = self._mine.table[key]
        except KeyError:
            counts = self.open(key)
        counts[bisect_left(self._bounds, value)] += 1.0
        counts[-1] += value

    def add(self, key: Key, amount: float) -> None:
        """Add to the counter or gauge of this key."""
        try:
            counts = self._mine.table[key]
        except KeyError:
            counts = self.open(key)
        counts[0] += amount

    @property
    def table(self) -> Table:
        """What this thread counted, by key, for those who look up there before they ask `open`."""
        return self._mine.table

    def open(self, key: Key) -> Counts:
        """The counts of this thread for this key, made where there are none."""
        counts = self.mine(self.child(*key))
        if key in self._children:  # not one of endlessly many that fold
            self._mine.table[key] = counts
        return counts

    def put(self, child: Child, value: float) -> None:
        """Set a gauge. For gauges that are only ever set: nothing is added to them meanwhile."""
        mine = self.mine(child)
        with self._lock:
            now = add_up(tables_of([self._past, *(table for _, table in self._tables)], child.key), self.width)
            mine[0] += value - now[0]

    def mine(self, child: Child) -> Counts:
        """What this thread counted for a child; made where it counted nothing yet."""
        table = self._mine.table
        counts = table.get(child.key)
        if counts is None:
            counts = table[child.key] = array("d", bytes(8 * self.width))
        return counts

    def child(self, *values: str) -> Child:
        """The child of these label values (in the family's order), or the one that stands for the overflow."""
        found = self._children.get(values)
        return found if found is not None else self._make(values)

    def count_fold(self) -> None:
        """A value was folded before it got here."""
        with self._lock:
            self.folded += 1

    def known(self) -> Mapping[Key, Child]:
        """Every child that exists, by its label values; a copy."""
        with self._lock:
            return {**self._children, **self._folds}

    def children(self) -> list[Child]:
        """Every child that exists, once."""
        return list(dict.fromkeys(self.known().values()))

    def series(self) -> int:
        """How many series this family holds."""
        return len(self.children()) * self.family.lines

    def tables(self) -> list[Table]:
        """The tables of all threads; those of threads that ended are one. They are not to be written."""
        with self._lock:
            self._fold()
            living = [table for _, table in self._tables]
            return [self._past, *living] if self._past else living

    def describe(self) -> Iterable[Metric]:
        """The name, so that two monitors cannot share a registry."""
        return (Metric(_base(self.family), self.family.help, self.family.kind.value),)

    def collect(self) -> Iterator[Metric]:
        """The family."""
        yield SlotsMetric(self)

    def _join(self, owner: _Owner, table: Table) -> None:
        with self._lock:
            if len(self._tables) >= self._fold_at:
                self._fold()
                self._fold_at = len(self._tables) + _FOLD_AFTER
            self._tables.append((weakref.ref(owner), table))

    def _fold(self) -> None:
        """Add the tables of ended threads to the past: a new one, for somebody may be reading the old."""
        owned = [(entry, entry[0]() is None) for entry in self._tables]  # asked once: threads end meanwhile
        ended = [table for (_, table), is_over in owned if is_over]
        if not ended:
            return
        self._tables = [entry for entry, is_over in owned if not is_over]
        past = dict(self._past)
        for key in dict.fromkeys(key for table in ended for key in table):
            past[key] = add_up(tables_of([self._past, *ended], key), self.width)
        self._past = past

    def _make(self, values: Key) -> Child:
        with self._lock:
            found = self._children.get(values)
            if found is not None:
                return found
            if len(self._children) < self._limit:
                made = self._children[values] = self._cleanly(values)
                return made
            self.folded += 1
            pairs = zip(self.family.labels, values, strict=True)
            folded = tuple(_FOLDS.get(label, _overflow)(value) for label, value in pairs)
            if folded not in self._folds:
                self._folds[folded] = self._children.get(folded) or self._cleanly(folded)
            return self._folds[folded]

    def _cleanly(self, values: Key) -> Child:
        if len(values) != len(self.family.labels):
            raise ValueError(f"{self.family.name} has the labels {self.family.labels}, not {len(values)} of them")
        cleaned = tuple(clean(value) for value in values)
        if cleaned == values:
            # A child of the same text may exist already, by a key that had to be cleaned or was folded.
            return self._cleaned.get(values) or self._folds.get(values) or Child(self, values)
        found = self._cleaned.get(cleaned) or self._children.get(cleaned)
        if found is None:
            found = self._cleaned[cleaned] = Child(self, cleaned)
        return found


def tables_of(tables: Iterable[Table], key: Key) -> list[Counts]:
    """The counts that these tables hold of a key."""
    return [counts for table in tables if (counts := table.get(key)) is not None]


def add_up(parts: list[Counts], width: int) -> Counts:
    """The sum, a copy."""
    if len(parts) == 1:
        return parts[0][:]
    return array("d", map(sum, zip(*parts, strict=True))) if parts else array("d", bytes(8 * width))


def _base(family: Family) -> str:
    return family.name.removesuffix("_total") if family.kind is Kind.COUNTER else family.name


def _samples(slots: Slots, key: Key, counts: Counts) -> Iterator[Sample]:
    family = slots.family
    labels = slots.constant | dict(zip(family.labels, key, strict=True))
    if family.kind is not Kind.HISTOGRAM:
        yield Sample(family.name, labels, counts[0], None, None)
        return
    total = 0.0
    for bound, count in zip((*family.bounds, float("inf")), counts, strict=False):
        total += count
        yield Sample(f"{family.name}_bucket", labels | {"le": written_number(bound)}, total, None, None)
    yield Sample(f"{family.name}_sum", labels, counts[-1], None, None)
    yield Sample(f"{family.name}_count", labels, total, None, None)
