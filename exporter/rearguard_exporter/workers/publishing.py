"""Figures that each process takes by itself, such as its memory, as samples that it publishes now and then.

A scrape publishes before it reads, so that what the next worker shows of a counter is never less.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from rearguard_exporter import families
from rearguard_exporter.families import FAMILIES, Family, Joining
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.workers.definitions import Point, Published

Samples = Mapping[tuple[Published, Point], float]

_JOINING = {family.name: family.joining for family in FAMILIES}
_OF_EACH: Mapping[str, Family] = {
    "process_resident_memory_bytes": families.WORKER_MEMORY,
    "process_cpu_seconds_total": families.WORKER_CPU,
    "process_open_fds": families.WORKER_FDS,
    "process_start_time_seconds": families.WORKER_START,
}
"""Samples that are shown of each worker, too, under another name: the sum of a family would count them twice."""

# The modes of prometheus-client's gauges. It shows `all` and `mostrecent` of each process by its id here, too.
_GAUGES: Mapping[str, Joining] = {
    "sum": Joining.SUM,
    "livesum": Joining.SUM_LIVING,
    "max": Joining.MAX_EVER,
    "livemax": Joining.MAX,
    "min": Joining.MIN_EVER,
    "livemin": Joining.MIN,
}
_TYPES: Mapping[str, Joining] = {"info": Joining.MAX, "stateset": Joining.SUM_LIVING}


def own_samples(collectors: Iterable[Collector]) -> dict[tuple[Published, Point], float]:
    """What these collectors of the exporter say of this process now."""
    found = {}
    for metric in _collected(collectors):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        family = Published(metric.name, metric.documentation, metric.type, _JOINING.get(name, Joining.SUM_LIVING))
        each = _OF_EACH.get(name)
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                found[family, _point(sample)] = float(sample.value)
            if each is not None and sample.name == name:
                one = Published(each.name.removesuffix("_total"), each.help, each.kind, Joining.BY_NUMBER)
                found[one, Point(each.name, _point(sample).labels)] = float(sample.value)
    return found


def is_instrument(collector: Collector) -> bool:
    """Whether this is one of prometheus-client's own instruments, which answer at once: no function is called."""
    if not isinstance(collector, MetricWrapperBase):
        return False
    children: Mapping[Any, Any] = getattr(collector, "_metrics", {})
    return not any("_child_samples" in vars(each) for each in (collector, *tuple(children.values())))


def instrument_samples(collectors: Iterable[Collector]) -> dict[tuple[Published, Point], float]:
    """What the application's instruments among these collectors say. Names of the exporter's own are left out."""
    found = {}
    for instrument in collectors:
        if not is_instrument(instrument):
            continue
        mode = getattr(instrument, "_multiprocess_mode", "")
        for metric in _collected((instrument,)):
            joining = (
                _GAUGES.get(mode, Joining.EACH) if metric.type == "gauge" else _TYPES.get(metric.type, Joining.SUM)
            )
            family = Published(metric.name, metric.documentation, metric.type, joining)
            for sample in metric.samples:
                if sample.name not in _JOINING and not sample.name.endswith("_created"):
                    found[family, _point(sample)] = float(sample.value)
    return found


def _point(sample: Any) -> Point:
    return Point(sample.name, tuple(sorted(sample.labels.items())))


def _collected(collectors: Iterable[Collector]) -> Iterator[Metric]:
    for collector in collectors:
        try:
            yield from collector.collect()
        except Exception:  # noqa: BLE001 - one that fails must not cost the others
            report(f"collecting {type(collector).__name__}")
