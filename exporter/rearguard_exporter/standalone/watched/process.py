"""The figures of the watched process, under the names that an instrumented application has, and those of the host.

Of several processes, as of a unit's workers, they are the sum. A scrape reads the last look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rearguard_exporter import families
from rearguard_exporter.background.threads import Ticker
from rearguard_exporter.families import STANDARD, Family
from rearguard_exporter.fault_barrier import log, report
from rearguard_exporter.standalone.config.configuration import ProcessSettings
from rearguard_exporter.standalone.families import WATCHED_PROCESSES
from rearguard_exporter.standalone.watched.figures import Figures
from rearguard_exporter.standalone.watched.members import CGROUPS, Members
from rearguard_exporter.values.process_figures import memory_limit
from rearguard_exporter.values.processor_use import ProcessorUse, of_host, of_process

if TYPE_CHECKING:
    import psutil

_OLD = 60.0  # seconds after which a look is not shown any more, or three intervals
_PERCENT = 100.0
_NAMED = {family.name: family for family in STANDARD}
_VIRTUAL = _NAMED["process_virtual_memory_bytes"]
_RESIDENT = _NAMED["process_resident_memory_bytes"]
_START = _NAMED["process_start_time_seconds"]
_SECONDS = _NAMED["process_cpu_seconds_total"]
_OPEN_FILES = _NAMED["process_open_fds"]
_MOST_FILES = _NAMED["process_max_fds"]

_Values = Mapping[tuple[str, ...], float]


class WatchedProcess:
    """Looks at the process every `interval` seconds, in a thread. Without it there are the host's figures."""

    def __init__(self, settings: ProcessSettings, cgroups: Path = CGROUPS) -> None:
        self._members = Members(settings.way, settings.value, cgroups)
        self._of_process, self._of_host = ProcessorUse(), ProcessorUse()
        self._used: dict[tuple[int, float], Mapping[str, float]] = {}  # what each process has used, by mode
        self._gone = {"user": 0.0, "system": 0.0}  # what those that ended had used
        self._known: bool | None = None
        self._found: Figures = {}
        self._looked = monotonic()
        self._old = max(_OLD, 3 * settings.interval)
        self._ticker = Ticker("rearguard-process", self.look, settings.interval)

    @property
    def figures(self) -> Figures:
        """What the last look found; nothing if it is old, because the kernel holds a process that is looked at."""
        return self._found if monotonic() - self._looked < self._old else {}

    def start(self) -> None:
        """Look from now on."""
        self._ticker.start()

    def stop(self) -> None:
        """Look no more."""
        self._ticker.stop()

    def look(self) -> None:
        """Measure now. Call it from one thread at a time."""
        import psutil  # noqa: PLC0415 - slow to import

        found = self._members.find()
        self._tell(found)
        figures: dict[Family, _Values] = {WATCHED_PROCESSES: {(): float(len(found))}}
        hosts: list[tuple[Family, Callable[[], _Values]]] = [
            (families.SYSTEM_MEMORY, lambda: {("used",): psutil.virtual_memory().percent / _PERCENT}),
            (families.SYSTEM_CPU, lambda: _by_mode(self._of_host.since_last(*of_host(psutil.cpu_times())))),
        ]
        for family, measure in [*hosts, *(self._measures(found) if found else ())]:
            try:
                figures[family] = measure()
            except Exception as failure:  # noqa: BLE001 - psutil raises what the system does, and what it cannot parse
                if not isinstance(failure, psutil.NoSuchProcess):  # it ended while it was looked at
                    report(f"measuring {family.name} of the watched process")
        self._found, self._looked = figures, monotonic()

    def _measures(self, found: Sequence[psutil.Process]) -> list[tuple[Family, Callable[[], _Values]]]:
        def total(of_one: Callable[[psutil.Process], float]) -> Callable[[], _Values]:
            return lambda: {(): float(sum(of_one(each) for each in found))}

        return [
            (_SECONDS, lambda: {(): sum(self._seconds(found).values())}),
            (_RESIDENT, total(lambda each: each.memory_info().rss)),
            (_VIRTUAL, total(lambda each: each.memory_info().vms)),
            (_START, lambda: {(): found[0].create_time()}),
            (_OPEN_FILES, total(lambda each: each.num_fds())),
            (_MOST_FILES, lambda: {(): min(_most_files(each.pid) for each in found)}),
            (families.MEMORY_USAGE, lambda: {(): self._memory(found)}),
            (families.MEMORY_LIMIT, lambda: {(): self._limit(found)}),
            (families.PROCESS_CPU, lambda: _by_mode(self._of_process.since_last(self._seconds(found), monotonic()))),
        ]

    def _seconds(self, found: Sequence[psutil.Process]) -> dict[str, float]:
        """Seconds of processors by mode. What ended workers had used stays in the sum, so that it only grows."""
        now = {(each.pid, each.create_time()): of_process(each.cpu_times()) for each in found}
        for key in self._used.keys() - now.keys():
            for mode, seconds in self._used[key].items():
                self._gone[mode] += seconds
        self._used = now
        return {mode: gone + sum(used[mode] for used in now.values()) for mode, gone in self._gone.items()}

    def _memory(self, found: Sequence[psutil.Process]) -> float:
        """What the cgroup holds without what the kernel can drop at once; else the resident memory of all."""
        group = self._members.group
        used = None if group is None else _working_set(group)
        return float(sum(each.memory_info().rss for each in found)) if used is None else used

    def _limit(self, found: Sequence[psutil.Process]) -> float:
        return float(memory_limit(membership=Path(f"/proc/{found[0].pid}/cgroup")))

    def _tell(self, found: Sequence[psutil.Process]) -> None:
        is_there = bool(found)
        if is_there != self._known:
            log.info("rearguard_exporter: the watched process is %s", "there" if is_there else "not there")
        self._known = is_there


def _by_mode(shares: Mapping[str, float]) -> _Values:
    return {(mode,): share for mode, share in shares.items()}


def _most_files(pid: int) -> float:
    """The soft limit of open files. Everybody may read it, unlike psutil's way."""
    for line in Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines():
        if line.startswith("Max open files"):
            return float(line.split()[3].replace("unlimited", "inf"))
    raise ValueError("no limit of open files")


def _working_set(group: Path) -> float | None:
    """Bytes of a cgroup without inactive pages of files; None where the system does not say."""
    for usage, inactive in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
        try:
            used = int((group / usage).read_text(encoding="ascii"))
            stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            return float(max(0, used - int(stat[inactive])))
        except (OSError, ValueError, KeyError):
            continue
    return None
