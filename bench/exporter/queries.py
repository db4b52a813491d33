"""What measuring a query costs, as a ratio to the floor of the same process.

SQLAlchemy: a statement on SQLite in memory, measured and not. asyncpg and psycopg: what the adapters wrap, around a
driver that answers at once, so that no network is in the way. Each query takes a connection of the pool for itself.
Processor time, variants in turn. As notes, once, the same against a real PostgreSQL, where everything is colder,
beside what counter and histogram cost after a query there.
Here: variants and goals. Never here: requests (overhead).
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import process_time
from types import SimpleNamespace

import overhead

N = 300
CHUNKS = 60
ROUNDS = 3
BRIEF = {"ROUNDS": 1, "CHUNKS": 2}
GOAL = 3
STATEMENT = "select id, name from customers where id = 1"


def run(report):
    report.title("overhead a query: x floor (Counter.inc + Histogram.observe)")
    for name in VARIANTS:
        figures = [_in_process(name) for _ in range(ROUNDS)]
        report.goal(name, statistics.median(figures), GOAL)
    for name in REAL:
        over, floor = _in_process(name)
        report.note(f"{name}: {over:.1f} us of processor time a query; counter and histogram there {floor:.1f} us")


def _in_process(name):
    command = [sys.executable, __file__, name, str(CHUNKS)]
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


async def _real_asyncpg(url, measured):
    import asyncpg

    pool = asyncpg.create_pool(url, min_size=1, max_size=1)
    if measured:
        _monitor().instrument_asyncpg(pool)
    await pool

    async def query():
        await pool.fetchval("select 1 where $1 = 1", 1)

    return query


async def _real_psycopg(url, measured):
    import psycopg_pool

    pool = psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True, kwargs={"autocommit": True})
    if measured:
        _monitor().instrument_psycopg(pool)
    pool.wait()

    async def query():
        with pool.connection() as connection:
            connection.execute("select 1")

    return query


REAL = {"asyncpg on PostgreSQL": _real_asyncpg, "psycopg on PostgreSQL": _real_psycopg}


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


async def _in_turn(variants, chunks):
    """The floor and what measuring adds: of bare floor (its ground, itself), and of the query (bare, measured)."""
    for _ in range(3):
        for variant in variants:
            await _time(variant)
    gc.collect()
    gc.freeze()
    rows = [[await _time(variant) for variant in variants] for _ in range(chunks)]
    floor = statistics.median(row[1] - row[0] for row in rows)
    return floor, statistics.median(row[3] - row[2] for row in rows)


async def _measure(name, chunks):
    make = VARIANTS[name]()
    floor, over = await _in_turn((_nothing, _floor(), make(False), make(True)), chunks)
    print(json.dumps(over / floor))


def _wrapped(query):
    async def run():  # as many steps as beside the floor
        await query()

    return run


async def _measure_real(name, url, chunks):
    bare, (counter, histogram) = await REAL[name](url, measured=False), overhead.cached()

    async def with_floor():
        await bare()
        counter.inc()
        histogram.observe(0.004)

    base, over = await _in_turn((_wrapped(bare), with_floor, bare, await REAL[name](url, measured=True)), chunks)
    print(json.dumps((over * 1e6, base * 1e6)))


def _main(name, chunks):
    if name in VARIANTS:
        asyncio.run(_measure(name, chunks))
        return
    root = Path(__file__).resolve().parents[2]
    sys.path += [str(root / "tests"), str(root / "deploy" / "local")]
    from real import postgres

    with postgres.running() as server:
        asyncio.run(_measure_real(name, server.url("postgres"), chunks))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
