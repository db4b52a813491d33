"""How the end of a process is noticed: by a descriptor, as asyncio does by itself from Python 3.12 on.

Before, asyncio begins a thread once the process runs. Where no thread is to be had, the command would be killed
half-way, and nobody could say that it had not begun.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVarTuple

_Arguments = TypeVarTuple("_Arguments")


def notice_by_descriptors() -> None:
    """Notice the ends of the processes that asyncio starts from here on without a thread, where the system can."""
    if sys.version_info < (3, 12) and not isinstance(asyncio.get_child_watcher(), _Watcher):
        with suppress(OSError):  # a kernel or a sandbox without such descriptors
            os.close(os.pidfd_open(os.getpid()))
            asyncio.set_child_watcher(_Watcher())


if sys.version_info < (3, 12):

    class _Watcher(asyncio.PidfdChildWatcher):
        """Serves every loop, and not only the one that it is attached to."""

        def is_active(self) -> bool:
            return True

        def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
            pass

        def add_child_handler(
            self, pid: int, callback: Callable[[int, int, *_Arguments], object], *args: *_Arguments
        ) -> None:
            # Starting the process took more descriptors than this one, and they are free again.
            descriptor = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(descriptor, _ended, pid, descriptor, callback, args)

        def remove_child_handler(self, pid: int) -> bool:  # noqa: ARG002 - asyncio's signature
            return True


def _ended(
    pid: int, descriptor: int, callback: Callable[[int, int, *_Arguments], object], args: tuple[*_Arguments]
) -> None:
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
    try:
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
    except ChildProcessError:  # somebody else has taken its code
        code = 255
    callback(pid, code, *args)
