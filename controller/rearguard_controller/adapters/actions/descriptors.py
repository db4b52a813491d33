"""The limit of file descriptors: the controller takes what it may have, and commands keep what it was started with.

Programs that use `select` or close every possible descriptor rely on the usual soft limit, so they get it back.
"""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

from rearguard_controller.errors import ConfigError

HIGHEST = 65_536  # no more is of use here
LEAST = 32  # below, journal, loop and one command leave none for answers, and the controller would only hang


@dataclass(slots=True)
class _Inherited:
    soft: int | None = None  # None: it was never raised


_inherited = _Inherited()


def raise_limit() -> tuple[int, int]:
    """Raise the soft limit of this process to the hard one. Returns the soft limit before and now.

    Raises:
        ConfigError: even the hard one is too low to work with.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HIGHEST if hard == resource.RLIM_INFINITY else min(hard, HIGHEST)
    if wanted < LEAST:
        raise ConfigError(
            f"The controller may open only {wanted} files at once, and needs {LEAST} at the least.",
            hint="Raise it: ulimit -n, or LimitNOFILE= of its systemd unit.",
        )
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft, soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _inherited.soft = soft
    return soft, wanted


def give_back(pid: int) -> None:
    """Give a command the soft limit that this process was started with; where the system cannot, it keeps ours."""
    if _inherited.soft is None or not hasattr(resource, "prlimit"):
        return
    with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(_inherited.soft, hard), hard))
