"""Connections to PostgreSQL: transactions, time limits, errors in words.

Here: the pool, the fence at the start of a transaction, what it means when a connection is lost during the commit,
and the translation of the driver's errors. Nothing waits for ever: client and server both limit the time of every
statement, and a connection that did not answer is dropped, so that the next work gets a new one.
Never here: the tables, except the lease that the fence reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from rearguard_controller.config.beside import beside
from rearguard_controller.config.named_files import UnreadableFileError, require_regular
from rearguard_controller.errors import ConfigError, ConflictError, JournalError
from rearguard_controller.journal import records
from rearguard_controller.journal.postgres import migration
from rearguard_controller.journal.store import Fence

log = structlog.get_logger(__name__)

# In words: the driver's classes take a parameter only in its stubs.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

T = TypeVar("T")

MOST_CONNECTIONS = 8
LIMIT = 5.0  # seconds for one statement, and for a connection
LOST = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError,
        asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError)  # fmt: skip
FAILED = (*LOST, asyncpg.PostgresError)
LONGEST = 2 * LIMIT  # seconds that a whole transaction may last; `end_hung` ends older ones
APPLICATION = "rearguard"
_FILES = frozenset({"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"})  # parameters that name one
ENDING = 2.0  # seconds that ending hung sessions may take
SETTINGS = {
    "application_name": APPLICATION,
    "statement_timeout": "5000",
    "lock_timeout": "4000",
    "idle_in_transaction_session_timeout": "5000",  # a stopped process must not hold what the next leader needs
    "synchronous_commit": "on",
}


class Connections:
    """Some connections to one database."""

    def __init__(self, pool: Pool) -> None:
        """Use `open`."""
        self.pool = pool
        self._running: set[asyncio.Task[Any]] = set()
        self._told_at = -math.inf
        self.ended_hung_at = -math.inf  # when several leases had `end_hung` done for all of them

    @classmethod
    async def open(cls, url: str, *, most: int = MOST_CONNECTIONS) -> Connections:
        """Reach the database and bring its schema up to date; `most` connections at once.

        Raises:
            JournalError: it cannot be reached or used, a newer version wrote it, or another process migrates it for
                too long.
        """

        async def connect(*arguments: Any, **named: Any) -> Any:
            await _require_files(url)  # the driver reads them within the event loop, and waits for a pipe
            return await asyncpg.connect(*arguments, **named)

        try:
            settings = {**SETTINGS, "application_name": migration.MIGRATOR}
            connection = await connect(url, timeout=LIMIT, server_settings=settings)
            try:
                await migration.migrate(connection)
            finally:
                await connection.close(timeout=LIMIT)
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=most,
                command_timeout=LIMIT,
                timeout=LIMIT,
                server_settings=SETTINGS,
                reset=_nothing_to_reset,
                connect=connect,
            )
        except (*FAILED, ValueError) as error:
            raise translate(error) from error
        return cls(pool)

    async def close(self) -> None:
        """Finish what is being written, then let the connections go."""
        await asyncio.gather(*self._running, return_exceptions=True)
        try:
            async with asyncio.timeout(LIMIT):
                await self.pool.close()
        except FAILED:
            self.pool.terminate()

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement, which is a transaction of its own."""
        try:
            async with self._connection() as connection:
                return await connection.fetch(sql, *map(storable, values))
        except FAILED as error:
            raise translate(error) from error

    async def end_hung(self, older: float = LONGEST) -> None:
        """End transactions of any process on this journal that have been open for too long: their process hangs.

        The server's own limits miss some of them: the driver prepares and runs a statement with two messages, and
        between the two a session counts neither as idle nor as running. A failure here is only logged, at most every
        minute; the caller then tries its own work all the same.

        Args:
            older: seconds after which an open transaction is ended.
        """
        try:
            async with asyncio.timeout(ENDING):
                await self.rows(
                    # our own user's first: the statement fails at the first session that we may not end
                    "select pg_terminate_backend(pid) from (select pid from pg_stat_activity"
                    " where datname = current_database() and application_name = $1 and pid <> pg_backend_pid()"
                    " and xact_start < clock_timestamp() - $2 * interval '1 second'"
                    " order by usename <> current_user) as hung",
                    APPLICATION,
                    older,
                )
        except (JournalError, TimeoutError) as error:
            now = asyncio.get_running_loop().time()
            if now - self._told_at >= migration.TELL_EVERY:
                self._told_at = now
                log.warning("hung_sessions_not_ended", error=str(error) or "it did not answer in time")

    async def change(self, work: Callable[[Connection], Awaitable[T]], fence: Fence | None = None) -> T:
        """Run one unit of work in a transaction and commit it, also when the caller is cancelled meanwhile.

        Raises:
            LeaseLostError: the lease does not carry the fence's epoch; nothing was stored.
            JournalError: nothing was stored, or the server went away at the commit and has not come back.
            RearguardError: what the work itself raised; nothing of it was stored.
        """
        task = asyncio.create_task(self._change(work, fence))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even when the caller has gone away

    async def _change(self, work: Callable[[Connection], Awaitable[T]], fence: Fence | None) -> T:
        number = None
        try:
            async with asyncio.timeout(LONGEST), self._connection() as connection, _begun(connection):
                number = await _enter(connection, fence)
                result = await work(connection)
                number = -number  # from here on it may be stored, whatever the answer is
                await connection.execute("commit")
                return result
        except LOST as error:
            if number is None or number > 0 or not await self._stored(-number):
                raise translate(error) from error
            return result
        except asyncpg.UniqueViolationError as error:
            raise ConflictError(f"The journal's own rules refuse this: {error}.") from error
        except FAILED as error:
            raise translate(error) from error

    async def _stored(self, number: int) -> bool:
        """Whether a transaction was stored although its commit was not answered. Asks until the server knows."""
        try:
            async with asyncio.timeout(LONGEST):
                while True:
                    with contextlib.suppress(JournalError):
                        [(status,)] = await self.rows("select pg_xact_status($1::text::xid8)", str(number))
                        if status != "in progress":
                            return bool(status == "committed")
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return False

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await self.pool.acquire(timeout=LIMIT)
        try:
            yield connection
        except (*LOST, asyncio.CancelledError):
            connection.terminate()
            raise
        finally:
            await self.pool.release(connection, timeout=LIMIT)  # ends a transaction that is still open


async def _require_files(url: str) -> None:
    """Refuse to connect while a file that the URL or PGPASSFILE names would have to be waited for.

    Raises:
        OSError: it is no regular file, or hangs. One that is not there is the driver's to judge.
    """
    named = [value for name, value in parse_qsl(urlsplit(url).query) if name in _FILES]
    files = [Path(name) for name in (*named, os.environ.get("PGPASSFILE")) if name]
    for file in files:
        try:
            await beside(partial(require_regular, file), [file])
        except (UnreadableFileError, ConfigError) as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise OSError(f"{file} cannot be read: {error}") from None


@contextlib.asynccontextmanager
async def _begun(connection: Connection) -> AsyncIterator[None]:
    """A transaction that the caller commits inside; after an error it is rolled back here."""
    await connection.execute("begin")
    try:
        yield
    except LOST:
        raise
    except Exception:
        try:
            if connection.is_in_transaction():
                await connection.execute("rollback")
        except FAILED:
            connection.terminate()
        raise


def storable(value: object) -> object:
    """A value as PostgreSQL can hold it: text without NUL characters and lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def translate(error: Exception) -> JournalError:
    """The driver's error as one that says what to do."""
    text = str(error) or "it did not answer in time"
    if isinstance(error, LOST):
        hint = "See that PostgreSQL runs and is reachable; the connection is made anew by itself."
    elif isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        hint = "Check user and password (a password file, by `passfile` in the URL or PGPASSFILE)."
    elif isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.InvalidCatalogNameError | ValueError):
        hint = "Give the URL's user a database that belongs to it."
    elif isinstance(error, asyncpg.DiskFullError):
        hint = "Free space on PostgreSQL's disk; nothing is lost, senders are asked to try again."
    else:
        hint = "Look at PostgreSQL's log and at the controller's."
    return JournalError(f"The journal could not be used: {text}.", hint=hint)


async def _enter(connection: Connection, fence: Fence | None) -> int:
    """The transaction's number. The fence's leader is then certain to lead until the transaction ends.

    The lock on the lease's key makes another process wait that wants to take the lease; renewals do not wait.
    """
    if fence is None:
        return int(await connection.fetchval("select pg_current_xact_id()::text"))
    where, values = ("lease", ()) if fence.shard is None else ("shard where number = $1", (fence.shard,))
    row = await connection.fetchrow(
        f"select epoch, pg_current_xact_id()::text as xact from {where} for key share",  # noqa: S608  # our own words
        *values,
    )
    epoch, number = (None, 0) if row is None else (row["epoch"], row["xact"])
    records.prove_lead(fence, epoch)
    return int(number)


async def _nothing_to_reset(_connection: Connection) -> None:
    """Do nothing: our sessions keep no state, and this saves one statement after each piece of work."""
