"""From collectors to the bytes of an exposition, in the format that the scraper asked for.

Families kept in slots are written by `text`, child by child, in steps of a bounded time, so an event loop may run
them. All others are written by the official encoders: `prepare` does it at once, in a thread.
"""

import copy
import gzip
import inspect
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from rearguard_exporter.exposition import text
from rearguard_exporter.exposition.accept import Form
from rearguard_exporter.exposition.foreign import ForeignCollectors, Patience, name_of
from rearguard_exporter.exposition.names import Escaping, TakenNames, renamed
from rearguard_exporter.families import OWN
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.slots import Readable, SlotsMetric

FOREIGN = "__foreign__"
GZIP_LEVEL = 1  # level 9 costs ten times the time for a quarter less bytes
STEP = 0.0005  # seconds after which a step ends; joining its lines included, it takes less than a millisecond
PIECE = 1 << 17  # characters after which a step ends, too: kept text is copied quickly, but sent slowly
_OWN_NAMES = frozenset(family.name for family in OWN)
_END = b"# EOF\n"
# Names are escaped before the encoders see them. The oldest versions know no other way, and ask for none.
_AS_THEY_ARE = (
    {"escaping": Escaping.NONE.value}
    if "escaping" in inspect.signature(exposition.generate_latest).parameters
    else {}
)


class Sources(NamedTuple):
    """Whose families are exposed: the exporter's own first, then those of the application."""

    own: Sequence[Collector]
    foreign: ForeignCollectors | None = None


class Exposition(NamedTuple):
    """A body ready to be sent, with its headers."""

    body: bytes
    form: Form

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the body."""
        return self.form.headers


class Part(NamedTuple):
    """A family that is ready to be written: the bytes of the official encoders, or its slots."""

    name: str  # as in `spent`
    content: bytes | Readable


def render(sources: Sources, form: Form, patience: Patience, spent: dict[str, float]) -> Exposition:
    """The whole exposition; `patience` and `spent` as in `prepare`."""
    parts = prepare(sources, form, patience, spent)
    body = b"".join(steps(parts, form, spent))
    return Exposition(gzip.compress(body, GZIP_LEVEL) if form.is_gzip else body, form)


def prepare(sources: Sources, form: Form, patience: Patience, spent: dict[str, float]) -> list[Part]:
    """Every family. Of two that share a name on the wire the first counts. Slots are not read yet.

    This blocks until collectors of the application have answered, or the patience is over. `spent` is filled with the
    seconds that each family took; foreign families are added up under `FOREIGN`.
    """
    parts: list[Part] = []
    times: dict[str, float] = {}
    taken = TakenNames()
    began = time.perf_counter()
    foreign = (
        sources.foreign.collect(patience) if sources.foreign else []
    )  # first, so that the exporter's own values are new
    times[FOREIGN] = time.perf_counter() - began
    began = time.perf_counter()
    for metric in _all(sources.own, foreign):
        name, content = FOREIGN, None
        try:
            name = _key(metric)
            content = _content(metric, form, taken)
        except Exception:  # noqa: BLE001 - one family that cannot be written must not cost the others
            report(f"encoding {getattr(metric, 'name', type(metric).__name__)}")
        if content is not None:
            parts.append(Part(name, content))
        now = time.perf_counter()
        if content is None or isinstance(content, bytes):  # else `steps` adds its time
            times[name] = times.get(name, 0.0) + now - began
        began = now
    spent.update(times)
    return parts


def steps(parts: Iterable[Part], form: Form, spent: dict[str, float]) -> Iterator[bytes]:
    """The uncompressed body, in pieces that each took about `STEP` seconds. `spent` is filled as in `prepare`."""
    for part in parts:
        if isinstance(part.content, bytes):
            yield part.content
            continue
        total = 0.0
        began = time.perf_counter()
        lines: list[str] = []
        size = 0
        for line in text.lines(part.content, is_openmetrics=form.is_openmetrics, has_created=form.has_created):
            lines.append(line)
            size += len(line)
            if size > PIECE or time.perf_counter() - began > STEP:
                piece = "".join(lines).encode()
                lines, size = [], 0
                total += time.perf_counter() - began
                yield piece
                began = time.perf_counter()
        piece = "".join(lines).encode()
        spent[part.name] = total + time.perf_counter() - began
        yield piece
    if form.is_openmetrics:
        yield _END


def _all(own: Iterable[Collector], foreign: list[Metric]) -> Iterator[Metric]:
    for collector in own:
        try:
            yield from collector.collect()
        except Exception:  # noqa: BLE001 - one that fails must not cost the others
            report(f"collecting {name_of(collector)}")
    foreign.reverse()
    while foreign:  # each is forgotten once it is written
        yield foreign.pop()


class _One(Collector):
    """A registry with one family, as the encoders want it."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def _content(metric: Metric, form: Form, taken: TakenNames) -> bytes | Readable | None:
    """What is to be written; None if a family of the same name is written already."""
    if isinstance(metric, SlotsMetric) and metric.slots is not None:
        return metric.slots if taken.takes(metric, form.written_escaping) else None
    if not taken.takes(metric, form.written_escaping, {sample.name for sample in metric.samples}):
        return None
    return _encode(renamed(metric, form.written_escaping), form)


def _encode(metric: Metric, form: Form) -> bytes:
    created = f"{metric.name}_created"
    metric = copy.copy(metric)  # a collector of the application may hand out the same object each time
    metric.samples = [
        sample
        for sample in metric.samples
        if (form.has_created or sample.name != created)
        and getattr(sample, "native_histogram", None) is None  # neither format has them
    ]
    if not form.is_openmetrics:
        return exposition.generate_latest(_One(metric), **_AS_THEY_ARE)
    encoded: bytes = openmetrics.generate_latest(_One(metric), **_AS_THEY_ARE)  # type: ignore[no-untyped-call]  # it has no hints
    return encoded.removesuffix(_END)


def _key(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return name if name in _OWN_NAMES else FOREIGN
