"""The psycopg 3 adapter: operations at the cursors of each connection, callers and connections at the pool.

A connection makes its cursors with `cursor_factory` and `server_cursor_factory`; both are replaced by subclasses of
what they were. A pool's connections are measured when they are handed out, whoever made them. Waiting callers and
connections in use are counted here, because the pool's own figures include callers that gave up, and connections that
are still being made.
"""

import inspect
import weakref
from collections.abc import Callable
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from rearguard_exporter.database.operations import Operations
from rearguard_exporter.database.pools import PoolFigures, Pools
from rearguard_exporter.database.psycopg_cursors import Cursors, leading_text
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.instruments import Instruments
from rearguard_exporter.values.slots import Child

_SYSTEM = "postgresql"


def instrument(target: Any, instruments: Instruments, pools: Pools, name: str | None) -> None:
    """Measure this pool (open or not yet) or connection from now on, sync or async. A second call changes nothing."""
    if not hasattr(target, "getconn"):
        _Connections(instruments).measure(target)
        return
    if not pools.claim(target):
        return
    pool_name = pools.free_name(name or _database_of(target) or target.name)
    counts = _Counts(instruments, pool_name)
    watch = _watch_async if inspect.iscoroutinefunction(type(target).getconn) else _watch_sync
    watch(target, _Connections(instruments), counts)
    pools.add(pool_name, _reader(target, pool_name, counts))


class _Connections:
    """Gives connections cursors that are measured."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._cursors: dict[str, Cursors] = {}  # by the name of the database; a pool has one

    def measure(self, connection: Any) -> None:
        """Measure this connection; does nothing unless it is new, or its factory was changed since."""
        try:
            kind = connection.cursor_factory
            if getattr(kind, "rearguard_measured", None) is self._instruments:
                return
            if any(vars(base).get("rearguard_measured") is self._instruments for base in kind.__mro__):
                return  # measured by us already, beneath another monitor's class
            database = connection.info.dbname
            cursors = self._cursors.get(database)
            if cursors is None:
                operations = Operations(self._instruments, _SYSTEM, database, "psycopg", leading_text)
                cursors = self._cursors[database] = Cursors(operations)
            connection.cursor_factory = cursors.measured(kind)
            connection.server_cursor_factory = cursors.measured(connection.server_cursor_factory)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("psycopg connection")


class _Counts:
    """What happens while callers ask a pool for connections, and while it makes them."""

    def __init__(self, instruments: Instruments, name: str) -> None:
        from psycopg_pool import PoolTimeout, TooManyRequests  # noqa: PLC0415 - single connections need no pool

        # Both collections change in one step, which no other thread sees half done.
        self.waiting: list[None] = []  # one for each caller
        self.out: set[int] = set()  # the connections that callers have, by identity
        self.none_to_be_had = (PoolTimeout, TooManyRequests)
        self.timeouts = instruments.pool_timeouts.child(name)
        self.connecting = _Connecting(instruments.pool_failures.child(name))


class _Connecting:
    """Counts a connection that could not be made during a `with` block."""

    def __init__(self, failures: Child) -> None:
        self._failures = failures

    def __enter__(self) -> None:
        """The pool makes a connection."""

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        """It has one, or none."""
        if isinstance(failure, Exception):
            self._failures.inc()


def _method(pool: Any, name: str) -> Callable[..., Any]:
    """This method of the pool, without a reference to it: a pool ends its threads when nobody holds it."""
    wrapped: Callable[..., Any] | None = vars(pool).get(name)  # somebody else replaced it, as we do
    if wrapped is not None:
        return wrapped
    function, held = getattr(type(pool), name), weakref.ref(pool)
    return lambda *args, **kwargs: function(held(), *args, **kwargs)


# The methods are replaced on the pool itself. Its statistics count the same, but users can set them back to 0.


def _watch_sync(pool: Any, connections: _Connections, counts: _Counts) -> None:
    getconn, putconn, connect = _method(pool, "getconn"), _method(pool, "putconn"), _method(pool, "_connect")

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts.waiting.append(None)
        try:
            connection = getconn(*args, **kwargs)
        except counts.none_to_be_had:
            counts.timeouts.inc()
            raise
        finally:
            counts.waiting.pop()
        counts.out.add(id(connection))
        connections.measure(connection)
        return connection

    def returned(connection: Any, *args: Any, **kwargs: Any) -> Any:
        counts.out.discard(id(connection))  # before: then somebody else may have it
        return putconn(connection, *args, **kwargs)

    def connected(*args: Any, **kwargs: Any) -> Any:
        with counts.connecting:
            return connect(*args, **kwargs)

    pool.getconn, pool.putconn = counted, returned
    pool._connect = connected  # noqa: SLF001 - what a pool makes connections by


def _watch_async(pool: Any, connections: _Connections, counts: _Counts) -> None:
    getconn, putconn, connect = _method(pool, "getconn"), _method(pool, "putconn"), _method(pool, "_connect")

    async def counted(*args: Any, **kwargs: Any) -> Any:
        counts.waiting.append(None)
        try:
            connection = await getconn(*args, **kwargs)
        except counts.none_to_be_had:
            counts.timeouts.inc()
            raise
        finally:
            counts.waiting.pop()
        counts.out.add(id(connection))
        connections.measure(connection)
        return connection

    async def returned(connection: Any, *args: Any, **kwargs: Any) -> Any:
        counts.out.discard(id(connection))  # before: then somebody else may have it
        return await putconn(connection, *args, **kwargs)

    async def connected(*args: Any, **kwargs: Any) -> Any:
        with counts.connecting:
            return await connect(*args, **kwargs)

    pool.getconn, pool.putconn = counted, returned
    pool._connect = connected  # noqa: SLF001 - as above


def _database_of(pool: Any) -> str:
    """The database that the pool was told to connect to; empty if that is left to the environment."""
    try:
        kwargs = pool.kwargs if isinstance(pool.kwargs, dict) else {}
        conninfo = pool.conninfo if isinstance(pool.conninfo, str) else ""
        return str(kwargs.get("dbname") or conninfo_to_dict(conninfo).get("dbname") or "")
    except Exception:  # noqa: BLE001 - connection texts of any shape
        report("psycopg conninfo")
        return ""


def _reader(pool: Any, name: str, counts: _Counts) -> Callable[[], PoolFigures | None]:
    held = weakref.ref(pool)

    def read() -> PoolFigures | None:
        alive = held()
        if alive is None or (alive.closed and alive._opened):  # noqa: SLF001 - closed for good, not yet to be opened
            return None
        stats = alive.get_stats()
        most = stats["pool_max"] or None  # 0: a pool without a limit
        return PoolFigures(name, stats["pool_available"], len(counts.out), most, len(counts.waiting))

    return read
