"""Where values are kept: each family has one table of key -> counts for each thread.

An observation is one look-up in the thread's own table, and list arithmetic. Only that thread writes there, so
nothing is locked and nothing is lost. A reader adds up all tables. The table of a thread that ended is added to the
past. A family keeps at most `limit` keys as they are; further ones fold into a few.
"""

import threading
import time
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from rearguard_exporter.families import Family, Kind, written_number
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.counts import Counts, Keep, Key, Table, add_up, tables_of
from rearguard_exporter.values.label_values import clean, folded

_FOLD_AFTER = 32  # new threads after which the tables of ended ones are folded, also without a scrape


class _Owner:
    """An object that lives as long as its thread."""

    __slots__ = ("__weakref__",)


class _Mine(threading.local):
    """The table of the thread that asks. `join` makes it when a thread asks for the first time."""

    def __init__(self, join: Callable[[_Owner], Table]) -> None:
        self.owner = _Owner()
        self.table = join(self.owner)


class _FirstInFork:
    """Stands for the table of the thread that asks, in a forked process until the first one asks."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[], Table]) -> None:
        self._begin = begin

    @property
    def table(self) -> Table:
        """The table, of which there is one from now on."""
        return self._begin()


class Exemplar(NamedTuple):
    """One observation that can be looked up elsewhere."""

    labels: str  # as OpenMetrics writes them, without braces
    value: float
    at: float  # Unix time


class Child:
    """One set of label values of a family, for callers that observe it again and again."""

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
        """Set the gauge to `value`, whatever any thread wrote before."""
        self.slots.put(self, value)

    def observe(self, value: float) -> None:
        """Count `value` in the histogram."""
        counts = self.slots.mine(self)
        counts[bisect_left(self.slots.family.bounds, value)] += 1.0
        counts[-1] += value

    def keep(self, bucket: int, exemplar: Exemplar) -> None:
        """Keep this exemplar for this bucket, in place of the one before."""
        if self.exemplars is None:
            self.exemplars = {}
        self.exemplars[bucket] = exemplar

    def counts(self) -> "array[float]":
        """What all threads counted together."""
        return add_up(tables_of(self.slots.tables(), self.key), self.slots.width)

    def collect(self) -> Iterable[Metric]:
        """The family with this child alone."""
        family = self.slots.family
        metric = Metric(_base(family), family.help, family.kind.value)
        metric.samples = list(_samples(self.slots, self.key, self.counts()))
        return (metric,)


class Readable(Protocol):
    """The values of one family as an exposition writes them."""

    family: Family
    constant: dict[str, str]
    began: dict[Key, float] | None
    width: int

    def children(self) -> list[Child]:
        """Every child, once."""

    def tables(self) -> list[Table]:
        """What there is of each child, to be added up."""


class SlotsMetric(Metric):
    """A family as the official encoders want it. Its samples are made if they are read; `exposition` reads none."""

    def __init__(self, slots: Readable) -> None:
        self.slots: Readable | None = None
        super().__init__(_base(slots.family), slots.family.help, slots.family.kind.value)
        self.slots = slots

    @property
    def samples(self) -> list[Sample]:
        """Every sample, as it is now."""
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
        """Ignore them: samples are made when they are read."""


class Slots(Collector):
    """The values of one family. At most `limit` sets of label values are kept; further ones fold.

    With `keep`, counts are where other processes see them. A forked process then begins at zero.
    """

    def __init__(
        self, family: Family, limit: int, constant: Mapping[str, str] | None = None, keep: Keep | None = None
    ) -> None:
        self.family = family
        self.constant = dict(constant or {})  # labels of every child
        self.folded = 0
        self.began: dict[Key, float] | None = None  # when each child was made, Unix time; None: nobody wants to know
        self.width = family.width
        self._keep = keep
        self._bounds = family.bounds
        self._limit = limit
        self._children: dict[Key, Child] = {}
        self._folds: dict[Key, Child] = {}
        self._cleaned: dict[Key, Child] = {}  # of keys that had to be cleaned: two may become one
        self._on_forked: weakref.WeakMethod[Callable[[], None]] | None = None
        self._lock = threading.Lock()
        tell_after_fork(self)
        self._begin_tables()

    def _begin_tables(self) -> None:
        self._tables: list[tuple[weakref.ref[_Owner], Table]] = []
        self._past: Table = {}
        self._fold_at = _FOLD_AFTER
        self._mine: _Mine | _FirstInFork = _Mine(self._join)

    def forget_parent(self) -> None:
        """What the parent counted stays, unless others see it: then it is the parent's.

        The lock is replaced, because the parent may have held it at the fork.
        """
        self._lock = threading.Lock()
        if self._keep is not None:
            self.folded = 0
            self._begin_tables()
        elif self._on_forked is not None:
            self._mine = _FirstInFork(self._begin_in_fork)

    def tell_if_forked(self, call: Callable[[], None]) -> None:
        """Call this method when a forked process counts here for the first time, if its object still lives.

        Nobody may keep the `table`.
        """
        self._on_forked = weakref.WeakMethod(call)

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
        """What this thread counted, by key. Callers may look here first, and call `open` if the key is missing."""
        return self._mine.table

    def open(self, key: Key) -> Counts:
        """The counts of this thread for this key; zeros if it counted nothing yet."""
        counts = self.mine(self.child(*key))
        if key in self._children:  # not one of endlessly many that fold
            self._mine.table[key] = counts
        return counts

    def put(self, child: Child, value: float) -> None:
        """Set a gauge. Use it only for gauges to which nothing is ever added."""
        mine = self.mine(child, value)
        with self._lock:
            now = add_up(tables_of([self._past, *(table for _, table in self._tables)], child.key), self.width)
            mine[0] += value - now[0]

    def mine(self, child: Child, first: float = 0.0) -> Counts:
        """The counts of this thread for a child; zeros if it counted nothing yet.

        The very first counts of a child begin with `first`, so that no other process sees a gauge before it is set.
        """
        table = self._mine.table
        counts = table.get(child.key)
        if counts is None:
            counts = table[child.key] = self._made(child.key, first)
        return counts

    def _made(self, key: Key, first: float) -> Counts:
        if self._keep is None:
            return [0.0] if self.width == 1 else array("d", bytes(8 * self.width))
        return self._keep(self.family, key, 0.0 if first and tables_of(self.tables(), key) else first)

    def keep_zeros(self) -> None:
        """Show other processes also the children that counted nothing yet; a gauge has no value before it is set."""
        if self.family.kind is Kind.GAUGE:
            return
        tables = self.tables()
        for child in self.children():
            if not tables_of(tables, child.key):
                self.mine(child)

    def child(self, *values: str) -> Child:
        """The child of these label values (in the family's order); a folded one once the family is full."""
        found = self._children.get(values)
        return found if found is not None else self._make(values)

    def count_fold(self) -> None:
        """Count a value that was folded before it came here."""
        with self._lock:
            self.folded += 1

    def known(self) -> Mapping[Key, Child]:
        """A copy of all children, by label values."""
        with self._lock:
            return {**self._children, **self._folds}

    def children(self) -> list[Child]:
        """Every child that exists, once."""
        return list(dict.fromkeys(self.known().values()))

    def series(self) -> int:
        """How many series this family holds."""
        return len(self.children()) * self.family.lines

    def tables(self) -> list[Table]:
        """The tables of all threads, to be read only. Those of threads that ended are one."""
        with self._lock:
            if self._keep is None:
                self._fold()
            living = [table for _, table in self._tables]
            return [self._past, *living] if self._past else living

    def describe(self) -> Iterable[Metric]:
        """The name, so that two monitors cannot share a registry."""
        return (Metric(_base(self.family), self.family.help, self.family.kind.value),)

    def collect(self) -> Iterator[Metric]:
        """The family."""
        yield SlotsMetric(self)

    def _join(self, owner: _Owner) -> Table:
        table: Table = {}
        with self._lock:
            if self._keep is not None:
                table = self._left_by_ended()
            elif len(self._tables) >= self._fold_at:
                self._fold()
                self._fold_at = len(self._tables) + _FOLD_AFTER
            self._tables.append((weakref.ref(owner), table))
        return table

    def _left_by_ended(self) -> Table:
        """The table of a thread that ended, to go on in; else a new one. Others see its counts already."""
        for at, (owner, table) in enumerate(self._tables):
            if owner() is None:
                del self._tables[at]
                return table
        return {}

    def _begin_in_fork(self) -> Table:
        begun = _Mine(self._join)
        with self._lock:
            is_first = isinstance(self._mine, _FirstInFork)
            if is_first:
                self._mine = begun
        call = self._on_forked() if is_first and self._on_forked is not None else None
        if call is not None:
            call()
        return self._mine.table

    def _fold(self) -> None:
        """Add the tables of ended threads to the past: to a new table, because somebody may read the old one."""
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
            fold = folded(self.family.labels, values)
            if fold not in self._folds:
                self._folds[fold] = self._children.get(fold) or self._cleanly(fold)
            return self._folds[fold]

    def _cleanly(self, values: Key) -> Child:
        if len(values) != len(self.family.labels):
            raise ValueError(f"{self.family.name} has the labels {self.family.labels}, not {len(values)} of them")
        cleaned = tuple(clean(value) for value in values)
        if cleaned == values:
            # A child of the same text may exist already, by a key that had to be cleaned or was folded.
            return self._cleaned.get(values) or self._folds.get(values) or self._begin(values)
        found = self._cleaned.get(cleaned) or self._children.get(cleaned)
        if found is None:
            found = self._cleaned[cleaned] = self._begin(cleaned)
        return found

    def _begin(self, key: Key) -> Child:
        if self.began is not None:
            self.began[key] = time.time()
        return Child(self, key)


def _base(family: Family) -> str:
    return family.name.removesuffix("_total") if family.kind is Kind.COUNTER else family.name


def _samples(slots: Readable, key: Key, counts: Counts) -> Iterator[Sample]:
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
