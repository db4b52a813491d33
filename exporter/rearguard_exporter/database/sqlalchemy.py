"""The SQLAlchemy adapter: it measures operations at the dialect, and pools at `connect` and at each scrape.

The three methods of the engine's dialect that execute a statement are wrapped: events before and after the cursor
cost four times as much, `do_execute` events half as much again. If a `do_execute` handler of the application
executes a statement itself, that is not measured. No event tells of pool timeouts, so the pool's `connect` is
wrapped, and wrapped again when `dispose` made a new pool.
"""

import time
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool, PoolProxiedConnection, QueuePool

from rearguard_exporter.database.operation_labels import namespace, system_name
from rearguard_exporter.database.operations import Operations
from rearguard_exporter.database.pools import PoolFigures, Pools
from rearguard_exporter.values.instruments import Instruments

_METHODS = ("do_execute", "do_executemany", "do_execute_no_params")


def instrument(engine: Engine | AsyncEngine, instruments: Instruments, pools: Pools, name: str | None) -> None:
    """Measure this engine from now on. A second call changes nothing, nor does one for an engine derived from it."""
    sync = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    if not pools.claim(sync.dialect):  # engines with options share it, and the pool
        return
    system = system_name(sync.dialect.name)
    schema = namespace(system, sync.url.database)
    pool_name = pools.free_name(name or schema or system)
    operations = Operations(instruments, system, schema, "sqlalchemy")
    for method in _METHODS:
        setattr(sync.dialect, method, _timed(getattr(sync.dialect, method), operations))
    acquire = _Acquire(instruments, pool_name)
    acquire.wrap(sync.pool)
    pools.add(pool_name, _reader(acquire, pool_name), lambda: acquire.is_resting)


def _timed(execute: Callable[..., None], operations: Operations) -> Callable[..., None]:
    def run(cursor: Any, statement: str, *rest: Any) -> None:
        began = time.perf_counter()
        try:
            execute(cursor, statement, *rest)
        except BaseException as failure:
            operations.since(began, statement, failure)
            raise
        operations.since(began, statement, None)

    return run


class _Acquire:
    """Counts what happens while callers ask a pool for a connection."""

    def __init__(self, instruments: Instruments, name: str) -> None:
        self._timeouts = instruments.pool_timeouts.child(name)
        self._failures = instruments.pool_failures.child(name)
        self._pool: weakref.ref[Pool] | None = None
        self.is_resting = False
        """Whether the engine was disposed and not used since, so that another pool may take its name."""
        self._waiting: list[None] = []  # one for each caller: a list changes in one step, without a lock of ours

    @property
    def pending(self) -> int:
        """How many callers wait for a connection now."""
        return len(self._waiting)

    @property
    def pool(self) -> Pool | None:
        """The pool in use now; None once it is gone."""
        return None if self._pool is None else self._pool()

    def wrap(self, pool: Pool) -> None:
        """Watch this pool, and those that `dispose` makes after it.

        The event `engine_disposed` is not used, because a listener of that kind makes every statement slower.
        """
        connect, recreate, waiting = pool.connect, pool.recreate, self._waiting
        self._pool = weakref.ref(pool)

        def counted() -> PoolProxiedConnection:
            waiting.append(None)
            self.is_resting = False
            try:
                return connect()
            except PoolTimeoutError:
                self._timeouts.inc()
                raise
            except Exception:
                self._failures.inc()
                raise
            finally:
                waiting.pop()

        def renewed() -> Pool:
            made = recreate()
            self.wrap(made)
            self.is_resting = True
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
