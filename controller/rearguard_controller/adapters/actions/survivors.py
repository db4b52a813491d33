"""Survivors: a command lives on when its controller is killed, and no other may act on the target beside it.

Here: one lock file for each target. A controller locks it before it acts, and the command inherits the descriptor, so
that the lock outlives the controller; the file says which process the command is and when its time is up. Whoever
comes next waits until the command has ended, or ends it when its time is up.
A command is its first process: what it leaves behind on purpose after its own end (a service that it started) is
neither waited for nor ended.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import structlog

from rearguard_controller import own_files
from rearguard_controller.adapters.actions import descendants, process_groups
from rearguard_controller.adapters.actions.shortage import Patience, missing
from rearguard_controller.errors import ConfigError

log = structlog.get_logger(__name__)

_POLL = 0.05  # seconds between two looks at a lock
_SIZE = 512  # bytes of a record: the file keeps its size, so that a full disk refuses only the first one
_POSTGRES = "postgresql://"


@dataclass(frozen=True, slots=True)
class Record:
    """What a lock file says of the command that holds it."""

    world: str  # boot and process namespace: in another one the numbers mean nothing
    controller: int  # who started it
    pid: int | None  # None: it was about to be started
    began: int  # see process_groups.began
    until: float  # when its time is up, by the clock that never jumps


_KINDS = {"world": (str,), "controller": (int,), "pid": (int, type(None)), "began": (int,), "until": (int, float)}


class Lock:
    """A target's lock, held by us and by the command that inherits `descriptor`."""

    def __init__(self, descriptor: int, limit: float) -> None:
        """Wrap a descriptor that is locked; the command may take `limit` seconds."""
        self.descriptor = descriptor
        self._limit = limit

    def starting(self) -> None:
        """To be called right before the command is started."""
        self._write(None, 0)

    def started(self, pid: int) -> None:
        """To be called as soon as the command's process is known."""
        self._write(pid, process_groups.began(pid) or 0)

    def release(self) -> None:
        """Let go, also for processes that the command left behind with the descriptor."""
        _store(self.descriptor, b"")
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)

    def _write(self, pid: int | None, began: int) -> None:
        record = Record(_world(), os.getpid(), pid, began, time.monotonic() + self._limit)
        _store(self.descriptor, orjson.dumps(asdict(record)))


class Survivors:
    """The locks of all targets, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Use a folder of our own; see `state_folder`."""
        self._folder = folder
        _world()

    @asynccontextmanager
    async def alone(self, target: str, limit: float) -> AsyncIterator[Lock | None]:
        """Hold the target's lock; waits for a survivor, and ends it when its time is up.

        Yields:
            The lock, to be handed to the command; None when no lock can be had here (the folder is gone, the disk is
            full), which must not keep traffic drained.
        """
        lock, patience = None, Patience(limit)
        while lock is None:
            try:
                lock = Lock(await self._take(self._path(target), limit), limit)
            except OSError as error:
                pause = patience.pause() if missing(error) else None
                if pause is None:
                    log.warning("target_not_locked", target=target, error=error.strerror or str(error))
                    break
                await asyncio.sleep(pause)
        try:
            yield lock
        finally:
            if lock is not None:
                lock.release()

    async def settle(self, target: str, limit: float) -> None:
        """Return when no command of the target runs any more; one without a known end is given `limit` seconds."""
        async with self.alone(target, limit):
            pass

    def _path(self, target: str) -> Path:
        return self._folder / f"{target}.lock"

    async def _take(self, path: Path, limit: float) -> int:
        patience = time.monotonic() + limit
        descriptor = _open(path)
        try:
            while True:
                ours = _lock(descriptor)
                record = _read(descriptor)
                if record is not None and _lives(record):
                    if await _outlasts(record, path):
                        descriptor = _renew(descriptor, path)
                elif ours and _is_at(descriptor, path):
                    return descriptor
                elif ours or (record is not None and record.pid is not None) or time.monotonic() > patience:
                    if not ours and (record is None or record.pid is None):
                        await _end_unnamed(descriptor, record, path)
                    # Someone else holds this file's lock: a child that the command left running, or the file was
                    # replaced. Start again with a new file.
                    descriptor = _renew(descriptor, path)
                else:
                    await asyncio.sleep(_POLL)
        except BaseException:
            os.close(descriptor)
            raise


def state_folder(journal: str) -> Path:
    """The folder for the locks of a journal's targets: beside its file or in the run folder. Makes it if missing.

    Raises:
        ConfigError: it cannot be made, or belongs to somebody else.
    """
    if not journal.startswith(_POSTGRES):
        folder = Path(f"{os.path.realpath(journal)}.commands")  # one for all paths that lead to the journal
    else:
        where = urlsplit(journal)
        name = sha256(f"{where.hostname}:{where.port}{where.path}".encode()).hexdigest()[:12]
        folder = _run_folder() / name
    try:
        for each in (folder.parent, folder) if journal.startswith(_POSTGRES) else (folder,):
            each.mkdir(mode=0o700, exist_ok=True)
            _refuse_strangers(each)
    except OSError as error:
        raise ConfigError(
            f"The folder {folder}, for the locks of running commands, cannot be used: {error.strerror or error}.",
            hint="It must belong to the controller's user alone.",
        ) from error
    return folder


def _run_folder() -> Path:
    user = os.geteuid()
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{user}", "/run" if user == 0 else None):
        if parent and os.access(parent, os.W_OK | os.X_OK):
            return Path(parent) / "rearguard"
    return Path(tempfile.gettempdir()) / f"rearguard-{user}"


def _refuse_strangers(folder: Path) -> None:
    """Refuse a folder that others may write to, because the controller acts on what stands in its files."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(0, "others may write there")


# --- the file of a lock ------------------------------------------------------------------------------------


def _open(path: Path) -> int:
    return own_files.open_own(path)


def _renew(descriptor: int, path: Path) -> int:
    """A new file in place of one that can no longer be locked; the descriptor must be the old one's."""
    if _is_at(descriptor, path):
        path.unlink(missing_ok=True)
    fresh = _open(path)
    os.dup2(fresh, descriptor, inheritable=False)  # so that the caller closes the right one whatever happens
    os.close(fresh)
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Record | None:
    try:
        record = Record(**orjson.loads(os.pread(descriptor, _SIZE, 0)))
    except (orjson.JSONDecodeError, TypeError):  # empty, or half written by a process that was killed
        return None
    sound = all(type(getattr(record, name)) in kinds for name, kinds in _KINDS.items())
    return record if sound else None  # a command may write into its own lock file


def _store(descriptor: int, content: bytes) -> None:
    with suppress(OSError):  # a full disk: the lock itself still holds
        os.pwrite(descriptor, content.ljust(_SIZE), 0)


# --- the command that holds it -----------------------------------------------------------------------------


def _world() -> str:
    with suppress(OSError):
        return _read_world()
    return ""


@cache  # it never changes, and later there may be no descriptor to read it with
def _read_world() -> str:
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').stat().st_ino}"


def _lives(record: Record) -> bool:
    if record.pid is None or record.world != _world():
        return False
    began = process_groups.began(record.pid)
    return began is not None and (began == record.began or 0 in (began, record.began))  # 0: not known


async def _outlasts(record: Record, path: Path) -> bool:
    """Wait a little for a survivor, or end it if its time is up; True if it still runs after that."""
    if record.pid is None or time.monotonic() < record.until:
        await asyncio.sleep(_POLL)
        return False
    log.warning("survivor_ended", target=path.stem, pid=record.pid, why="its time is up")
    await descendants.end(record.pid)
    for _ in range(int(process_groups.REAP_GRACE / _POLL)):
        if not _lives(record):
            return False
        await asyncio.sleep(_POLL)
    return True


async def _end_unnamed(descriptor: int, record: Record | None, path: Path) -> None:
    """End who holds a lock whose controller was killed before it could name its command."""
    spared = {os.getpgrp(), *([] if record is None else [record.controller])}
    for pid in process_groups.holders(os.fstat(descriptor)):
        with suppress(ProcessLookupError):
            group = os.getpgid(pid)
            if pid not in spared and group not in spared:
                log.warning("survivor_ended", target=path.stem, pid=pid, why="its time is up")
                await descendants.end(group)
