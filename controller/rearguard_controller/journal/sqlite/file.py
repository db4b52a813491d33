"""Opening the file of a SQLite journal: its connections and its schema.

Here: what happens before the first read and write.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from rearguard_controller.errors import JournalError
from rearguard_controller.journal import migrations
from rearguard_controller.journal.sqlite.harm import Harm, is_damage, quick_check
from rearguard_controller.journal.sqlite.place import Place
from rearguard_controller.journal.sqlite.reserve import Reserve
from rearguard_controller.journal.sqlite.writer import translate

CHECKED_SIZE = 64 * 1024 * 1024  # bytes that are looked through within half a second


@dataclass(frozen=True, slots=True)
class JournalFile:
    """An open journal: a connection that writes, one that reads, its place, what may harm it, the reserve."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    place: Place
    harm: Harm
    reserve: Reserve


def open_file(path: Path) -> JournalFile:
    """Open or create the journal's file and bring its schema up to date.

    Raises:
        JournalError: it cannot be opened, another process holds it, it is not the journal that was kept there, or a
            newer version wrote it.
    """
    with contextlib.ExitStack() as opened:  # undone when a later step fails
        place = Place.take(path)
        opened.callback(place.close)
        reserve = Reserve(place.path.with_name(f"{place.path.name}.reserve"))
        try:
            try:
                writer, reader = _connections(place, opened)
            except sqlite3.Error:
                if not reserve.held:
                    raise
                reserve.release()  # the disk may be full: what is open must be finished all the same
                writer, reader = _connections(place, opened)
        except sqlite3.Error as error:
            if is_damage(error):
                raise _damaged(place, str(error)) from error
            raise translate(error) from error
        watch = Harm(place)
        watch.note(writer)
        opened.pop_all()
    reserve.make()
    return JournalFile(writer, reader, place, watch, reserve)


def _connections(place: Place, opened: contextlib.ExitStack) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    writer = _connect(place.path, opened)
    version = writer.execute("pragma user_version").fetchone()[0]
    steps = migrations.after("sqlite", version)
    _refuse_other(writer, place, version)
    _refuse_damaged(writer, place)
    _configure(writer)
    _migrate(writer, steps)
    place.note(_named(writer))
    reader = _connect(place.path, opened)
    _configure(reader)
    return writer, reader


def _connect(path: Path, opened: contextlib.ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    opened.callback(connection.close)
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")


def _refuse_other(connection: sqlite3.Connection, place: Place, version: int) -> None:
    """Refuse another database, and another journal than the one that was kept here, before anything is changed."""
    if version == 0:
        if connection.execute("select count(*) from sqlite_schema").fetchone() != (0,):
            raise JournalError(
                f"The file {place.path} is a database of something else.",
                hint=f"{place.way_back()} Or name another file in `journal`.",
            )
        place.check("")
        return
    identity = _identity(connection)
    if identity:  # an older version named none
        place.check(identity)


def _refuse_damaged(connection: sqlite3.Connection, place: Place) -> None:
    """Look through the journal if that is quick, or if it was seen to be harmed."""
    if place.doubtful or place.path.lstat().st_size <= CHECKED_SIZE:
        found = quick_check(connection)
        if found:
            raise _damaged(place, found)


def _damaged(place: Place, what: str) -> JournalError:
    return JournalError(f"The journal {place.path} is damaged: {what}.", hint=place.way_back())


def _identity(connection: sqlite3.Connection) -> str:
    row = connection.execute("select value from meta where key = 'journal_id'").fetchone()
    return "" if row is None else str(row[0])


def _named(connection: sqlite3.Connection) -> str:
    """The journal's identity; one that has none gets it."""
    identity = _identity(connection)
    if not identity:
        identity = secrets.token_hex(16)
        connection.execute("insert into meta (key, value) values ('journal_id', ?)", (identity,))
    return identity


def _migrate(connection: sqlite3.Connection, steps: list[tuple[int, str]]) -> None:
    for number, sql in steps:
        try:
            connection.executescript(f"begin immediate; {sql}; pragma user_version = {number}; commit;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
