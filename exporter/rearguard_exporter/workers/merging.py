"""Adds up files: what each key and each published sample comes to over all processes that are passed.

The plan, which key stands where in which file, is made once and kept while no record is added and no process ends.
So are the sums: only series of which some process wrote a double since are added up again, and always as a whole, so
that the same figures come to the same sum. The dead and their archive are added up when somebody folds, not at each
look.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from rearguard_exporter.families import Family, Joining
from rearguard_exporter.values.counts import Counts, Key, add_up
from rearguard_exporter.workers.definitions import (
    Point,
    Published,
    joined,
    read_family,
    read_key,
    read_point,
    read_published,
)
from rearguard_exporter.workers.layout import Kind
from rearguard_exporter.workers.opened_file import OpenedFile


@dataclass(slots=True)
class Sums:
    """What several processes come to."""

    counts: dict[Family, dict[Key, Counts]] = field(default_factory=dict)
    began: dict[Family, dict[Key, float]] = field(default_factory=dict)  # Unix time
    points: dict[Published, dict[Point, float]] = field(default_factory=dict)


class _Series:
    """Where the doubles of one series stand: of each process a list, because threads have a record each."""

    __slots__ = ("began", "joining", "key", "last_file", "places", "total", "width")

    def __init__(self, key: Any, width: int, began: float, joining: Joining) -> None:
        self.key = key
        self.width = width
        self.began = began
        self.joining = joining
        self.places: list[list[_Place]] = []
        self.last_file = -1
        self.total: Counts = array("d")
        """What they come to. Empty where no process publishes the sample any more. Nobody changes numbers in it."""

    def add(self, file: int, at: int, began: float) -> None:
        """One more record."""
        if self.last_file == file:
            self.places[-1].append((file, at))
        else:
            self.places.append([(file, at)])
            self.last_file = file
        self.began = min(self.began, began)


_Place = tuple[int, int]  # the number of a file, and which of its doubles is the first
_Table = dict[bytes, _Series]  # by the key as it stands in files


class Plan:
    """Where the doubles of each key stand, if all files are put one behind the other."""

    def __init__(self) -> None:
        self._made_for: object = None
        self._tables: dict[Family | Published, _Table] = {}
        self._in_files: list[list[tuple[int, _Series]]] = []
        """Of each file, where the first double of each record is, and whose it is."""
        self._added: list[bytes] = []
        """The content of each file as it is in the sums."""

    def sums(self, files: Sequence[OpenedFile]) -> Sums:
        """What these files come to. Gauges of dead processes do not count, unless they are to."""
        state = [(each.name, each.inode, len(each.records), len(each.content), each.is_dead()) for each in files]
        if self._made_for != state:
            self._make(files)
            self._made_for = state
        self._add_up([each.content for each in files])
        made = Sums()
        for family, table in self._tables.items():
            if isinstance(family, Family):
                made.counts[family] = {each.key: each.total for each in table.values()}
                made.began[family] = {each.key: each.began for each in table.values()}
            else:
                made.points[family] = {each.key: each.total[0] for each in table.values() if each.total}
        return made

    def _add_up(self, contents: list[bytes]) -> None:
        """Add up again what has changed since."""
        changed: dict[_Series, None] = {}
        for before, now, records in zip(self._added, contents, self._in_files, strict=True):
            if now is not before:
                changed.update(
                    (series, None)
                    for at, series in records
                    if now[8 * at : 8 * (at + series.width)] != before[8 * at : 8 * (at + series.width)]
                )
        doubles = [memoryview(each).cast("d") for each in contents]
        for series in changed:
            series.total = _total(doubles, series)
        self._added = contents

    def _make(self, files: Sequence[OpenedFile]) -> None:
        self._tables = {}
        self._in_files = [[] for _ in files]
        self._added = [b""] * len(files)
        for number, file in enumerate(files):
            try:
                self._add(file, number)
            except (ValueError, TypeError, KeyError):  # nothing that a worker writes
                file.fault = file.fault or "its records are damaged"

    def _add(self, file: OpenedFile, number: int) -> None:
        of_number: dict[int, tuple[Family | Published, _Table] | None] = {}
        end, is_dead = len(file.content) // 8, file.is_dead()
        for kind, definition, key, start, width, began in file.records:
            if kind in _DEFINITIONS:
                family = read_family(key) if kind == Kind.FAMILY else read_published(key)
                counts = family.joining.counts_dead or not is_dead
                of_number[definition] = (family, self._tables.setdefault(family, {})) if counts else None
                continue
            target = of_number[definition]
            if target is None or start + width > end:
                continue
            family, table = target
            series_key = key + _apart(family.joining, file)
            series = table.get(series_key)
            if series is None:
                series = table[series_key] = _series(family, key, width, began, file)
            series.add(number, start, began)
            self._in_files[number].append((start, series))


_DEFINITIONS = frozenset({int(Kind.FAMILY), int(Kind.METRIC)})


def _apart(joining: Joining, file: OpenedFile) -> bytes:
    """What tells the series of this process from those of others, if they are not to become one."""
    return str((file.head.pid, file.head.number)).encode() if joining in {Joining.EACH, Joining.BY_NUMBER} else b""


def _series(family: Family | Published, key: bytes, width: int, began: float, file: OpenedFile) -> _Series:
    if isinstance(family, Family):
        if width != family.width:
            raise ValueError(f"{family.name} has another width")
        return _Series(read_key(family, key), width, began, family.joining)
    point = read_point(key)
    if family.joining is Joining.EACH:
        point = Point(point.name, (*point.labels, ("pid", str(file.head.pid))))
    elif family.joining is Joining.BY_NUMBER:
        point = Point(point.name, (*point.labels, ("worker_number", str(file.head.number))))
    return _Series(point, width, began, family.joining)


def _total(doubles: Sequence["memoryview[float]"], series: _Series) -> Counts:
    if series.width > 1:
        width = series.width
        return add_up([doubles[file][at : at + width] for place in series.places for file, at in place], width)
    values = [sum([doubles[file][at] for file, at in place]) for place in series.places]
    if isinstance(series.key, Point):
        values = [value for value in values if not isnan(value)]
    return array("d", (joined(values, series.joining),) if values else ())
