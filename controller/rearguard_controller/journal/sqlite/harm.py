"""Harm from outside: the files of a journal are deleted, moved, replaced, cut or overwritten while it is used.

Here: noticing it by one look at each file before and after every commit, and the error that says what to do. SQLite
itself writes on into a file that nobody will find again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite import rescue
from rearguard_controller.journal.sqlite.log_marks import LogMarks
from rearguard_controller.journal.sqlite.place import Place

log = structlog.get_logger(__name__)

LOG_EVERY = 1.0  # seconds between two looks through the marks of the log
SAVE_AGAIN_EVERY = 30.0  # seconds between two tries to save a copy
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_MARKS = "select (select max(id) from inbox), (select max(seq) from decisions), (select max(seq) from rollbacks)"
_BESIDE = ("-wal", "-shm")

Print = tuple[int, int, int, int]  # device, inode, size and time of the last change of a file


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is damaged or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def quick_check(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong when it looks through the whole file; empty if nothing.

    Raises:
        sqlite3.Error: it could not be looked through.
    """
    try:
        found = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        if is_damage(error):
            return str(error)
        raise
    return "" if found == "ok" else " ".join(found.removeprefix("*** in database main ***").split())


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is wrong, and how it ends.

    Attributes:
        what: the sentence.
        passes: whether it is over when the file is back.
        intact: whether the journal's own file is as it was, so that its log can be moved into it.
        at_its_place: whether it also is where it was.
    """

    what: str
    passes: bool = False
    intact: bool = False
    at_its_place: bool = False


class Harm:
    """Watches the files of an open journal. The thread that writes calls its methods."""

    def __init__(self, place: Place) -> None:
        """Nothing is known yet: `note` what the files are like."""
        self._place = place
        self._paths = {end: f"{place.path}{end}" for end in ("", *_BESIDE)}
        self._prints: dict[str, Print | None] = {}
        self._marks: tuple[int, ...] = ()
        self._suspect = False
        self._log = LogMarks(self._paths["-wal"], self._paths["-shm"])
        self._log_at = float("-inf")  # when its marks were looked through
        self._seen: _Seen | None = None
        self._told: tuple[str, str] | None = None
        self._saved: rescue.Saved | None = None
        self._tried_at = float("-inf")

    @property
    def fault(self) -> JournalError | None:
        """Why nothing may be stored now, and what to do. Any thread may ask."""
        told = self._told
        return None if told is None else JournalError(told[0], hint=told[1])

    def suspect(self) -> None:
        """Look through the whole file before the next commit: reading it went wrong. Any thread may say so."""
        self._suspect = True

    def note(self, connection: sqlite3.Connection, *, inbox: int | None = None) -> bool:
        """Take the files as they are now for ours, right after SQLite wrote to them; False if they are not.

        Args:
            connection: the one that wrote.
            inbox: the highest number that alerts were given, or 0, if nothing else was added. Without it the
                highest numbers are asked for.
        """
        prints = self._fingerprints()
        if self._prints and self._out_of_place(prints) is not None:
            return False
        self._prints = prints
        if inbox is not None and self._marks:
            self._marks = (max(inbox, self._marks[0]), *self._marks[1:])
            return True
        with suppress(sqlite3.Error):
            self._marks = _marks(connection)
        return True

    def look(self, connection: sqlite3.Connection) -> JournalError | None:
        """Look at the files; returns why nothing may be stored now."""
        if self._seen is not None and not self._seen.passes:
            return self.fault
        prints = self._fingerprints()
        seen = self._out_of_place(prints) or self._written_to(prints, connection)
        if seen != self._seen:
            self._seen = seen
            if seen is None:
                self._returned(connection)
            else:
                self._place.note_doubt()
                message, hint = self._say(seen)
                log.error("journal_harmed", error=message, hint=hint)
        return self.fault

    def save(self, connection: sqlite3.Connection) -> None:
        """After harm was seen: save what the open connection still reaches. Does nothing if there is no harm."""
        seen = self._seen
        if seen is None or self._saved is not None or time.monotonic() - self._tried_at < SAVE_AGAIN_EVERY:
            return
        self._tried_at = time.monotonic()
        self._place.let_be()
        # A log that stays beside another file would be taken for that file's log at the next start.
        moved = seen.intact and rescue.move_log(connection)
        if moved and seen.at_its_place:
            rescue.set_aside(self._paths["-wal"], self._prints["-wal"])
            self._saved = rescue.Saved(self._place.path, whole=True)
        else:
            self._saved = rescue.copy(connection, self._place.path, self._lacks)
            if self._saved is not None and not seen.intact:  # what is put in the place must not be mixed with its log
                rescue.set_aside(self._paths["-wal"], None)
        _, hint = self._say(seen)
        log.error("journal_saved" if self._saved else "journal_not_saved", hint=hint)

    def close(self) -> None:
        """Look no more; SQLite must have closed the files before."""
        self._log.close()

    # --- looking

    def _fingerprints(self) -> dict[str, Print | None]:
        return {end: _print(path) for end, path in self._paths.items()}

    def _out_of_place(self, now: dict[str, Print | None]) -> _Seen | None:
        """Whether a file is not where it was, or the journal's own is shorter than it was."""
        main, ours = now[""], self._prints[""]
        if main is None or ours is None or main[:2] != ours[:2]:
            return self._away()
        for end in _BESIDE:
            beside, before = now[end], self._prints[end]
            if before is not None and (beside is None or beside[:2] != before[:2]):
                what = "removed" if beside is None else "replaced"
                sentence = f"The file {self._paths[end]} was {what} while the controller uses it"
                return _Seen(sentence, intact=True, at_its_place=True)
        if main[2] < ours[2]:
            return _Seen(f"The journal {self._place.path} was cut while the controller uses it")
        return None

    def _away(self) -> _Seen:
        path, file = self._place.path, self._place.file
        deleted = os.fstat(file).st_nlink == 0
        try:
            path.lstat()
            what = "was replaced by another file"
        except FileNotFoundError:
            what = "was deleted" if deleted else "was moved away"
        except OSError as error:
            what = f"cannot be looked at ({error.strerror})"
        there = ""
        if not deleted:
            with suppress(OSError):
                there = str(Path(f"/proc/self/fd/{file}").readlink())
        now = f"; it is {there} now" if there not in ("", str(path)) else ""
        return _Seen(f"The journal {path} {what} while the controller uses it{now}", passes=not deleted, intact=True)

    def _written_to(self, now: dict[str, Print | None], connection: sqlite3.Connection) -> _Seen | None:
        """What came of it if another process wrote into the files."""
        written = [self._paths[end] for end in ("", "-wal") if now[end] != self._prints[end]]
        if not written and not self._log_is_whole():  # somebody wrote in the middle of our own commit
            written = [self._paths["-wal"]]
        if not written and not self._suspect:
            return None
        try:
            damage = self._read_anew()
            if not damage and written and rescue.log_is_in(connection):
                damage = self._read_anew()  # a log that was written over would be missed only after a crash
        except sqlite3.Error as error:
            return _Seen(f"The journal {self._place.path} cannot be looked through: {error}", passes=True)
        if damage:
            return _Seen(f"The journal {self._place.path} was damaged from outside: {damage}")
        self._suspect = False
        if written:
            log.warning("journal_written_by_another", files=written)
            self.note(connection)
        return None

    def _log_is_whole(self) -> bool:
        if time.monotonic() - self._log_at < LOG_EVERY:
            return True
        self._log_at = time.monotonic()
        return self._log.are_whole()

    def _read_anew(self) -> str:
        """What is wrong with the files as a process would find them that remembers nothing; empty if nothing."""
        with closing(sqlite3.connect(self._place.path, isolation_level=None)) as fresh:
            return self._lacks(fresh)

    def _lacks(self, connection: sqlite3.Connection) -> str:
        """What is wrong with a database that should hold all that was stored; empty if nothing."""
        found = quick_check(connection)
        if found:
            return found
        try:
            fewer = any(now < before for now, before in zip(_marks(connection), self._marks, strict=False))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # it could not be read, which may pass
                raise
            return str(error)  # a table is gone
        return "records are missing" if fewer else ""

    # --- saying

    def _returned(self, connection: sqlite3.Connection) -> None:
        """The journal is back, and nothing was stored meanwhile."""
        if self._saved is not None and self._saved.path != self._place.path:
            with suppress(OSError):
                self._saved.path.unlink()
        self._saved, self._told, self._tried_at = None, None, float("-inf")
        self._place.note_doubt(gone=True)
        log.warning("journal_back", path=str(self._place.path))
        self.note(connection)

    def _say(self, seen: _Seen) -> tuple[str, str]:
        path = self._place.path
        if self._saved is None:
            hint = f"Keep the controller running and put {path} back, or restore it from a backup and restart."
        elif self._saved.path == path:
            hint = f"All that was stored is in {path}: restart the controller."
        elif self._saved.whole:
            hint = (
                f"All that was stored is in {self._saved.path}: stop the controller, move that to {path}, start it."
            )
        else:
            hint = (
                f"What could still be read is in {self._saved.path}; it is not whole: restore a backup and restart."
            )
        self._told = f"{seen.what}; nothing is stored until that is mended.", hint
        return self._told


def _print(path: str) -> Print | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _marks(connection: sqlite3.Connection) -> tuple[int, ...]:
    """The highest numbers of records: what is kept later has higher ones."""
    return tuple(number or 0 for number in connection.execute(_MARKS).fetchone())
