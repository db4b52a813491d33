"""Figures of the process and the host, sampled by psutil in a thread and read at each scrape.

Ratios of the host are between 0 and 1. The processor ratio of the process is 1 for each processor that it uses.
Memory is in bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rearguard_exporter import families
from rearguard_exporter.families import Family

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
        self._figures: dict[Family, float] = {}

    def sample(self) -> None:
        """Measure now. This reads a few files of /proc. Call it from one thread at a time."""
        psutil, process = self._psutil, self._process
        first = process is None or process.pid != os.getpid()
        if process is None or first:
            process = self._process = psutil.Process()
        memory = psutil.virtual_memory()
        figures = {
            families.MEMORY_USAGE: float(process.memory_info().rss),
            families.MEMORY_LIMIT: float(memory_limit(host=memory.total)),
            families.SYSTEM_MEMORY: memory.percent / _PERCENT,
        }
        used, busy = process.cpu_percent(), psutil.cpu_percent()
        if not first:  # the first call only starts the measurement
            figures[families.PROCESS_CPU] = used / _PERCENT
            figures[families.SYSTEM_CPU] = busy / _PERCENT
        self._figures = figures

    def figures(self) -> dict[str, float]:
        """The last sample, by metric name."""
        return {family.name: value for family, value in self._figures.items()}

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One gauge for each figure."""
        for family, value in self._figures.items():
            yield GaugeMetricFamily(family.name, family.help, value=value)
