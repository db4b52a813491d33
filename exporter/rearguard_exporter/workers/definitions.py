"""How families and their samples stand in files, and how the figures of several processes become one.

Here: JSON and keys to values and back. Never here: files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rearguard_exporter.families import Family, Joining, Kind

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A family of which each process publishes samples that it took elsewhere."""

    name: str
    help: str
    type: str  # as prometheus-client has it
    joining: Joining


@dataclass(frozen=True, slots=True)
class Point:
    """One sample of a published family."""

    name: str
    labels: tuple[tuple[str, str], ...]


def written_family(family: Family) -> bytes:
    """The definition of a family kept in slots."""
    told = [family.name, family.kind, family.help, family.labels, family.bounds, family.joining]
    return json.dumps(told).encode()


def read_family(key: bytes) -> Family:
    """The family of this definition.

    Raises:
        ValueError: it is none.
    """
    name, kind, text, labels, bounds, joining = json.loads(key)
    return Family(name, Kind(kind), text, tuple(labels), tuple(bounds), Joining(joining))


def layout_of(families: Mapping[str, Family]) -> list[Any]:
    """What must be the same in two processes for their counts to be added up."""
    told = sorted(families.values(), key=lambda each: each.name)
    # As JSON gives it back: lists, no tuples.
    return [[each.name, str(each.kind), list(each.labels), list(each.bounds)] for each in told]


def written_key(key: Key) -> bytes:
    """The label values of a child; no label value has a NUL."""
    return "\0".join(key).encode("utf-8", "replace")


def read_key(family: Family, key: bytes) -> Key:
    """The label values.

    Raises:
        ValueError: they are not those of this family.
    """
    values = tuple(key.decode().split("\0")) if family.labels else ()
    if len(values) != len(family.labels):
        raise ValueError(f"{family.name} has other labels")
    return values


def written_published(family: Published) -> bytes:
    """The definition of a published family."""
    return json.dumps([family.name, family.help, family.type, family.joining]).encode()


def read_published(key: bytes) -> Published:
    """The published family of this definition.

    Raises:
        ValueError: it is none.
    """
    name, text, kind, joining = json.loads(key)
    return Published(name, text, kind, Joining(joining))


def written_point(point: Point) -> bytes:
    """Name and labels of a published sample."""
    return json.dumps([point.name, point.labels]).encode()


def read_point(key: bytes) -> Point:
    """The published sample.

    Raises:
        ValueError: it is none.
    """
    name, labels = json.loads(key)
    return Point(name, tuple((label, value) for label, value in labels))


def joined(values: list[float], joining: Joining) -> float:
    """One figure of those of several processes, of which there is one at least."""
    match joining:
        case Joining.MAX | Joining.MAX_EVER:
            return max(values)
        case Joining.MIN | Joining.MIN_EVER:
            return min(values)
        case _:
            return sum(values)
