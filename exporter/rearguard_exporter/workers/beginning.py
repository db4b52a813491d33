"""A process joins the folder: it gets a file, a generation and a number, and folds the dead on the way."""

import contextlib
import fcntl
import os
import time
from typing import Any

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.workers.folder import NEW, WORKER, Folder, Look
from rearguard_exporter.workers.folding import fold
from rearguard_exporter.workers.layout import Head, mark_of
from rearguard_exporter.workers.opened_file import OpenedFile
from rearguard_exporter.workers.own_file import OwnFile

_TRIES = 3  # whoever is in charge takes a file for left over that is not locked yet
_PATIENCE = 1.0  # seconds to wait for whoever is in charge; a stopped process must not stop others


def begin(folder: Folder, identity: dict[str, Any], limit: int) -> OwnFile:
    """The file of this process. `limit` is each family's limit of series in an archive.

    Raises:
        OSError: the folder cannot be used, or is full.
    """
    return folder.made_in(lambda: _begun(folder, identity, limit))


def _begun(folder: Folder, identity: dict[str, Any], limit: int) -> OwnFile:
    with folder.in_charge(_PATIENCE) as is_in_charge:
        if is_in_charge:
            try:
                fold(folder, limit)
            except OSError:
                report("folding the counts of workers that ended")
        look = folder.look(doubles=False)
        living = look.living()
        generation, number = _generation(look, living, identity), _number(living)
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                return _made(folder, generation, number, identity)
        return _made(folder, generation, number, identity)


def _made(folder: Folder, generation: int, number: int, identity: dict[str, Any]) -> OwnFile:
    name = folder.new_name()
    head = Head(generation, time.time(), os.getpid(), number, identity, mark_of(name))
    new, path = folder.path / (name + NEW), folder.path / (name + WORKER)
    file = open_locked(new)
    folder.held.add(file)
    try:
        made = OwnFile(file, new, head)
        new.rename(path)  # whoever finds it under its name finds it whole, and its owner alive
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    finally:
        folder.held.discard(file)
    made.path = path
    return made


def open_locked(path: "os.PathLike[str]") -> int:
    """A new file, on which this process holds the lock.

    Raises:
        OSError: it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(path, flags, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _generation(look: Look, living: list[OpenedFile], identity: dict[str, Any]) -> int:
    """That of living workers of the same identity, else the newest if it has it, else a new one."""
    same = [each.head.generation for each in living if each.head.identity == identity]
    if same:
        return max(same)
    known = [(each.head.generation, each.head.identity == identity) for each in (*look.workers, *look.archives)]
    newest = max((generation for generation, _ in known), default=0)
    return newest if (newest, True) in known else newest + 1


def _number(living: list[OpenedFile]) -> int:
    taken = {each.head.number for each in living}
    return next(number for number in range(len(taken) + 1) if number not in taken)
