"""Where a journal lies: its one true path, and the locks that keep every other process out.

Here: resolving links, refusing what two processes could use in two ways, the locks, and the note of which journal is
kept here. Two locks are held: that of the lock file beside the journal, which also holds while there is no journal
yet, and one on the journal's own file, which holds whatever path leads to it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
from pathlib import Path

import structlog

from rearguard_controller import own_files
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite import rescue

log = structlog.get_logger(__name__)

# SQLite locks single bytes of its file from here on, with locks that belong to the process. Ours belong to the open
# descriptor and lie elsewhere in the file: neither kind drops or meets the other.
_SQLITE_BYTES = 0x40000000
_SQLITE_SHARED = (_SQLITE_BYTES + 2, 510)
_OUR_BYTE = (1 << 40, 1)
_NOTE = re.compile(r"[0-9a-f]{16,64}(-harmed)?")
_NOTE_MOST = 96  # bytes
_DOUBT = "-harmed"
_TAKEN = "Stop it first, or give this one a journal of its own; several replicas need PostgreSQL."


class Place:
    """The journal's file and its lock file, held by this process alone."""

    def __init__(self, path: Path, lock: int, file: int) -> None:
        """Use `take`."""
        self.path = path
        self.file = file
        self._lock = lock

    @classmethod
    def take(cls, given: Path) -> Place:
        """Lock the journal at a path, or make an empty one there.

        Raises:
            JournalError: another process holds it, it cannot be opened, it has more than one name, or it is gone
                although one was kept here.
        """
        path = Path(os.path.realpath(given))
        with contextlib.ExitStack() as opened:
            lock = _take_lock_file(path)
            opened.callback(os.close, lock)
            file = _take_file(path, _noted(lock))
            opened.callback(os.close, file)
            for end in ("-wal", "-shm"):
                _tighten(Path(f"{path}{end}"))
            opened.pop_all()
        return cls(path, lock, file)

    @property
    def doubtful(self) -> bool:
        """Whether the journal was seen to be harmed and has not been looked through since."""
        return _noted(self._lock).endswith(_DOUBT)

    def check(self, identity: str) -> None:
        """Refuse a journal that is not the one which was kept here; an empty identity is that of an empty file.

        Raises:
            JournalError: it is another one.
        """
        kept = _noted(self._lock).removesuffix(_DOUBT)
        if kept and identity != kept:
            what = (
                "is not the journal that was kept there" if identity else "is empty, though a journal was kept there"
            )
            raise JournalError(
                f"The file {self.path} {what}.",
                hint=f"{self.way_back()} To go on with this file all the same, remove {self.path}.lock.",
            )

    def note(self, identity: str) -> None:
        """Remember which journal is kept here, and that nothing is wrong with it."""
        if identity != _noted(self._lock):
            with contextlib.suppress(OSError):  # a full disk: the next start tries again
                os.pwrite(self._lock, identity.encode().ljust(_NOTE_MOST), 0)

    def note_doubt(self, *, gone: bool = False) -> None:
        """Have the next start look through the whole journal, or no more if the doubt is `gone`."""
        self.note(_noted(self._lock).removesuffix(_DOUBT) + ("" if gone else _DOUBT))

    def way_back(self) -> str:
        """A sentence that says how the journal can be had again."""
        return _way_back(self.path)

    def let_be(self) -> None:
        """From now on SQLite neither moves its log into the file nor deletes the log when it closes."""
        with contextlib.suppress(OSError):
            _lock_bytes(self.file, fcntl.F_RDLCK, *_SQLITE_SHARED)

    def close(self) -> None:
        """Let go of the journal; SQLite must have closed it before."""
        os.close(self.file)
        os.close(self._lock)


def rescued(path: Path) -> list[Path]:
    """The copies that were saved of a journal, oldest first."""
    return sorted(each for each in path.parent.glob(f"{path.name}.rescued-*") if own_files.is_own(each))


def _way_back(path: Path) -> str:
    copies = rescued(path)
    if not copies:
        return "Put the journal back, or restore it from a backup."
    if copies[-1].name.endswith(rescue.NOT_WHOLE):
        return f"Put the journal back, or restore it from a backup. What could still be read is in {copies[-1]}."
    return f"What it held was saved: move {copies[-1]} to {path}."


# --- the lock file ---------------------------------------------------------------------------------------


def _take_lock_file(path: Path) -> int:
    own = Path(f"{path}.lock")
    try:
        _tighten_folder(path.parent)
        lock = own_files.open_own(own)
    except OSError as error:
        raise _cannot(path, error, "Its folder must exist and belong to the controller's user.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JournalError(f"Another controller uses the journal {path}.", hint=_TAKEN) from error
    return lock


def _noted(lock: int) -> str:
    """Which journal is kept here, as the lock file says; empty if it says nothing yet."""
    text = os.pread(lock, _NOTE_MOST, 0).decode(errors="replace").strip()
    return text if _NOTE.fullmatch(text) else ""


# --- the journal's own file ------------------------------------------------------------------------------


def _take_file(path: Path, noted: str) -> int:
    try:
        there = path.lstat()
    except FileNotFoundError:
        there = None
    except OSError as error:
        raise _cannot(path, error) from error
    if there is None and (noted or rescued(path)):
        raise JournalError(
            f"The journal {path} is gone.",
            hint=f"{_way_back(path)} To begin with an empty one, remove {path}.lock and what was saved.",
        )
    try:
        file = own_files.open_own(path)
    except OSError as error:
        raise _cannot(path, error, _hint(path, error)) from error
    try:
        _refuse_own_mount(path, file)
        _lock_bytes(file, fcntl.F_WRLCK, *_OUR_BYTE)
    except BlockingIOError as error:
        os.close(file)
        raise JournalError(
            f"Another controller uses the journal {path}, perhaps by another path.", hint=_TAKEN
        ) from error
    except BaseException:
        os.close(file)
        raise
    return file


def _hint(path: Path, error: OSError) -> str:
    if error.errno == errno.EMLINK:
        return (
            "Two controllers could use it by two names: remove the other name"
            f" (find it with: find / -xdev -samefile {path})."
        )
    return "It must be a file of the controller's user alone, which others cannot write to."


def _refuse_own_mount(path: Path, file: int) -> None:
    """Refuse a file that is mounted by itself: SQLite keeps its log beside it, where the mount does not reach."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mounts = {_mount(file), _mount(folder)}
    finally:
        os.close(folder)
    if len(mounts) > 1:
        raise JournalError(
            f"The journal {path} is mounted as a single file, so what is written beside it is kept elsewhere.",
            hint="Mount its folder instead.",
        )


def _mount(descriptor: int) -> str:
    """The number of the mount that a descriptor was opened in; empty without /proc."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
            if line.startswith("mnt_id:"):
                return line
    return ""


def _lock_bytes(file: int, kind: int, start: int, length: int) -> None:
    """Lock a range for this open descriptor.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: this file system has no such locks.
    """
    if hasattr(fcntl, "F_OFD_SETLK"):
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
        except PermissionError as error:  # what POSIX also allows for a range that somebody else holds
            raise BlockingIOError(*error.args) from error
    elif kind == fcntl.F_WRLCK:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- what others may do ----------------------------------------------------------------------------------


def _tighten(path: Path) -> None:
    """Take away what others may do with a file that SQLite left beside the journal."""
    try:
        os.close(own_files.open_own(path, create=False))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot(
            path, error, "Look at what it is; SQLite makes it anew if the controller was stopped."
        ) from error


def _tighten_folder(folder: Path) -> None:
    """Whoever may write to the folder could take the journal away or put another one in its place."""
    found = folder.stat()
    if not found.st_mode & stat.S_IWOTH or found.st_mode & stat.S_ISVTX:
        return
    try:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~stat.S_IWOTH)
        log.warning("folder_tightened", folder=str(folder), why="everybody could write to it")
    except OSError:  # a volume of Kubernetes, for one: nobody else is in that container
        log.warning("folder_open_to_others", folder=str(folder), hint="Keep the journal in a folder of its own.")


def _cannot(path: Path, error: OSError, hint: str = "Look at the journal's folder.") -> JournalError:
    named = str(error.filename or path)
    which = f"The journal {path}" if named in (str(path), "") else f"The file {named} of the journal"
    return JournalError(f"{which} cannot be opened: {error.strerror or error}.", hint=hint)
