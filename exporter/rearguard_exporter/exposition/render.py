"""From registries to the bytes of an exposition, in the format that the scraper asked for.

Families kept in slots are written by `text`, child by child, in steps of a bounded time, so an event loop may run
them. All others are foreign: `prepare` collects them at once in a thread, and the official encoders write them.
"""

import copy
import gzip
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

from rearguard_exporter.exposition import text
from rearguard_exporter.families import OWN
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.slots import Slots, SlotsMetric

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
FOREIGN = "__foreign__"
GZIP_LEVEL = 1  # level 9 costs ten times the time for a quarter less bytes
STEP = 0.0005  # seconds after which a step ends; joining its lines included, it takes less than a millisecond
PIECE = 1 << 17  # characters after which a step ends, too: kept text is copied quickly, but sent slowly
_OWN_NAMES = frozenset(family.name for family in OWN)
_END = b"# EOF\n"
# Names that a family takes besides its own (OpenMetrics): `target_info` is what the info family `target` exposes.
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


@dataclass(frozen=True, slots=True)
class Form:
    """The form of exposition that the scraper asked for."""

    is_openmetrics: bool
    is_gzip: bool

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the body."""
        content_type = OPENMETRICS if self.is_openmetrics else TEXT
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if self.is_gzip:
            headers["Content-Encoding"] = "gzip"
        return headers


@dataclass(frozen=True, slots=True)
class Exposition:
    """A body ready to be sent, with its headers."""

    body: bytes
    form: Form

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the body."""
        return self.form.headers


@dataclass(frozen=True, slots=True)
class Part:
    """A family that is ready to be written: the bytes of the official encoders, or its slots."""

    name: str  # as in `spent`
    content: bytes | Slots


def asked(accept: str, accept_encoding: str) -> Form:
    """The form that these headers prefer."""
    is_openmetrics = _quality(accept, "application/openmetrics-text") > _quality(accept, "text/plain")
    return Form(is_openmetrics, _quality(accept_encoding, "gzip") > 0)


def render(registries: Sequence[Collector], form: Form, spent: dict[str, float]) -> Exposition:
    """The whole exposition of all registries; `spent` as in `prepare`."""
    parts = prepare(registries, form, spent)
    body = b"".join(steps(parts, form, spent))
    return Exposition(gzip.compress(body, GZIP_LEVEL) if form.is_gzip else body, form)


def prepare(registries: Sequence[Collector], form: Form, spent: dict[str, float]) -> list[Part]:
    """Every family of the registries. Of two that share a name the first counts. Slots are not read yet.

    `spent` is filled with the seconds that each family took; foreign families are added up under `FOREIGN`.
    """
    parts: list[Part] = []
    times: dict[str, float] = {}
    began = time.perf_counter()
    for metric in _families(registries):
        name = _key(metric)
        if isinstance(metric, SlotsMetric) and metric.slots is not None:
            parts.append(Part(name, metric.slots))
            continue
        try:
            parts.append(Part(name, _encode(metric, is_openmetrics=form.is_openmetrics)))
        except Exception:  # noqa: BLE001 - one family that cannot be written must not cost the others
            report(f"encoding {metric.name}")
        now = time.perf_counter()
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
        for line in text.lines(part.content, is_openmetrics=form.is_openmetrics):
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


def _families(registries: Sequence[Collector]) -> Iterator[Metric]:
    seen: set[str] = set()
    for collector in chain.from_iterable(map(_collectors, registries)):
        try:
            for metric in collector.collect():
                names = {metric.name, *(metric.name + suffix for suffix in _SUFFIXES.get(metric.type, ()))}
                if seen.isdisjoint(names):
                    seen |= names
                    yield metric
        except Exception:  # noqa: BLE001 - a collector of the application that fails must not cost our families
            report("collecting")


def _collectors(registry: Collector) -> list[Collector]:
    """The collectors of a registry, one by one, so that one that fails does not cost the others.

    The library has no public name for them. A registry without that private name, or with a `target_info` of its own,
    is asked as a whole.
    """
    known = getattr(registry, "_collector_to_names", None)
    if known is None or (isinstance(registry, CollectorRegistry) and registry.get_target_info()):
        return [registry]
    return list(known)


class _One(Collector):
    """A registry with one family, as the encoders want it."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def _encode(metric: Metric, *, is_openmetrics: bool) -> bytes:
    # `_created` doubles the series of every counter and says nothing that Prometheus uses by default.
    created = f"{metric.name}_created"
    metric = copy.copy(metric)  # a collector of the application may hand out the same object each time
    metric.samples = [sample for sample in metric.samples if sample.name != created]
    if not is_openmetrics:
        return exposition.generate_latest(_One(metric))
    encoded: bytes = openmetrics.generate_latest(_One(metric))  # type: ignore[no-untyped-call]  # it has no hints
    return encoded.removesuffix(_END)


def _key(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return name if name in _OWN_NAMES else FOREIGN


def _quality(header: str, wanted: str) -> float:
    """The weight that an Accept header gives to exactly this value; 0 if it is not named (RFC 9110, 12.4.2)."""
    best = 0.0
    for part in header.split(","):
        value, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if value != wanted:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(text)
                except ValueError:
                    weight = 0.0
        best = max(best, weight)
    return best
