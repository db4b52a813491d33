"""Adds up files: what each key and each published sample comes to over all processes that are passed.

The plan, which key stands where in which file, is made once and kept while no record is added and no process ends.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from rearguard_exporter.families import Family, Joining
from rearguard_exporter.values.counts import Counts, Key
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

    __slots__ = ("began", "key", "last_file", "places", "width")

    def __init__(self, key: Any, width: int, began: float) -> None:
        self.key = key
        self.width = width
        self.began = began
        self.places: list[list[int]] = []
        self.last_file = -1

    def add(self, place: int, file: int, began: float) -> None:
        """One more record."""
        if self.last_file == file:
            self.places[-1].append(place)
        else:
            self.places.append([place])
            self.last_file = file
        self.began = min(self.began, began)


_Table = dict[bytes, _Series]  # by the key as it stands in files


class Plan:
    """Where the doubles of each key stand, if all files are put one behind the other."""

    def __init__(self) -> None:
        self._made_for: object = None
        self._tables: dict[Family | Published, _Table] = {}

    def sums(self, files: Sequence[OpenedFile]) -> Sums:
        """What these files come to. Gauges of dead processes do not count, unless they are to."""
        state = [(each.name, each.inode, len(each.records), len(each.doubles), each.is_dead()) for each in files]
        if self._made_for != state:
            self._make(files)
            self._made_for = state
        everything = array("d")
        for each in files:
            everything.extend(each.doubles)
        made = Sums()
        for family, table in self._tables.items():
            if isinstance(family, Family):
                made.counts[family] = {each.key: _added(everything, each, family.joining) for each in table.values()}
                made.began[family] = {each.key: each.began for each in table.values()}
            else:
                made.points[family] = _points(everything, table.values(), family.joining)
        return made

    def _make(self, files: Iterable[OpenedFile]) -> None:
        self._tables = {}
        base = 0
        for number, file in enumerate(files):
            try:
                self._add(file, number, base)
            except (ValueError, TypeError, KeyError):  # nothing that a worker writes
                file.fault = file.fault or "its records are damaged"
            base += len(file.doubles)

    def _add(self, file: OpenedFile, number: int, base: int) -> None:
        of_number: dict[int, tuple[Family | Published, _Table] | None] = {}
        end, is_dead = len(file.doubles), file.is_dead()
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
            series.add(base + start, number, began)


_DEFINITIONS = frozenset({int(Kind.FAMILY), int(Kind.METRIC)})


def _apart(joining: Joining, file: OpenedFile) -> bytes:
    """What tells the series of this process from those of others, if they are not to become one."""
    return str((file.head.pid, file.head.number)).encode() if joining in {Joining.EACH, Joining.BY_NUMBER} else b""


def _series(family: Family | Published, key: bytes, width: int, began: float, file: OpenedFile) -> _Series:
    if isinstance(family, Family):
        if width != family.width:
            raise ValueError(f"{family.name} has another width")
        return _Series(read_key(family, key), width, began)
    point = read_point(key)
    if family.joining is Joining.EACH:
        point = Point(point.name, (*point.labels, ("pid", str(file.head.pid))))
    elif family.joining is Joining.BY_NUMBER:
        point = Point(point.name, (*point.labels, ("worker_number", str(file.head.number))))
    return _Series(point, width, began)


def _added(everything: "array[float]", series: _Series, joining: Joining) -> Counts:
    width, places = series.width, series.places
    if width == 1:
        of_each = [everything[place[0]] if len(place) == 1 else _sum(everything, place) for place in places]
        return array("d", (joined(of_each, joining),))
    if len(places) == 1 and len(places[0]) == 1:
        at = places[0][0]
        return everything[at : at + width]
    parts = [everything[at : at + width] for place in places for at in place]
    return array("d", map(sum, zip(*parts, strict=True)))


def _sum(everything: "array[float]", place: list[int]) -> float:
    return sum([everything[at] for at in place])


def _points(everything: "array[float]", table: Iterable[_Series], joining: Joining) -> dict[Point, float]:
    made = {}
    for series in table:
        values = [everything[at] for place in series.places for at in place]
        known = [value for value in values if not isnan(value)]
        if known:
            made[series.key] = joined(known, joining)
    return made
