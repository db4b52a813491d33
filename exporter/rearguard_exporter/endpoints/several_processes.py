"""Warns where several processes answer scrapes on one port: each shows its own counts, so that no rate is right.

Here: what a process can know of its siblings, and the one line in the log. Prometheus sees the rest: the controller's
readiness check `one_process_per_address`.
"""

import multiprocessing
import os

import psutil

from rearguard_exporter.fault_barrier import log, quiet

_told: set[int] = set()  # processes that looked, by id: a fork inherits what its parent found


@quiet
def warn_if_shared(*, says_so: bool | None = None) -> None:
    """Say once in each process that others answer on its port, too.

    Call it when the application's own port is scraped. `says_so` is the server's word (`wsgi.multiprocess`); None:
    it has none, and the processes beside this one tell.
    """
    if os.getpid() in _told:
        return
    _told.add(os.getpid())
    if is_one_of_several() if says_so is None else says_so:
        log.warning(
            "rearguard_exporter: process %d answers /metrics on a port that it shares with other processes. Each "
            "scrape meets another one: counters jump back and forth, and no rate, alert or rollback can be right. "
            "Give each process a port of its own (listen=, REARGUARD_LISTEN), or run one process: see 'Several "
            "processes' in exporter/README.md",
            os.getpid(),
        )


def is_one_of_several() -> bool:
    """Whether the parent of this process runs more processes of the same program, as servers with workers do.

    It must be the program itself that was forked, or `multiprocessing` that began this process. A supervisor that
    runs two servers is neither.
    """
    try:
        this = psutil.Process()
        parent, mine = this.parent(), this.cmdline()
        if parent is None or not (multiprocessing.parent_process() is not None or parent.cmdline() == mine):
            return False
        return sum(_alike(child, mine) for child in parent.children()) > 1
    except psutil.Error:
        return False


def _alike(process: psutil.Process, command: list[str]) -> bool:
    """Whether a process runs the same program; what `multiprocessing` passes to its processes differs in numbers."""
    try:
        other = process.cmdline()
    except psutil.Error:
        return False
    return other == command or (
        "--multiprocessing-fork" in command and other[:2] == command[:2] and other[-1:] == command[-1:]
    )
