"""One thread that reads from SQLite, beside the one that writes.

Here: the connection that reads, and its thread. Readings that wait together are done in one go, and the event loop is
woken once for all of them: to wake it costs more than a small reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite.harm import Harm, is_damage
from rearguard_controller.journal.sqlite.records import run
from rearguard_controller.journal.sqlite.writer import Work, translate

T = TypeVar("T")

TOGETHER = 0.001  # seconds after which what was found is handed over, although more waits


@dataclass(slots=True)
class _Reading:
    work: Work[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: object = None
    error: Exception | None = None

    def settle(self) -> None:
        """Tell who asked, in the loop."""
        if self.future.done():  # the caller went away
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Reader:
    """Runs units of work in the order they were given."""

    def __init__(self, connection: sqlite3.Connection, harm: Harm) -> None:
        """Take over a connection that no other thread uses."""
        self.fault: JournalError | None = None  # of the last reading
        self._connection = connection
        self._harm = harm
        self._waiting: queue.SimpleQueue[_Reading] = queue.SimpleQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def do(self, work: Work[T]) -> T:
        """What a unit of work found.

        Raises:
            JournalError: the file could not be read, or the journal is closed.
        """
        loop = asyncio.get_running_loop()
        reading = _Reading(work, loop.create_future(), loop)
        self._waiting.put(reading)
        try:
            self._thread.submit(self._read)
        except RuntimeError as error:  # a thread that has been shut down takes no work
            raise JournalError("The journal is closed.") from error
        try:
            found: T = await reading.future
        except sqlite3.Error as error:
            if is_damage(error):
                self._harm.suspect()
            self.fault = translate(error)
            raise self.fault from error
        self.fault = None
        return found

    async def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, whose values are marked $1, $2, ..."""
        return await self.do(lambda connection: run(connection, sql, values))

    def close(self) -> None:
        """Finish what is being read and close the connection."""
        self._thread.shutdown()
        self._connection.close()

    def _read(self) -> None:
        """Do all that waits; nothing if it was done together with what came before."""
        done: list[_Reading] = []
        began = time.monotonic()
        with contextlib.suppress(queue.Empty):
            while True:
                reading = self._waiting.get_nowait()
                try:
                    reading.result = reading.work(self._connection)
                except Exception as error:  # noqa: BLE001  # who asked gets it
                    reading.error = error
                done.append(reading)
                if time.monotonic() - began >= TOGETHER:
                    _hand_over(done)
                    done, began = [], time.monotonic()
        _hand_over(done)


def _hand_over(done: list[_Reading]) -> None:
    for loop in {each.loop for each in done}:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_settle, [each for each in done if each.loop is loop])


def _settle(done: list[_Reading]) -> None:
    for each in done:
        each.settle()
