"""What measuring a query costs, as a ratio to the floor of the same process.

SQLAlchemy: a statement on SQLite in memory, measured and not. asyncpg and psycopg: what the adapters wrap, around a
driver that answers at once, so that no network is in the way. Each query takes a connection of the pool for itself.
Processor time, variants in turn.
Here: variants and goals. Never here: requests (overhead).
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
from time import process_time
from types import SimpleNamespace

import overhead

N = 300
CHUNKS = 60
ROUNDS = 3
GOAL = 3
STATEMENT = "select id, name from customers where id = 1"


def run(report):
    report.title("overhead a query: x floor (Counter.inc + Histogram.observe)")
    for name in VARIANTS:
        figures = [_in_process(name) for _ in range(ROUNDS)]
        report.goal(name, statistics.median(figures), GOAL)


def _in_process(name):
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


def _monitor():
    from rearguard_exporter import Monitor

    return Monitor("bench", "1", "test")


def _sqlalchemy():
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import QueuePool

    statement = text("select 1")

    def made(measured):
        engine = create_engine("sqlite://", poolclass=QueuePool)
        if measured:
            _monitor().instrument_sqlalchemy(engine)

        async def query():
            with engine.connect() as connection:
                connection.execute(statement).close()

        return query

    return made


def _asyncpg():
    """A pool whose connections have a protocol that answers at once."""
    import asyncpg

    class Protocol:
        async def bind_execute(self, *args):
            return args

        bind_execute_many = bind = copy_in = copy_out = execute = query = prepare = bind_execute

    class Pool(asyncpg.Pool):
        __slots__ = ("connection",)

        async def _acquire(self, timeout):  # noqa: ARG002, ASYNC109 - the wrapped method's shape
            return self.connection

    state = SimpleNamespace(query=STATEMENT)

    def made(measured):
        pool = Pool(
            min_size=0, max_size=1, max_queries=1, max_inactive_connection_lifetime=0,
            loop=asyncio.get_running_loop(),
            connection_class=asyncpg.Connection, record_class=asyncpg.Record,
        )  # fmt: skip
        connection = SimpleNamespace(
            _protocol=Protocol(), _params=SimpleNamespace(database="orders"), get_reset_query=lambda: "RESET ALL"
        )
        pool.connection = connection
        if measured:
            monitor = _monitor()
            monitor.instrument_asyncpg(pool)
            monitor.instrument_asyncpg(connection)

        async def query():
            held = await pool._acquire(None)
            await held._protocol.bind_execute(state, (), "", 0, True, None)

        return query

    return made


def _psycopg():
    """A pool whose connections have cursors that answer at once."""
    import psycopg

    class Cursor(psycopg.Cursor):
        def __init__(self, connection, **_):  # the base class's asks the connection for more
            pass

        def execute(self, query, params=None, *, prepare=None, binary=None):  # noqa: ARG002 - the method's shape
            return self

        def __del__(self):
            pass

    def made(measured):
        import psycopg_pool

        class Connection:
            info = SimpleNamespace(dbname="orders")
            cursor_factory = server_cursor_factory = Cursor

        class Pool(psycopg_pool.ConnectionPool):
            def getconn(self, timeout=None):  # noqa: ARG002 - the method's shape
                return connection

        connection = Connection()
        pool = Pool("dbname=orders", open=False, min_size=0, max_size=1)
        if measured:
            _monitor().instrument_psycopg(pool)

        async def query():
            held = pool.getconn()
            held.cursor_factory(held).execute(STATEMENT)

        return query

    return made


VARIANTS = {"SQLAlchemy": _sqlalchemy, "asyncpg": _asyncpg, "psycopg": _psycopg}


async def _time(query):
    began = process_time()
    for _ in range(N):
        await query()
    return (process_time() - began) / N


def _floor():
    counter, histogram = overhead.cached()

    async def query():
        counter.inc()
        histogram.observe(0.004)

    return query


async def _nothing():
    pass


async def _measure(name):
    make = VARIANTS[name]()
    variants = (_nothing, _floor(), make(False), make(True))
    for _ in range(3):
        for variant in variants:
            await _time(variant)
    gc.collect()
    gc.freeze()
    rows = [[await _time(variant) for variant in variants] for _ in range(CHUNKS)]
    floor = statistics.median(row[1] - row[0] for row in rows)
    over = statistics.median(row[3] - row[2] for row in rows)
    print(json.dumps(over / floor))


if __name__ == "__main__":
    asyncio.run(_measure(sys.argv[1]))
