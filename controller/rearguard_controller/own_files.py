"""Files that the controller makes for itself: its journal, locks and reserve.

Here: opening them so that we never write into somebody else's file, and nobody else writes into ours.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO  # the permissions of everybody but the owner
_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_own(path: Path, *, create: bool = True) -> int:
    """Open a file of ours for reading and writing; a missing one is made, for its owner alone, if `create` says so.

    What others may do with a file that is there is taken away.

    Returns:
        A descriptor that commands do not inherit.

    Raises:
        OSError: it cannot be opened, is a link, has a second name (a hard link), is no regular file, or stays open to
            others. Nothing was changed.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe in its place must not hold us up
    while True:
        try:
            refuse_odd(path, path.lstat())
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
            with suppress(FileExistsError):  # another process made it meanwhile
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            continue
        break
    try:
        refuse_odd(path, os.fstat(descriptor))
        _tighten(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_odd(path: Path, found: os.stat_result) -> None:
    """Raise OSError when a file is not a regular one with a single name."""
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EPERM, "it is no regular file", str(path))
    if found.st_nlink > 1:
        raise OSError(errno.EMLINK, f"it has {found.st_nlink} names (hard links)", str(path))


def is_own(path: Path) -> bool:
    """Whether there is a regular file with a single name."""
    try:
        refuse_odd(path, path.lstat())
    except OSError:
        return False
    return True


def _tighten(path: Path, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if not found.st_mode & OTHERS:
        return
    try:
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~OTHERS)
    except PermissionError:
        if found.st_mode & _WRITE:
            raise OSError(errno.EPERM, "others may write to it, and it belongs to somebody else", str(path)) from None
