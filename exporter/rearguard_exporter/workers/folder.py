"""The folder of the workers: which files there are, who is in charge of it for a moment, and what is wrong with it.

Here: names, the lock, a consistent look at all files. Never here: what files hold (layout), adding up (merging).
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from rearguard_exporter.fault_barrier import log
from rearguard_exporter.workers.layout import FORMAT, RefusedError
from rearguard_exporter.workers.opened_file import OpenedFile

WORKER: Final = ".worker"
ARCHIVE: Final = ".archive"
NEW: Final = ".new"
_MOST_TOLD = 20  # files that the log names
TRIES: Final = 20  # looks that others' folding may spoil; steps in which somebody may delete the folder

_Made = TypeVar("_Made")

_Version = tuple[int, int]
"""Inode and time of the last write of a file: one that was replaced or mended is another one."""


@dataclass(slots=True)
class Look:
    """Files that belong together: no count is in two of them, and none is missing."""

    workers: list[OpenedFile] = field(default_factory=list)
    archives: list[OpenedFile] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)  # files that an archive holds, but that still exist

    def living(self) -> list[OpenedFile]:
        """The files of processes that live."""
        return [each for each in self.workers if not each.is_dead()]


class Folder:
    """The files of one service and environment in the folder `path`."""

    def __init__(self, path: Path, service: str, environment: str) -> None:
        self.path = path
        digest = hashlib.sha256(f"{FORMAT}\0{service}\0{environment}".encode()).hexdigest()[:12]
        self._prefix = f"{digest}-"
        self._lock_path = path / f"{digest}.lock"
        self._known: dict[tuple[str, int], OpenedFile] = {}  # by name and inode
        self._refused: dict[str, _Version] = {}  # by name
        self._told: set[str] = set()
        self.held: set[int] = set()
        """Descriptors with locks, which a forked process must close: its copy would hold the lock, too."""

    def prepare(self) -> None:
        """Make the folder if it is missing.

        Raises:
            FileNotFoundError: somebody deleted it meanwhile.
            OSError: it cannot be made or written to, or it is a symbolic link or no folder.
        """
        if self.path.is_symlink():
            raise OSError("it is a symbolic link; name the folder itself")
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700, parents=True)
        if not stat.S_ISDIR(self.path.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        if not os.access(self.path, os.W_OK | os.X_OK | os.R_OK):
            self.path.lstat()
            raise OSError(f"user {os.geteuid()} may not write to it")

    def made_in(self, step: Callable[[], _Made]) -> _Made:
        """The result of `step`, which writes in the folder; done anew when somebody deletes the folder meanwhile.

        Raises:
            OSError: the folder cannot be made or used, or is deleted again and again.
        """
        for _ in range(TRIES):
            with contextlib.suppress(FileNotFoundError):
                self.prepare()
                return step()
        raise OSError("it is deleted again and again")

    def forget(self) -> None:
        """Close what was opened. A forked process calls this, and one that needs the folder no more."""
        for each in self._known.values():
            each.close()
        self._known = {}
        for file in self.held:
            os.close(file)
        self.held = set()

    def new_name(self) -> str:
        """A name that was never used, and never will be."""
        return f"{self._prefix}{time.time_ns():x}-{secrets.token_hex(8)}"

    def archive_path(self, generation: int) -> Path:
        """Where the archive of a generation is."""
        return self.path / f"{self._prefix}{generation:08d}{ARCHIVE}"

    @contextlib.contextmanager
    def in_charge(self, seconds: float) -> Iterator[bool]:
        """Be the only one that begins files and folds. False: another one still was after so many seconds.

        Raises:
            OSError: the lock cannot be opened.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._lock_path, flags, 0o600)
        self.held.add(file)
        try:
            yield _locked(file, time.monotonic() + seconds)
        finally:
            if file in self.held:  # else this is a process that was forked meanwhile
                self.held.discard(file)
                os.close(file)

    def look(self, *, doubles: bool = True) -> Look:
        """All files as they belong together; with `doubles` their values as they are now.

        Raises:
            OSError: the folder cannot be read.
        """
        for _ in range(TRIES):
            look = self._look_once(doubles=doubles)
            if look is not None:
                return look
        raise OSError("its files do not come to rest")

    def stale(self) -> list[str]:
        """Files that were begun and got no name, by processes that have ended. Only who is in charge may ask."""
        return [name for name in self._names() if name.endswith(NEW) and self._is_nobodys(name)]

    def _is_nobodys(self, name: str) -> bool:
        """Whether no process holds it: one that waited for its turn in vain begins its file all the same."""
        try:
            file = os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True

    def _names(self) -> list[str]:
        # Not Path.iterdir: there may be a thousand files.
        return sorted(name for name in os.listdir(self.path) if name.startswith(self._prefix))  # noqa: PTH208

    def _look_once(self, *, doubles: bool) -> Look | None:
        """None: somebody folded meanwhile."""
        try:
            archives = [self._open(name) for name in self._names() if name.endswith(ARCHIVE)]
            look = Look(archives=[each for each in archives if each is not None])
            for each in look.archives:
                if each.fault or not each.records:
                    self.read(each)
            absorbed = {name for each in look.archives for name in each.absorbed}
            names = [name for name in self._names() if name.endswith(WORKER)]
            look.left_over = [name for name in names if name in absorbed]
            found = [self._open(name) for name in names if name not in absorbed]
            look.workers = [each for each in found if each is not None]
            if not self._is_same(look.archives):
                return None
        except FileNotFoundError:
            if not self.path.is_dir():
                raise
            return None
        for each in look.workers:
            each.is_dead()  # before it is read: what a dead one holds is final
            if doubles:
                self.read(each)
        used = {(each.name, each.inode) for each in (*look.workers, *look.archives)}
        for key in self._known.keys() - used:
            self._known.pop(key).close()
        return look

    def _is_same(self, archives: list[OpenedFile]) -> bool:
        now = {name: self._version(name) for name in self._names() if name.endswith(ARCHIVE)}
        return {each.name: each.inode for each in archives} == {
            name: version[0] for name, version in now.items() if self._refused.get(name) != version
        }

    def _version(self, name: str) -> _Version:
        told = (self.path / name).lstat()
        return told.st_ino, told.st_mtime_ns

    def read(self, each: OpenedFile) -> None:
        """Read a file as it is now, and say once if something is wrong with it."""
        each.look()
        if each.fault:
            self.tell(each.name, f"{each.fault}; what stands before it counts")

    def _open(self, name: str) -> OpenedFile | None:
        """The file; None if it is refused."""
        version = self._version(name)
        found = self._known.get((name, version[0]))
        if found is not None:
            return found
        if self._refused.get(name) == version:
            return None
        try:
            made = self._known[name, version[0]] = OpenedFile(self.path / name)
        except RefusedError as refused:
            self._refused[name] = version
            self.tell(name, f"{refused}; it is left out")
            return None
        return made

    def tell(self, name: str, fault: str) -> None:
        """Say once what is wrong with a file."""
        if name in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(name)
        log.warning(
            "rearguard_exporter: the workers' file %s cannot be used as it is: %s. The others count on; delete it "
            "once no worker uses it", self.path / name, fault,
        )  # fmt: skip


def _locked(file: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        else:
            return True
