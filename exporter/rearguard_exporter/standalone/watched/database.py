"""A PostgreSQL database that is asked on a timer over one connection. A scrape reads what was answered last.

`db_up` says whether it connected and answered `select 1` within `timeout`. The other figures follow, each statement
within `statement_timeout`. The connection lives on a loop in a thread of its own, because a server may keep the
driver busy for ever. Addresses, users and messages of the driver stay here: the log gets classes of exceptions.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from rearguard_exporter import families
from rearguard_exporter.database.watch import Watch
from rearguard_exporter.families import Family, Kind
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.standalone.config.configuration import DatabaseSettings
from rearguard_exporter.standalone.watched import statements
from rearguard_exporter.standalone.watched.figures import Figures, Values

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

_GRACE = 1.0  # seconds that the server has to end a statement by itself, before the connection is given up
_GIVE_UP = 60.0  # seconds after which a driver that is kept busy is left behind, and a new connection tried
_MOST_LEFT = 3  # threads that may be left behind so; they end with the process
_NAME = "rearguard-exporter"  # in pg_stat_activity


class StillHangsError(Exception):
    """What was asked before has not come to an end, although its time is over."""


@dataclass(frozen=True, slots=True)
class _Instruments:
    """What the watch of one database writes to."""

    db_up: Values = field(default_factory=Values)
    pool_failures: Values = field(default_factory=Values)
    pool_timeouts: Values = field(default_factory=Values)  # not shown: nobody waits for a connection here


class _NoPools:
    """There is no pool that counts by itself."""

    def has(self, name: str) -> bool:
        """No."""
        del name
        return False


class Database:
    """One database. Nothing is known before the first asking ended."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._session = _Session(settings)
        self._left_behind = 0
        self._told: dict[str, str] = {}  # what was logged of each group
        self._found: dict[Family, dict[tuple[str, ...], float]] = {}
        self._rising: dict[Family, _Rising] = {}
        self._size_due = 0.0
        self._size: statements.Found = {}
        self._instruments = _Instruments()
        self._instruments.pool_failures.child(settings.name).set(0)
        self._watch = Watch(
            self._instruments, _NoPools(), settings.name, self._check,
            readiness=False, interval=settings.interval, timeout=settings.timeout,
        )  # fmt: skip

    @property
    def figures(self) -> Figures:
        """What the last asking found; of a database that is down nothing but that."""
        return {
            families.DB_UP: self._instruments.db_up.all.copy(),
            families.POOL_FAILURES: self._instruments.pool_failures.all.copy(),
            **self._found,
        }

    async def run(self) -> None:
        """Ask every `interval` seconds, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.interval)

    async def look(self) -> None:
        """Ask once."""
        await self._watch.check_async()
        last = self._watch.last
        if last is None or not last.ok:
            self._session.drop()
            if self._session.hangs_for() > _GIVE_UP and self._left_behind < _MOST_LEFT:
                self._session.close()
                self._session, self._left_behind = _Session(self._settings), self._left_behind + 1
            self._found = {}
            return
        try:
            found = await self._read()
        except Exception as failure:  # noqa: BLE001 - the connection broke: whether the database is up is asked again
            self._tell("the server", type(failure).__name__)
            self._session.drop()
            self._found = {}
            await self._watch.check_async()
            return
        self._tell("the server", "")
        named = (self._settings.name,)
        self._found = {
            family: {named + labels: value for labels, value in values.items()} for family, values in found.items()
        }

    def stop(self) -> None:
        """End the connection."""
        self._session.close()

    async def _check(self) -> bool:
        return await self._session.ask(self._session.answers())

    async def _read(self) -> statements.Found:
        """All groups.

        Raises:
            Exception: the server did not answer in time, or the connection broke.
        """
        settings = self._settings
        patience = settings.statement_timeout + _GRACE
        limits = statements.Limits(settings.long_query, settings.slow_query, patience)
        found: statements.Found = {}
        for name, group in statements.GROUPS.items():
            found.update(await self._group(name, group, limits))
        if time.monotonic() >= self._size_due:
            self._size = await self._group("size", statements.size, limits)
            self._size_due = time.monotonic() + settings.size_interval
        found.update(self._size)
        for family in [family for family in found if family.kind is Kind.COUNTER]:
            found[family] = {(): self._rising.setdefault(family, _Rising()).now(found[family][()])}
        return found

    async def _group(self, name: str, group: statements.Group, limits: statements.Limits) -> statements.Found:
        """One group; nothing where the server says that it cannot be had.

        Raises:
            Exception: the server did not answer in time, or the connection broke.
        """
        asked = self._session.ask(self._session.read(group, limits))
        try:
            async with asyncio.timeout(limits.patience + _GRACE):
                found = await asked
        except Exception as failure:
            if not _is_refusal(failure):
                raise
            self._tell(name, type(failure).__name__)
            return {}
        self._tell(name, "")
        return found

    def _tell(self, group: str, why: str) -> None:
        if why != self._told.get(group, ""):
            state = f"are missing: {why}" if why else "are there again"
            log.info("rearguard_exporter: database %s: figures of %s %s", self._settings.name, group, state)
        self._told[group] = why


def _is_refusal(failure: Exception) -> bool:
    """Whether the server answered, with an error or with nonsense: its connection can be used further."""
    import asyncpg  # noqa: PLC0415 - as in `_Session`

    if isinstance(failure, asyncpg.PostgresConnectionError):
        return False
    return isinstance(failure, asyncpg.PostgresError | ValueError | KeyError) and not isinstance(
        failure, asyncpg.InterfaceError
    )


class _Rising:
    """A sum that the server may lower, where it forgets a part, as a counter that only rises."""

    def __init__(self) -> None:
        self._total = 0.0
        self._before = 0.0

    def now(self, value: float) -> float:
        """The counter, when the sum is this. What the server forgot is not taken back."""
        self._total += max(0.0, value - self._before)
        self._before = value
        return self._total


class _Session:
    """One connection, on a loop in a thread of its own. It connects when it is asked."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._loop = asyncio.new_event_loop()
        self._busy_since: float | None = None
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"rearguard-database-{settings.name}", daemon=True
        )
        self._thread.start()

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """What this work on the loop returns.

        Raises:
            StillHangsError: the work before does not end.
        """
        if self._busy_since is not None:
            work.close()
            raise StillHangsError
        self._busy_since = time.monotonic()
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(self._run(work), self._loop)
        return await asyncio.wrap_future(future)

    def hangs_for(self) -> float:
        """For how long what was asked last has not ended, in seconds; 0 if it has."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    async def answers(self) -> bool:
        """Whether the database answers `select 1` as it should. Connects if needed."""
        import asyncpg  # noqa: PLC0415 - an optional library

        settings = self._settings
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            self._connection = await asyncpg.connect(
                settings.dsn,
                password=settings.password,
                timeout=settings.timeout,
                statement_cache_size=0,
                server_settings={
                    "application_name": _NAME,
                    "default_transaction_read_only": "on",
                    "statement_timeout": str(round(settings.statement_timeout * 1000)),
                },
            )
        one = await self._connection.fetchval("select 1", timeout=settings.timeout)
        return type(one) is int and one == 1

    async def read(self, group: statements.Group, limits: statements.Limits) -> statements.Found:
        """One group of figures.

        Raises:
            Exception: whatever the driver raises.
        """
        if self._connection is None:
            raise ConnectionError
        return await group(self._connection, limits)

    def drop(self) -> None:
        """Give the connection up, without waiting for the server."""
        self._loop.call_soon_threadsafe(self._terminate)

    def close(self) -> None:
        """Give the connection up, and end the thread once it is free."""
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            self._busy_since = None

    def _terminate(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # whatever state it is in
                connection.terminate()
