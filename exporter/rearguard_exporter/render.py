"""From registries to the bytes of an exposition, in the format that the scraper asked for.

Runs in a thread, never on an event loop. The official encoders write every line; here only which families, in
which format, compressed or not, and how long each took. Never here: sockets, values.
"""

import copy
import gzip
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from rearguard_exporter.metrics import OWN
from rearguard_exporter.quiet import report

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
FOREIGN = "__foreign__"
_OWN_NAMES = frozenset(family.name for family in OWN)
_END = b"# EOF\n"
_GZIP_LEVEL = 1  # level 9 costs ten times the time for a quarter less bytes


@dataclass(frozen=True, slots=True)
class Exposition:
    """A body ready to be sent, with its headers."""

    body: bytes
    content_type: str
    encoding: str | None  # "gzip" or none

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the body."""
        headers = {"Content-Type": self.content_type, "Vary": "Accept, Accept-Encoding"}
        if self.encoding:
            headers["Content-Encoding"] = self.encoding
        return headers


def render(registries: Sequence[Collector], accept: str, accept_encoding: str, spent: dict[str, float]) -> Exposition:
    """The exposition of all registries; of two families with one name the first counts.

    `spent` is filled with the seconds that each family took (foreign ones together under `FOREIGN`).
    """
    is_openmetrics = _quality(accept, "application/openmetrics-text") > _quality(accept, "text/plain")
    parts: list[bytes] = []
    times: dict[str, float] = {}
    began = time.perf_counter()
    for metric in _families(registries):
        try:
            parts.append(_encode(metric, is_openmetrics=is_openmetrics))
        except Exception:  # noqa: BLE001 - one family that cannot be written must not cost the others
            report(f"encoding {metric.name}")
        now = time.perf_counter()
        name = _queried_name(metric)
        key = name if name in _OWN_NAMES else FOREIGN
        times[key] = times.get(key, 0.0) + now - began
        began = now
    spent.update(times)
    if is_openmetrics:
        parts.append(_END)
    body = b"".join(parts)
    content_type = OPENMETRICS if is_openmetrics else TEXT
    if _quality(accept_encoding, "gzip") > 0:
        return Exposition(gzip.compress(body, _GZIP_LEVEL), content_type, "gzip")
    return Exposition(body, content_type, None)


def _families(registries: Sequence[Collector]) -> Iterator[Metric]:
    seen: set[str] = set()
    for registry in registries:
        try:
            for metric in registry.collect():
                if metric.name not in seen:
                    seen.add(metric.name)
                    yield metric
        except Exception:  # noqa: BLE001 - a collector of the application that fails must not cost our families
            report("collecting")


class _One(Collector):
    """A registry of one family, as the encoders want it."""

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


def _queried_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def _quality(header: str, wanted: str) -> float:
    """The weight that an Accept header gives to exactly this value, 0 when it is not named (RFC 9110, 12.4.2)."""
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
