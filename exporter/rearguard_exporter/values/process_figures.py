"""Figures of the process and the host, sampled by psutil in a thread and read at each scrape.

Each figure is measured by itself: what a container hides of /proc, or a sandbox refuses, costs the others nothing.
Ratios of the host are between 0 and 1. The processor ratio of the process is 1 for each processor that it uses.
Memory is in bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rearguard_exporter import families
from rearguard_exporter.families import Family
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.processor_use import ProcessorUse, of_host, of_process

if TYPE_CHECKING:  # slow to import, so that is done with the first monitor
    import psutil

_CGROUP = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_PERCENT = 100.0
_NO_LIMIT = 1 << 60  # bytes; cgroup version 1 writes about eight times this where nothing is limited


def memory_limit(root: Path = _CGROUP, membership: Path = _SELF, host: int | None = None) -> int:
    """Bytes this process may use: the tightest limit of its cgroup and the groups above it, else the host's memory.

    cgroup version 2 has it in `memory.max`, version 1 in `memory/**/memory.limit_in_bytes`. "max", and numbers not
    below the host's memory, mean no limit. Inside a container the root of the tree is the container's own group.
    """
    limits = [limit for limit in _cgroup_limits(root, membership) if 0 < limit < _NO_LIMIT]
    try:
        limits.append(_host_memory() if host is None else host)
    except Exception:
        if not limits:  # a sandbox may hide the host, and a container still has its limit
            raise
    return min(limits)


def _host_memory() -> int:
    import psutil  # noqa: PLC0415 - as above

    return psutil.virtual_memory().total


def _cgroup_limits(root: Path, membership: Path) -> Iterator[int]:
    for line in _read(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder == base or base in folder.parents:
                text = _read(folder / name).strip()
                if text.isdigit():
                    yield int(text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


class ProcessFigures(Collector):
    """The last sample, as gauges. There are none before the first `sample`; processor use follows with the second."""

    def __init__(self) -> None:
        import psutil  # noqa: PLC0415 - as above

        self._psutil = psutil
        self._pid = 0  # whose figures these are
        self._process: psutil.Process | None = None
        self._of_process, self._of_host = ProcessorUse(), ProcessorUse()
        self._figures: dict[Family, Mapping[str, float]] = {}  # by the value of the family's label; "" without one

    def sample(self) -> None:
        """Measure now. This reads a few files of /proc. Call it from one thread at a time."""
        if self._pid != os.getpid():  # a fork
            self._pid, self._process = os.getpid(), None
            self._of_process, self._of_host = ProcessorUse(), ProcessorUse()
        figures: dict[Family, Mapping[str, float]] = {}
        for family, measure in (
            (families.MEMORY_USAGE, self._memory_usage),
            (families.MEMORY_LIMIT, self._memory_limit),
            (families.SYSTEM_MEMORY, self._system_memory),
            (families.PROCESS_CPU, self._process_cpu),
            (families.SYSTEM_CPU, self._system_cpu),
        ):
            try:
                figures[family] = measure()
            except Exception:  # noqa: BLE001 - psutil raises what the system does, and what it cannot parse
                report(f"measuring {family.name}")
        self._figures = figures

    def _this(self) -> psutil.Process:
        if self._process is None:
            self._process = self._psutil.Process()
        return self._process

    def _memory_usage(self) -> Mapping[str, float]:
        return {"": float(self._this().memory_info().rss)}

    def _memory_limit(self) -> Mapping[str, float]:
        return {"": float(memory_limit())}

    def _system_memory(self) -> Mapping[str, float]:
        return {"used": self._psutil.virtual_memory().percent / _PERCENT}

    def _process_cpu(self) -> Mapping[str, float]:
        return self._of_process.since_last(of_process(self._this().cpu_times()), monotonic())

    def _system_cpu(self) -> Mapping[str, float]:
        return self._of_host.since_last(*of_host(self._psutil.cpu_times()))

    def figures(self) -> dict[str, float]:
        """The last sample, by metric name; of processors the use in all modes."""
        return {family.name: sum(values.values()) for family, values in self._figures.items() if values}

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One gauge for each family that there is a figure of."""
        for family, values in self._figures.items():
            gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for value, figure in values.items():
                gauge.add_metric([value] if family.labels else [], figure)
            if values:
                yield gauge
