"""Process groups: whether one still runs, and ending it.

Here: SIGTERM to all of a group, SIGKILL to what is left of it after a grace; and the start time that tells a process
from a later one with the same number.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from rearguard_controller.adapters.actions.shortage import missing

REAP_GRACE = 2.0  # seconds for a killed process to go; one that cannot be ended must not keep traffic drained
TERM_GRACE = 3.0  # seconds between SIGTERM and SIGKILL
_POLL = 0.02  # seconds between two looks at a process group
ENDED = ("Z", "X")  # only waiting to be reaped


async def end(group: int) -> None:
    """SIGTERM to all of the group, SIGKILL to what is left of it after the grace."""
    deadline = time.monotonic() + TERM_GRACE
    alive = send(group, signal.SIGTERM)
    while alive and time.monotonic() < deadline:
        await asyncio.sleep(_POLL)
        alive = send(group, 0) and _runs(group)
    if alive:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Signal a process group; False when there is none any more."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # a member changed its user: it is there, but not ours to end
        return True
    return True


def began(pid: int) -> int | None:
    """When a running process began, in the kernel's ticks since the boot; None when it has ended.

    Without /proc, or without a descriptor to read it with, 0 for every process that there is.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in ENDED else int(fields[19])
    except (OSError, IndexError, ValueError) as error:
        if not missing(error) and Path("/proc/self/stat").exists():
            return None
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return 0
    return None


def holders(file: os.stat_result) -> list[int]:
    """The processes, other than this one, that have a file open; none without /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            if pid != os.getpid() and any(_same(link, file) for link in (folder / "fd").iterdir()):
                found.append(pid)
    return found


def _same(link: Path, file: os.stat_result) -> bool:
    try:
        other = link.stat()
    except OSError:
        return False
    return (other.st_dev, other.st_ino) == (file.st_dev, file.st_ino)


def _runs(group: int) -> bool:
    """Whether any process of a group still runs; those that only wait to be reaped by somebody else do not.

    In a container whose first process reaps nobody, they would keep the group for ever. True if /proc cannot be read.
    """
    found = False
    try:
        for file in Path("/proc").glob("[0-9]*/stat"):
            found = True
            if _is_member(file, group):
                return True
    except OSError:  # for want of a descriptor: the group may run
        return True
    return not found


def _is_member(file: Path, group: int) -> bool:
    """Whether the process of a file in /proc runs in this group.

    Raises:
        OSError: it cannot be read for want of a descriptor.
    """
    try:
        state, _, member_of = file.read_text(errors="replace").rpartition(")")[2].split()[:3]
        return int(member_of) == group and state not in ENDED
    except ValueError:
        return False
    except OSError as error:  # else it ended meanwhile
        if missing(error):
            raise
        return False
