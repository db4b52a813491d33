"""Brings the schema in PostgreSQL up to date: one process at a time, and none waits for ever.

Here: the lock that lets one process migrate, the wait for it, and the end of a process that holds it and hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TypeAlias

import asyncpg
import structlog

from rearguard_controller.errors import JournalError
from rearguard_controller.journal import migrations

log = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LOCK = 0x7265617267756172  # the advisory lock that lets one process migrate; "rearguar"
MIGRATOR = "rearguard migrating"  # the name of its session
WAIT = 600.0  # seconds that a start waits for another process to migrate
HANGS = 60.0  # seconds of silence in its transaction after which a migrating process counts as hung
LOOK_EVERY = 0.2  # seconds between two looks
TELL_EVERY = 60.0  # seconds between two log lines about something that lasts


async def migrate(connection: Connection, *, wait: float = WAIT, hangs: float = HANGS) -> None:
    """Bring the schema up to date, or wait until another process has; a schema that is current needs no lock.

    Args:
        connection: a session named `MIGRATOR`, outside any transaction.
        wait: seconds to wait for another process.
        hangs: seconds of silence after which the other one's session is ended.

    Raises:
        JournalError: a newer version wrote the journal, or another process has not finished in time.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    told_at = -math.inf
    while await _steps(connection) and not await _migrated(connection):
        now = loop.time()
        if now - told_at >= TELL_EVERY:
            told_at = now
            log.warning("waiting_for_another_process_to_migrate", seconds=round(now - began))
        if now - began > wait:
            raise JournalError(
                f"Another process has been bringing the journal's schema forward for more than {wait:g} seconds.",
                hint=f"Look in pg_stat_activity for the session {MIGRATOR!r}; start again when it has ended.",
            )
        await _end_hung(connection, hangs)
        await asyncio.sleep(LOOK_EVERY)


async def _migrated(connection: Connection) -> bool:
    """Take the remaining steps in one transaction; False if another process holds the lock."""
    async with connection.transaction():
        await connection.execute("set local statement_timeout = 0")
        await connection.execute("set local lock_timeout = 0")
        if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", LOCK):
            return False
        await connection.execute("create table if not exists meta (key text primary key, value text not null)")
        for number, sql in await _steps(connection):
            await connection.execute(sql)
            await connection.execute(
                "insert into meta (key, value) values ('schema_version', $1)"
                " on conflict (key) do update set value = excluded.value",
                str(number),
            )
    return True


async def _steps(connection: Connection) -> list[tuple[int, str]]:
    version = None
    if await connection.fetchval("select to_regclass('meta') is not null"):
        version = await connection.fetchval("select value from meta where key = 'schema_version'")
    return migrations.after("postgres", int(version or 0))


async def _end_hung(connection: Connection, seconds: float) -> None:
    """End the session of another process that migrates and has said nothing for `seconds`.

    Only a session that waits for its client is ended. A step that takes long works, and its session does not wait.
    """
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
        ended = await connection.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = $1 and pid <> pg_backend_pid()"
            " and wait_event = 'ClientRead' and xact_start is not null"
            " and state_change < clock_timestamp() - $2 * interval '1 second'",
            MIGRATOR,
            seconds,
        )
        if ended:
            log.warning("hung_migration_ended", sessions=len(ended))
