"""One thread that reads from SQLite, beside the one that writes.

Here: the connection that reads, and its thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite.harm import Harm, is_damage
from rearguard_controller.journal.sqlite.records import run
from rearguard_controller.journal.sqlite.writer import Work, translate

T = TypeVar("T")


class Reader:
    """Runs units of work in the order they were given."""

    def __init__(self, connection: sqlite3.Connection, harm: Harm) -> None:
        """Take over a connection that no other thread uses."""
        self.fault: JournalError | None = None  # of the last reading
        self._connection = connection
        self._harm = harm
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")

    async def do(self, work: Work[T]) -> T:
        """What a unit of work found.

        Raises:
            JournalError: the file could not be read, or the journal is closed.
        """
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)
        except RuntimeError as error:  # a thread that has been shut down takes no work
            raise JournalError("The journal is closed.") from error
        try:
            found = await reading
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
