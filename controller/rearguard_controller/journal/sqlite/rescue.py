"""Saving what a harmed journal still holds.

Here: a copy beside the journal, made through the connection that is open: it reaches a deleted file, too.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from rearguard_controller import own_files

log = structlog.get_logger(__name__)

NOT_WHOLE = "-not-whole"  # ends the name of a copy that lacks something


@dataclass(frozen=True, slots=True)
class Saved:
    """Where the records are now, and whether they are all there."""

    path: Path
    whole: bool


def copy(connection: sqlite3.Connection, journal: Path, check: Callable[[sqlite3.Connection], str]) -> Saved | None:
    """Save all that the connection reaches to a new file beside the journal; None if that is not possible."""
    path = journal.with_name(f"{journal.name}.rescued-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    part = journal.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(own_files.open_own(part))
        with closing(sqlite3.connect(part, isolation_level=None)) as target:
            connection.backup(target)
            whole = not check(target)
            target.execute("pragma journal_mode = delete")  # so that the copy is one file
        _onto_disk(part)
        path = path if whole else path.with_name(path.name + NOT_WHOLE)
        part.rename(path)
        _onto_disk(journal.parent)
    except (OSError, sqlite3.Error) as error:
        log.error("journal_copy_failed", error=str(error))
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                Path(f"{part}{end}").unlink(missing_ok=True)
        return None
    return Saved(path, whole=whole)


def log_is_in(connection: sqlite3.Connection) -> bool:
    """Move SQLite's log into the journal's file, and begin the log anew; False while somebody reads or writes."""
    try:
        connection.execute("pragma busy_timeout = 0")
        busy, _, _ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.execute("pragma busy_timeout = 10000")
    return not busy


def move_log(connection: sqlite3.Connection) -> bool:
    """The same, but wait a moment for who reads."""
    for _ in range(20):
        if log_is_in(connection):
            return True
        time.sleep(0.05)
    return False


def set_aside(path: str, ours: tuple[int, int, int, int] | None) -> None:
    """Rename a log that is not ours: the next start would take it for its own."""
    with suppress(OSError):
        found = os.lstat(path)
        if ours is None or (found.st_dev, found.st_ino) != ours[:2]:
            Path(path).rename(f"{path}.set-aside-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")


def _onto_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
