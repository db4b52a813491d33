"""One thread writes to SQLite, with one commit for many requests.

Here: the connection that writes, its queue, what happens when the disk is full, and the translation of SQLite's
errors. A unit of work is a function of the connection. Units that wait at the same time share one transaction; each
has its own savepoint, so that a refused unit does not undo the others.

When the disk is full, the reserve is released. Until it can be made again, only urgent units are written (open
rollbacks, leading, what a person asks); others are refused. Senders of alerts try again, and a rollback that has
begun is finished. When the files were harmed from outside, nothing is written: see `harm`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from rearguard_controller.errors import ConflictError, JournalError, RearguardError
from rearguard_controller.journal.sqlite.harm import Harm, is_damage
from rearguard_controller.journal.sqlite.reserve import Reserve

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
log = structlog.get_logger(__name__)

UNITS_PER_COMMIT = 512
LOOK_EVERY = (
    1.0  # seconds between two looks whether the disk has room again, and at the files while nothing is written
)
PAGES_OF_LOG = 1000  # SQLite's own default: pages in the write-ahead log before they move into the file
PAGES_OF_LOG_WHEN_FULL = 64
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE}


@dataclass(frozen=True, slots=True)
class Insert:
    """A unit of work that is one statement, into the inbox. Alone, it is a transaction by itself."""

    sql: str
    values: tuple[object, ...]

    def __call__(self, connection: sqlite3.Connection) -> int:
        """Run it; returns the highest number that it gave, or 0 if it stored no row."""
        cursor = connection.execute(self.sql, self.values)
        return (cursor.lastrowid or 0) if cursor.rowcount > 0 else 0


@dataclass(slots=True)
class _Unit:
    work: Work[Any]
    done: Callable[[Any, Exception | None], None]
    loop: asyncio.AbstractEventLoop
    urgent: bool
    adds: bool
    result: object = None
    error: Exception | None = None


class Writer:
    """Runs units of work in the order they were given; each returns once its commit is on disk."""

    def __init__(self, connection: sqlite3.Connection, reserve: Reserve, harm: Harm) -> None:
        """Take over a connection in autocommit mode that no other thread uses."""
        self._connection = connection
        self._reserve = reserve
        self._harm = harm
        self._full = not reserve.held
        self._looked_at = time.monotonic()
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Work[T], *, urgent: bool = False, adds: bool = True) -> T:
        """Run one unit of work and commit it.

        Args:
            work: what is done with the connection.
            urgent: it is also done while the disk is full.
            adds: it may add records, beside those that an `Insert` tells of; see `Harm.note`.

        Raises:
            JournalError: nothing was stored.
            RearguardError: what the work itself raised; nothing of it was stored.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.begin(work, functools.partial(_settle, future), urgent=urgent, adds=adds)
        return await future  # the work is done even if the caller is cancelled

    def begin(
        self, work: Work[T], done: Callable[[T, Exception | None], None], *, urgent: bool = False, adds: bool = True
    ) -> None:
        """As `do`, but call `done` in the loop, with the result or with why nothing was stored.

        Raises:
            JournalError: nothing will be stored, and `done` is not called.
        """
        if not self._thread.is_alive():
            raise JournalError("The journal is closed.")
        harmed = self._harm.fault
        if harmed is not None:  # at once: what was stored is being saved, which may take a while
            raise harmed
        self._queue.put(_Unit(work, done, asyncio.get_running_loop(), urgent, adds))

    def close(self) -> None:
        """Finish what waits, then close the connection."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        closing = False
        while not closing:
            units = self._next()
            closing = None in units
            batch = [unit for unit in units if unit is not None]
            if batch:
                self._serve(batch)
                loops = {unit.loop for unit in batch}
                for loop in loops:
                    mine = [unit for unit in batch if unit.loop is loop]
                    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                        loop.call_soon_threadsafe(_resolve, mine)
            else:
                self._harm.look(self._connection)
            self._harm.save(self._connection)

    def _next(self) -> list[_Unit | None]:
        """What waits; nothing if nothing came for a while."""
        try:
            units = [self._queue.get(timeout=LOOK_EVERY)]
        except queue.Empty:
            return []
        while len(units) < UNITS_PER_COMMIT and not self._queue.empty():
            units.append(self._queue.get())
        return units

    def _serve(self, batch: list[_Unit]) -> None:
        if self._harm.look(self._connection) is not None:
            for unit in batch:
                unit.error = self._harm.fault
            return
        if self._full:
            self._look_for_room()
        if not self._full:
            error = self._commit(batch)
            if error is None or getattr(error, "sqlite_errorcode", None) not in _FULL:
                return
            self._make_room()
        for unit in batch:
            if not unit.urgent:
                unit.error = _no_room()
        urgent = [unit for unit in batch if unit.urgent]
        if urgent:
            self._commit(urgent)

    def _commit(self, batch: list[_Unit]) -> sqlite3.Error | None:
        """Write and commit the batch; returns the fault if the whole batch failed."""
        for unit in batch:
            unit.result, unit.error = None, None
        try:
            is_alone = len(batch) == 1
            if not (is_alone and isinstance(batch[0].work, Insert)):
                self._connection.execute("begin immediate")
            for unit in batch:
                self._attempt(unit, alone=is_alone)
            if self._connection.in_transaction:
                self._connection.execute("commit")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # if this fails too, the next batch finds the transaction open
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
            for unit in batch:
                unit.error = unit.error or translate(error)
            self._harm.note(self._connection)
            if is_damage(error):
                self._harm.suspect()
            return error
        if not self._note(batch):
            self._harm.look(self._connection)
            for unit in batch:
                unit.error = unit.error or self._harm.fault
        return None

    def _note(self, batch: list[_Unit]) -> bool:
        """See `Harm.note`. What one statement added is known without asking."""
        if any(unit.adds for unit in batch):
            return self._harm.note(self._connection)
        given = [unit.result for unit in batch if isinstance(unit.work, Insert) and isinstance(unit.result, int)]
        return self._harm.note(self._connection, inbox=max(given, default=0))

    def _attempt(self, unit: _Unit, *, alone: bool) -> None:
        """Run one unit; what it wrote is undone if it fails. One that is `alone` in its commit needs no savepoint.

        Each statement gives up the interpreter's lock, and while the event loop is busy that is waited for.
        """
        if not alone:
            self._connection.execute("savepoint unit")
        try:
            unit.result = unit.work(self._connection)
        except sqlite3.IntegrityError as error:
            unit.error = ConflictError(f"The journal's own rules refuse this: {error}.")
        except RearguardError as error:
            unit.error = error
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001  # a fault of one unit must not stop the writer
            unit.error = error
        if unit.error is not None and self._connection.in_transaction:
            self._connection.execute("rollback" if alone else "rollback to unit")
        if self._connection.in_transaction and not alone:
            self._connection.execute("release unit")

    # --- a full disk

    def _make_room(self) -> None:
        self._full, self._looked_at = True, time.monotonic()
        self._reserve.release()
        log.error("disk_full", hint="New alerts are refused; open rollbacks go on. Free space on the journal's disk.")
        self._keep_log_short(PAGES_OF_LOG_WHEN_FULL)

    def _look_for_room(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = time.monotonic()
        if self._reserve.make():
            self._full = False
            log.info("disk_has_room")
            self._keep_log_short(PAGES_OF_LOG)

    def _keep_log_short(self, pages: int) -> None:
        with contextlib.suppress(sqlite3.Error):  # it saves room, and is tried again at the next commit
            self._connection.execute(f"pragma wal_autocheckpoint = {pages}")
            self._connection.execute("pragma wal_checkpoint(truncate)")
        self._harm.note(self._connection)


def translate(error: sqlite3.Error) -> JournalError:
    """SQLite's error as one that says what to do."""
    text = str(error)
    if "full" in text or "disk I/O" in text:
        hint = "Free space on the journal's disk; nothing is lost, senders are asked to try again."
    elif "readonly" in text or "unable to open" in text:
        hint = "Give the controller's user write access to the journal's folder."
    elif is_damage(error):
        hint = (
            "Stop the controller and restore the journal from a backup, or from what the controller saved beside it."
        )
    else:
        hint = "Look at the journal's disk and at the controller's log."
    return JournalError(f"The journal could not be used: {text}.", hint=hint)


def _no_room() -> JournalError:
    return JournalError(
        "The journal's disk is full: only open rollbacks are written.",
        hint="Free space on the journal's disk; nothing is lost, senders are asked to try again.",
    )


def _resolve(units: list[_Unit]) -> None:
    for unit in units:
        unit.done(unit.result, unit.error)


def _settle(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        future.exception()  # mark it as seen: the caller may be gone
