"""Descendants: the processes that a command started, also those that left its process group.

Here: finding them in /proc, and ending them: SIGTERM to all, SIGKILL to what is left after a grace. A process belongs
to a command by its group, its session, its parents, or the variable REARGUARD_RUN, which it inherits. One that took
off all four is known only as an orphan that this process adopted: see `Children`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from rearguard_controller.adapters.actions import process_groups
from rearguard_controller.adapters.actions.shortage import missing

log = structlog.get_logger(__name__)

RUN = "REARGUARD_RUN"  # the variable whose value is another one for each start of a command
REAP_EVERY = 2.0  # seconds between two looks for adopted processes that ended
_POLL = 0.05  # seconds between two looks at the processes of a command
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Process:
    """One that runs, as /proc shows it."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    began: int  # in the kernel's ticks since the boot


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of ending a command.

    Attributes:
        outside: how many processes that had left its group were ended.
        running: those that still run.
    """

    outside: int = 0
    running: tuple[int, ...] = ()


Orphans = Callable[[list[Process]], set[int]]
T = TypeVar("T")


async def end(leader: int, run: str = "", *, orphans: Orphans = lambda _found: set()) -> Ended:
    """End a command with all that it started, whether or not it still is in its process group.

    Args:
        leader: the first process of the command, which gave its number to the group and the session.
        run: its REARGUARD_RUN; found out if it is not known.
        orphans: which of all processes belong to it without any other sign.
    """
    search = _Search(leader, run or _variable(leader), orphans)
    deadline = time.monotonic() + process_groups.TERM_GRACE
    told: set[int] = set()
    outside: set[int] = set()
    while True:
        family = search.family()  # before the first signal: an orphan shows no parents any more
        if family is None:  # /proc cannot be read: the group is all that is known
            await process_groups.end(leader)
            return Ended()
        outside |= {each.pid for each in family if each.group != leader}
        late = time.monotonic() >= deadline
        if not family or time.monotonic() >= deadline + process_groups.REAP_GRACE:
            running = tuple(each.pid for each in family)
            return Ended(len(outside - set(running)), running)
        if not told:
            process_groups.send(leader, signal.SIGTERM)
        for each in family:
            if late or (each.group != leader and each.pid not in told):
                _send(each, signal.SIGKILL if late else signal.SIGTERM)
            told.add(each.pid)
        await asyncio.sleep(_POLL)


def kill(leader: int, run: str) -> None:
    """SIGKILL to a command with all that it started, at once."""
    family = _Search(leader, run, lambda _found: set()).family()
    process_groups.send(leader, signal.SIGKILL)
    for each in family or ():
        _send(each, signal.SIGKILL)


def _send(process: Process, number: int) -> None:
    if process_groups.began(process.pid) in (process.began, 0):  # else it ended, and the number may be another's
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


class _Search:
    """Looks for the processes of a command, and remembers which it found: they may cut their ties later."""

    def __init__(self, leader: int, run: str, orphans: Orphans) -> None:
        self._leader, self._orphans = leader, orphans
        self._sign = f"{RUN}={run}".encode() if run else b""
        self._since = process_groups.began(leader) or 0
        self._known: dict[int, int] = {}

    def family(self) -> list[Process] | None:
        """Those that run now; None if /proc cannot be read. We ourselves are never among them."""
        found = processes()
        if found is None:
            return None
        own = {each.pid for each in found if self._is_ours(each)} | self._orphans(found)
        own.discard(os.getpid())
        more = own
        while more:
            more = {each.pid for each in found if each.parent in more} - own - {os.getpid()}
            own |= more
        self._known |= {each.pid: each.began for each in found if each.pid in own}
        return [each for each in found if each.pid in own and each.state not in process_groups.ENDED]

    def _is_ours(self, process: Process) -> bool:
        if self._leader in (process.pid, process.group, process.session):
            return True
        if self._known.get(process.pid) == process.began:
            return True
        young = process.began >= self._since  # there may be thousands of others
        return young and self._sign != b"" and self._sign in _environment(process.pid)


def processes() -> list[Process] | None:
    """All processes, also those that only wait to be reaped; None if they cannot be read."""
    found = []
    try:
        for name in os.listdir("/proc"):  # noqa: PTH208  # thousands of names
            if name.isdecimal():
                process = _process(name)
                if process is not None:
                    found.append(process)
    except OSError:
        return None
    return found or None


def _process(pid: str) -> Process | None:
    """One process; None if it ended meanwhile.

    Raises:
        OSError: it cannot be read for want of a descriptor.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # thousands of them
            state, *numbers = file.read().rpartition(b")")[2].split()
        parent, group, session = (int(each) for each in numbers[:3])
        return Process(int(pid), state.decode(), parent, group, session, int(numbers[18]))
    except (ValueError, IndexError):
        return None
    except OSError as error:
        if missing(error):
            raise
        return None


def _environment(pid: int) -> list[bytes]:
    """The variables that a process began with; none if it is not ours to read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _variable(pid: int) -> str:
    start = f"{RUN}=".encode()
    for each in _environment(pid):
        if each.startswith(start):
            return each.removeprefix(start).decode(errors="replace")
    return ""


@dataclass(slots=True)
class _Running:
    began: int
    alone: bool


@dataclass(slots=True)
class Children:
    """The commands that run now, and the orphans of commands that this process adopted.

    A process whose parent ended gets the controller as its parent once `adopt` was called. So a daemon that took off
    every sign is still known to come from a command: from the only one that ran.
    """

    _adopts: bool = field(default=False, init=False)
    _starting: int = field(default=0, init=False)
    _starts: set[asyncio.Task[Any]] = field(default_factory=set, init=False)
    _running: dict[int, _Running] = field(default_factory=dict, init=False)
    _reaped_at: float = field(default=0.0, init=False)

    def adopt(self) -> None:
        """From now on this process adopts the orphans among its descendants, and reaps them. Linux only."""
        with suppress(OSError, AttributeError):
            self._adopts = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def begin(self, start: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin to start a command; who gives it up leaves the task to us."""
        task = asyncio.get_running_loop().create_task(start)
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        return task

    async def none_starts(self) -> None:
        """Return when no start is under way: an event loop that is closed amid one waits for it for ever."""
        while self._starts:
            await asyncio.wait(self._starts)

    def starting(self) -> None:
        """A command is about to be started: until `started`, a child that is not known may be it."""
        self._starting += 1

    def started(self, pid: int | None) -> None:
        """It has been started; None if it could not be."""
        self._starting -= 1
        if pid is None:
            return
        for other in self._running.values():
            other.alone = False
        self._running[pid] = _Running(process_groups.began(pid) or 0, alone=not self._running and not self._starting)

    def ended(self, pid: int) -> None:
        """A command has ended and was reaped."""
        self._running.pop(pid, None)
        self._reap()

    def orphans_of(self, pid: int) -> Orphans:
        """Finds the adopted orphans that can only come from a command: none if another one ran beside it."""
        running = self._running.get(pid)

        def find(found: list[Process]) -> set[int]:
            if running is None or not running.alone or self._starting or not running.began:
                return set()
            return {
                each.pid for each in self._adopted(found) if each.began >= running.began and not _variable(each.pid)
            }

        return find

    def _adopted(self, found: list[Process]) -> list[Process]:
        """The orphans: children of ours that we did not start. Those of our own session we may have started."""
        if not self._adopts:
            return []
        own, session = os.getpid(), os.getsid(0)
        return [
            each for each in found if each.parent == own and each.session != session and each.pid not in self._running
        ]

    def _reap(self) -> None:
        """Take the leave of adopted processes that ended; nobody else waits for them."""
        if not self._adopts or self._starting or time.monotonic() - self._reaped_at < REAP_EVERY:
            return
        self._reaped_at = time.monotonic()
        for each in self._adopted(_children()):
            if each.state == "Z":
                with suppress(ChildProcessError):
                    os.waitpid(each.pid, os.WNOHANG)


def _children() -> list[Process]:
    """The children of this process, also those that have ended."""
    try:
        lists = [(task / "children").read_text().split() for task in Path("/proc/self/task").iterdir()]
        return [each for pids in lists for pid in pids if (each := _process(pid)) is not None]
    except OSError:  # a kernel without such lists, or no descriptor
        return processes() or []
