"""The lines of one family of slots, in both text formats.

Each family has a template. Each child keeps its escaped labels and its last lines, which are copied while its
counts do not change. The formats differ only in the head of a family, in exemplars and in `_created`. Samples have no
timestamps.
"""

from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

from rearguard_exporter.families import Family, Kind, written_number
from rearguard_exporter.values.counts import Table, add_up, packed, tables_of
from rearguard_exporter.values.slots import Child, Exemplar, Readable


def lines(slots: Readable, *, is_openmetrics: bool, has_created: bool = False) -> Iterator[str]:
    """The head of the family, then the lines of one child after the other; in OpenMetrics also when each began."""
    family = slots.family
    began = slots.began if has_created and is_openmetrics and family.kind is not Kind.GAUGE else None
    yield head(family, is_openmetrics=is_openmetrics)
    tables = slots.tables()
    template = _template(family)
    for child in slots.children():
        written = _written(child, tables, template)
        yield _with_exemplars(written, child.exemplars) if is_openmetrics and child.exemplars else written
        if began is not None:
            yield f"{family.name.removesuffix('_total')}_created{_braced(child)} {began[child.key]:.3f}\n"


def head(family: Family, *, is_openmetrics: bool) -> str:
    """The lines HELP and TYPE."""
    name = family.name.removesuffix("_total") if is_openmetrics and family.kind is Kind.COUNTER else family.name
    told = family.help.replace("\\", r"\\").replace("\n", r"\n")
    if is_openmetrics:
        told = told.replace('"', r"\"")
    return f"# HELP {name} {told}\n# TYPE {name} {family.kind.value}\n"


def labels(child: Child) -> str:
    """The label pairs, escaped, without braces; the same in both formats."""
    if child.labels is None:
        pairs = child.slots.constant | dict(zip(child.slots.family.labels, child.key, strict=True))
        child.labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items())
    return child.labels


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _written(child: Child, tables: list[Table], template: str) -> str:
    parts = tables_of(tables, child.key)
    state = packed(parts[0]) if len(parts) == 1 else b"".join(map(packed, parts))
    last = child.written
    if last is not None and last[0] == state:
        return last[1]
    if len(parts) == 1:
        counts = array("d", state)  # not read again: the text must be that of `state`
    else:
        width = child.slots.width
        seen = array("d", state)
        counts = add_up([seen[at : at + width] for at in range(0, len(seen), width)], width)
    written = _histogram(child, counts, template) if len(counts) > 1 else _plain(child, counts[0], template)
    child.written = (state, written)
    return written


def _plain(child: Child, value: float, template: str) -> str:
    return template % (_braced(child), written_number(value))


def _histogram(child: Child, counts: "array[float]", template: str) -> str:
    inside = labels(child)
    total = written_number(counts.pop())
    arguments: list[object] = [f"{inside}," if inside else ""] * (2 * len(counts))
    arguments[1::2] = accumulate(counts)
    braced = f"{{{inside}}}" if inside else ""
    return template % (*arguments, braced, total, braced, arguments[-1])


def _with_exemplars(written: str, exemplars: dict[int, Exemplar]) -> str:
    lines = written.split("\n")
    for bucket, kept in exemplars.copy().items():  # the buckets' lines come first
        lines[bucket] += f" # {{{kept.labels}}} {written_number(kept.value)} {kept.at:.3f}"
    return "\n".join(lines)


def _braced(child: Child) -> str:
    inside = labels(child)
    return f"{{{inside}}}" if inside else ""


@lru_cache(maxsize=64)
def _template(family: Family) -> str:
    name = family.name
    if family.kind is not Kind.HISTOGRAM:
        return f"{name}%s %s\n"
    bounds = (*family.bounds, float("inf"))
    buckets = "".join(f'{name}_bucket{{%sle="{written_number(bound)}"}} %d\n' for bound in bounds)
    return f"{buckets}{name}_sum%s %s\n{name}_count%s %d\n"
