"""The asyncpg adapter: it measures operations at each connection's protocol, and callers and connections at the pool.

asyncpg's query loggers miss prepared statements and cursors, so the few calls of each connection's protocol object
are wrapped. A pool has no hook for `acquire`, so the pool's class is replaced by a subclass with a measured
`_acquire`. What the pool itself sends when a connection comes back is not measured.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from rearguard_exporter.database.operations import Operations
from rearguard_exporter.database.pools import PoolFigures, Pools
from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.values.instruments import Instruments

_SYSTEM = "postgresql"
_OF_STATEMENTS = ("bind_execute", "bind_execute_many", "bind")
_COPIES = ("copy_in", "copy_out")


def instrument(target: Any, instruments: Instruments, pools: Pools, name: str | None) -> None:
    """Measure this pool (connected or not yet) or this connection from now on. A second call changes nothing."""
    if not hasattr(target, "get_idle_size"):
        _measure(target, instruments)
        return
    if any(vars(kind).get("rearguard_pools") is pools for kind in type(target).__mro__):
        return
    pool_name = pools.free_name(name or _database_of(target) or _SYSTEM)
    watched = _Watched(instruments, pool_name)
    target.__class__ = _measured_class(type(target), watched, pools)
    target._connect = watched.connecting(target._connect)  # noqa: SLF001 - what a pool makes connections by
    for holder in target._holders:  # noqa: SLF001 - there is no public way to the connections that exist
        if holder._con is not None:  # noqa: SLF001
            _measure(holder._con, instruments)  # noqa: SLF001
    pools.add(pool_name, _reader(target, watched))


class _Watched:
    """Counts what happens while callers ask a pool for a connection, and while it makes one."""

    def __init__(self, instruments: Instruments, name: str) -> None:
        self.name = name
        self.pending = 0
        self.timeouts = instruments.pool_timeouts.child(name)
        self._instruments = instruments
        self._failures = instruments.pool_failures.child(name)

    def connecting(self, connect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """`connect`, with failures counted and connections measured."""

        async def connected(*args: Any, **kwargs: Any) -> Any:
            try:
                connection = await connect(*args, **kwargs)
            except Exception as failure:
                self._failures.inc()
                failure.__dict__["rearguard_counted"] = True  # a timeout while connecting is no timeout of the pool
                raise
            _measure(connection, self._instruments)
            return connection

        return connected


def _measured_class(kind: type[Any], watched: _Watched, pools: Pools) -> type[Any]:
    acquire = kind._acquire  # noqa: SLF001 - every way to a connection goes through it

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        watched.pending += 1
        try:
            return await acquire(self, *args, **kwargs)
        except TimeoutError as failure:
            if "rearguard_counted" not in failure.__dict__:
                watched.timeouts.inc()
            raise
        finally:
            watched.pending -= 1

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), {**names, "__slots__": (), "rearguard_pools": pools, "_acquire": counted})


@quiet
def _measure(connection: Any, instruments: Instruments) -> None:
    protocol = connection._protocol  # noqa: SLF001 - every statement goes through it
    measured_by = protocol.__dict__.setdefault("rearguard_measured", set())
    if instruments in measured_by:
        return
    reset = connection.get_reset_query()
    database = connection._params.database  # noqa: SLF001 - there is no public name for it
    measured_by.add(instruments)
    operations = Operations(instruments, _SYSTEM, database or "", "asyncpg")
    for method in _OF_STATEMENTS:
        setattr(protocol, method, _by_state(getattr(protocol, method), operations))
    for method in _COPIES:
        setattr(protocol, method, _by_text(getattr(protocol, method), operations, "COPY"))
    protocol.execute = _by_text(protocol.execute, operations, "FETCH")
    protocol.query = _by_query(protocol.query, operations, reset)
    protocol.prepare = _by_preparation(protocol.prepare, operations)


def _by_state(call: Callable[..., Awaitable[Any]], operations: Operations) -> Callable[..., Awaitable[Any]]:
    async def timed(state: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            result = await call(state, *args, **kwargs)
        except BaseException as failure:
            operations.since(began, state.query, failure)
            raise
        operations.since(began, state.query, None)
        return result

    return timed


def _by_text(
    call: Callable[..., Awaitable[Any]], operations: Operations, statement: str
) -> Callable[..., Awaitable[Any]]:
    async def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            result = await call(*args, **kwargs)
        except BaseException as failure:
            operations.since(began, statement, failure)
            raise
        operations.since(began, statement, None)
        return result

    return timed


def _by_query(
    call: Callable[..., Awaitable[Any]], operations: Operations, reset: str
) -> Callable[..., Awaitable[Any]]:
    async def timed(query: str, *args: Any, **kwargs: Any) -> Any:
        if query == reset:  # the pool's, on each return of a connection
            return await call(query, *args, **kwargs)
        began = time.perf_counter()
        try:
            result = await call(query, *args, **kwargs)
        except BaseException as failure:
            operations.since(began, query, failure)
            raise
        operations.since(began, query, None)
        return result

    return timed


def _by_preparation(call: Callable[..., Awaitable[Any]], operations: Operations) -> Callable[..., Awaitable[Any]]:
    """Count statements that cannot be prepared. Of others the execution counts, not the preparation."""

    async def timed(name: str, query: str, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return await call(name, query, *args, **kwargs)
        except BaseException as failure:
            operations.since(began, query, failure)
            raise

    return timed


def _database_of(pool: Any) -> str:
    """The database that the pool was told to connect to; empty if that is left to the environment."""
    try:
        told = pool._connect_kwargs.get("database")  # noqa: SLF001 - known before there is a connection
        dsn = pool._connect_args[0] if pool._connect_args else None  # noqa: SLF001
        return str(told or unquote(urlsplit(dsn or "").path.lstrip("/")))
    except Exception:  # noqa: BLE001 - a dsn of any shape
        report("asyncpg dsn")
        return ""


def _reader(pool: Any, watched: _Watched) -> Callable[[], PoolFigures | None]:
    # A pool takes no weak references: it is kept until it, or the event loop that it lives in, is closed.
    def read() -> PoolFigures | None:
        if pool.is_closing() or pool._loop.is_closed():  # noqa: SLF001 - there is no public name for it
            return None
        idle = pool.get_idle_size()
        return PoolFigures(watched.name, idle, pool.get_size() - idle, pool.get_max_size(), watched.pending)

    return read
