"""Figures of the process and the host, sampled by psutil in a thread and read at each scrape.

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
from rearguard_exporter.values.processor_use import ProcessorUse, of_host, of_process

if TYPE_CHECKING:  # slow to import, so that is done with the first monitor
    import psutil

_CGROUP = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_PERCENT = 100.0


def memory_limit(root: Path = _CGROUP, membership: Path = _SELF, host: int | None = None) -> int:
    """Bytes this process may use: the tightest limit of its cgroup and the groups above it, else the host's memory.

    cgroup version 2 has it in `memory.max`, version 1 in `memory/**/memory.limit_in_bytes`. "max", and numbers not
    below the host's memory, mean no limit. Inside a container the root of the tree is the container's own group.
    """
    if host is None:
        import psutil  # noqa: PLC0415 - as above

        host = psutil.virtual_memory().total
    limits = [limit for limit in _cgroup_limits(root, membership) if 0 < limit < host]
    return min(limits, default=host)


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
        self._process: psutil.Process | None = None
        self._of_process, self._of_host = ProcessorUse(), ProcessorUse()
        self._figures: dict[Family, Mapping[str, float]] = {}  # by the value of the family's label; "" without one

    def sample(self) -> None:
        """Measure now. This reads a few files of /proc. Call it from one thread at a time."""
        psutil, process = self._psutil, self._process
        if process is None or process.pid != os.getpid():
            process = self._process = psutil.Process()
            self._of_process, self._of_host = ProcessorUse(), ProcessorUse()
        memory = psutil.virtual_memory()
        self._figures = {
            families.MEMORY_USAGE: {"": float(process.memory_info().rss)},
            families.MEMORY_LIMIT: {"": float(memory_limit(host=memory.total))},
            families.SYSTEM_MEMORY: {"used": memory.percent / _PERCENT},
            families.PROCESS_CPU: self._of_process.since_last(of_process(process.cpu_times()), monotonic()),
            families.SYSTEM_CPU: self._of_host.since_last(*of_host(psutil.cpu_times())),
        }

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
