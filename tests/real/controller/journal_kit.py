"""Both stores for one suite, and short words for what its tests do.

Here: a store that a test may open several times and look into from beside, as another process would.
Never here: expectations.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Outcome
from rearguard_controller.rollback import Event, EventKind
from unit.controller.factories import NOW, TARGET, decision, rollback, target

TESTS = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds that a process of a test may take


@dataclass(frozen=True)
class Store:
    """Where a journal is: a path or a URL."""

    address: str

    @property
    def kind(self) -> str:
        return "postgres" if self.address.startswith("postgresql://") else "sqlite"

    async def open(self):
        return await open_journal(self.address)

    async def rows(self, *statements: str) -> list[tuple]:
        """Run statements from beside; returns the rows of the last one."""
        if self.kind == "postgres":
            connection = await asyncpg.connect(self.address)
            try:
                return [tuple(row) for statement in statements for row in await connection.fetch(statement)]
            finally:
                await connection.close()
        with beside(self.address) as connection:
            return [tuple(row) for statement in statements for row in connection.execute(statement).fetchall()]

    async def count(self, table: str) -> int:
        return (await self.rows(f"select count(*) from {table}"))[0][0]  # noqa: S608  # names of this test


@contextlib.contextmanager
def beside(path):
    """A second connection to SQLite's file, as another process would have it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def noted(kind: str, seq: int | None = None, *, at: float = NOW, outcome: str | None = None) -> Event:
    return Event(EventKind(kind), at, seq, detail="told", outcome=outcome and Outcome(outcome))


async def opened(journal, rollback_id: str = "r1", **fields):
    value = rollback(rollback_id, **{"of": target(before=(), after=(), health=None), **fields})
    await journal.record(decision(f"d-{rollback_id}", rollback_id=rollback_id), value)
    return value


async def started(journal, rollback_id: str = "r1", **fields):
    await opened(journal, rollback_id, **fields)
    return await journal.append(rollback_id, noted("step_started", 0))


async def closed(journal, rollback_id: str, outcome: str, at: float = NOW):
    return await journal.append(rollback_id, noted("closed", outcome=outcome, at=at))


async def remember(journal, release):
    await journal.change_release(TARGET, release.version, lambda _known: release)


async def of_version(journal, version: str):
    return next(each for each in await journal.releases(TARGET) if each.version == version)


@contextlib.contextmanager
def child(program: str, *words, before=()):
    """A Python process of its own; `before` stands before it on the command line."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
        },
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def said(program: str, *words, before=()) -> str:
    """What such a process printed, once it has ended well."""
    with child(program, *words, before=before) as process:
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, err
        return out
