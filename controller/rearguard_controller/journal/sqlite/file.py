"""The file of a SQLite journal: its lock, its connections, its schema.

Here: what happens before the first read and write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from rearguard_controller.errors import JournalError
from rearguard_controller.journal import migrations
from rearguard_controller.journal.sqlite.reserve import Reserve
from rearguard_controller.journal.sqlite.writer import translate


@dataclass(frozen=True, slots=True)
class JournalFile:
    """An open journal: a connection that writes, one that reads, the lock's descriptor, the reserve."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    lock: int
    reserve: Reserve


def open_file(path: Path) -> JournalFile:
    """Open or create the journal's file and bring its schema up to date.

    Raises:
        JournalError: it cannot be opened, another process holds it, or a newer version wrote it.
    """
    reserve = Reserve(path.with_name(f"{path.name}.reserve"))
    with contextlib.ExitStack() as opened:  # undone when a later step fails
        lock = _take_lock(path)
        opened.callback(os.close, lock)
        try:
            try:
                writer, reader = _connections(path, opened)
            except sqlite3.Error:
                if not reserve.held:
                    raise
                reserve.release()  # the disk may be full: what is open must be finished all the same
                writer, reader = _connections(path, opened)
        except sqlite3.Error as error:
            raise translate(error) from error
        opened.pop_all()
    reserve.make()
    return JournalFile(writer, reader, lock, reserve)


def _connections(path: Path, opened: contextlib.ExitStack) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    with contextlib.suppress(OSError):  # SQLite will say what is wrong
        # only for us: plans may contain secrets
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    writer = _connect(path, opened)
    _prepare(writer)
    return writer, _connect(path, opened)


def _take_lock(path: Path) -> int:
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be opened: {error.strerror}.",
            hint="Its folder must exist and belong to the controller's user.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JournalError(
            f"Another controller uses the journal {path}.",
            hint="Stop it first, or give this one a journal of its own; several replicas need PostgreSQL.",
        ) from error
    return lock


def _connect(path: Path, opened: contextlib.ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    opened.callback(connection.close)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("pragma user_version").fetchone()[0]
    for number, sql in migrations.after("sqlite", version):
        try:
            connection.executescript(f"begin immediate; {sql}; pragma user_version = {number}; commit;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
