"""The SQLAlchemy adapter: operations by dialect events, pools by a wrapped acquire and a look at each scrape.

The dialect's `do_execute` events are used because the cursor events cost more than three times as much. Handlers
of the application registered after ours are called in their place, so nothing changes for them. Pool timeouts reach
no event, therefore the pool's `connect` is wrapped, again after `dispose` made a new pool.
Never here: what a label may say (operation), how a pool is shown (pool).
"""

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool, PoolProxiedConnection, QueuePool

from rearguard_exporter.database.operation import error_type, namespace, operation_name, system_name
from rearguard_exporter.database.pool import PoolFigures, Pools
from rearguard_exporter.instruments import Instruments
from rearguard_exporter.quiet import quiet

_EVENTS = ("do_execute", "do_executemany", "do_execute_no_params")


def instrument(engine: Engine | AsyncEngine, instruments: Instruments, pools: Pools, name: str | None) -> None:
    """Measure this engine from now on. Idempotent, also for engines with other options made of it."""
    sync = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    if not pools.claim(sync.dialect):  # engines with options share it, and the pool
        return
    system = system_name(sync.dialect.name)
    schema = namespace(system, sync.url.database)
    pool_name = pools.free_name(name or schema or system)
    operations = _Operations(sync, instruments, system, schema)
    for identifier in _EVENTS:
        event.listen(sync, identifier, operations.listener(identifier), insert=True)
    acquire = _Acquire(instruments, pool_name)
    acquire.wrap(sync.pool)
    pools.add(pool_name, _reader(acquire, pool_name))


class _Operations:
    """Times every statement that the dialect executes."""

    def __init__(self, engine: Engine, instruments: Instruments, system: str, schema: str) -> None:
        self._dialect: Any = engine.dialect
        self._durations = instruments.db_duration
        self._system = system
        self._schema = schema

    def listener(self, identifier: str) -> Callable[..., bool]:
        """The handler of one event; True tells SQLAlchemy that the statement was executed."""
        dialect = self._dialect
        execute = getattr(dialect, identifier)

        def run(cursor: Any, statement: str, *rest: Any) -> bool:
            began = time.perf_counter()
            try:
                ours_seen = False  # those before ours have been called by SQLAlchemy
                for handler in getattr(dialect.dispatch, identifier):
                    if handler is run:
                        ours_seen = True
                    elif ours_seen and handler(cursor, statement, *rest):
                        break
                else:
                    execute(cursor, statement, *rest)
            except BaseException as failure:
                self._observe(statement, time.perf_counter() - began, failure)
                raise
            self._observe(statement, time.perf_counter() - began, None)
            return True

        return run

    @quiet
    def _observe(self, statement: str, seconds: float, failure: BaseException | None) -> None:
        operation = operation_name(statement)
        self._durations.child(self._system, self._schema, operation, error_type(failure)).observe(seconds)


class _Acquire:
    """Counts what happens while a connection is being asked of a pool."""

    def __init__(self, instruments: Instruments, name: str) -> None:
        self._timeouts = instruments.pool_timeouts.child(name)
        self._failures = instruments.pool_failures.child(name)
        self._lock = threading.Lock()
        self._pool: weakref.ref[Pool] | None = None
        self.pending = 0

    @property
    def pool(self) -> Pool | None:
        """The pool in use now; None when it is gone."""
        return None if self._pool is None else self._pool()

    def wrap(self, pool: Pool) -> None:
        """Count the acquires of this pool, and of those that `dispose` makes after it.

        Not by the event `engine_disposed`: one listener of that kind makes every statement of the engine slower.
        """
        connect, recreate = pool.connect, pool.recreate
        self._pool = weakref.ref(pool)

        def counted() -> PoolProxiedConnection:
            with self._lock:
                self.pending += 1
            try:
                return connect()
            except PoolTimeoutError:
                self._timeouts.inc()
                raise
            except Exception:
                self._failures.inc()
                raise
            finally:
                with self._lock:
                    self.pending -= 1

        def renewed() -> Pool:
            made = recreate()
            self.wrap(made)
            return made

        pool.recreate = renewed  # type: ignore[method-assign]  # as below
        pool.connect = counted  # type: ignore[method-assign]  # on this pool alone; there is no event


def _reader(acquire: _Acquire, name: str) -> Callable[[], PoolFigures | None]:
    def read() -> PoolFigures | None:
        pool = acquire.pool
        if pool is None:
            return None
        if not isinstance(pool, QueuePool):
            return PoolFigures(name, pending=acquire.pending)
        overflow = getattr(pool, "_max_overflow", -1)  # no public name says how far a pool may overflow
        maximum = pool.size() + overflow if pool.size() and overflow >= 0 else None
        return PoolFigures(name, pool.checkedin(), max(0, pool.checkedout()), maximum, acquire.pending)

    return read
