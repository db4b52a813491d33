"""What is kept of one set of label values: a few numbers, in tables by key, and how several of them are added up."""

from array import array
from collections.abc import Callable, Iterable
from typing import TypeAlias

from rearguard_exporter.families import Family

Key = tuple[str, ...]
"""Label values in the order of the family's labels."""

Counts: TypeAlias = "list[float] | array[float] | memoryview[float]"
"""A histogram's buckets (not cumulated, the last is +Inf) and its sum; of other kinds one value.

Those that other processes see are a memoryview. Else a histogram's are an array, which weighs least, and a single
value is a list, because adding to an array takes longer.
"""

Table: TypeAlias = "dict[Key, Counts]"
"""What one thread counted, by key."""

Keep: TypeAlias = Callable[[Family, Key, float], Counts]
"""Makes the counts of a key, zeros but for the first, where other processes see them."""


def tables_of(tables: Iterable[Table], key: Key) -> list[Counts]:
    """The counts that these tables hold for a key."""
    return [counts for table in tables if (counts := table.get(key)) is not None]


def packed(counts: Counts) -> bytes:
    """These counts as they are now, eight bytes each."""
    return array("d", counts).tobytes() if isinstance(counts, list) else counts.tobytes()


def add_up(parts: list[Counts], width: int) -> "array[float]":
    """The sum of these counts, as a copy; zeros if there are none."""
    if len(parts) == 1:
        return array("d", parts[0])
    return array("d", map(sum, zip(*parts, strict=True))) if parts else array("d", bytes(8 * width))
