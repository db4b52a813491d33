"""Real drivers and pools on a real PostgreSQL: operations, errors, a server that stops, a pool that is exhausted."""

import asyncio
import contextlib
import socket
import threading
import time
import weakref

import asyncpg
import psycopg
import psycopg_pool
import pytest
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from psycopg import sql
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from real import postgres
from rearguard_exporter import Monitor
from unit.exporter.test_forking import ask, hello, until

COUNT = "db_client_operation_duration_seconds_count"
SUM = "db_client_operation_duration_seconds_sum"
POOL = "db_client_connection_pool_name"
STATE = "db_client_connection_state"


@pytest.fixture(scope="module")
def server():
    with postgres.running() as running:
        yield running


@pytest.fixture
def stoppable(server):
    """The same server; the test may stop it."""
    yield server
    if not server._answers():
        server.start()


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


@pytest.fixture
def count(read):
    return lambda operation, error="": read(COUNT, db_operation_name=operation, error_type=error) or 0


class Asyncpg:
    """asyncpg's pool in the words that all drivers share here."""

    no_connection = (TimeoutError,)

    async def open(self, url, monitor, size=2, wait=0.2):
        self.wait = wait
        self.pool = asyncpg.create_pool(url, min_size=0, max_size=size)
        monitor.instrument_asyncpg(self.pool, "orders")
        await self.pool

    @contextlib.asynccontextmanager
    async def connection(self):
        async with self.pool.acquire(timeout=self.wait) as connection:
            yield connection

    async def run(self, connection, statement):
        await connection.execute(statement)

    async def close(self):
        self.pool.terminate()


class PsycopgAsync:
    """psycopg's asynchronous pool."""

    no_connection = (psycopg_pool.PoolTimeout,)

    async def open(self, url, monitor, size=2, wait=0.2):
        self.pool = psycopg_pool.AsyncConnectionPool(
            url, min_size=0, max_size=size, timeout=wait, open=False, kwargs={"autocommit": True}
        )
        monitor.instrument_psycopg(self.pool, "orders")
        await self.pool.open()

    def connection(self):
        return self.pool.connection()

    async def run(self, connection, statement):
        await connection.execute(statement)

    async def close(self):
        await self.pool.close()


class PsycopgSync:
    """psycopg's synchronous pool, worked with in threads."""

    no_connection = (psycopg_pool.PoolTimeout,)

    async def open(self, url, monitor, size=2, wait=0.2):
        self.pool = psycopg_pool.ConnectionPool(
            url, min_size=0, max_size=size, timeout=wait, open=True, kwargs={"autocommit": True}
        )
        monitor.instrument_psycopg(self.pool, "orders")

    @contextlib.asynccontextmanager
    async def connection(self):
        connection = await asyncio.to_thread(self.pool.getconn)
        try:
            yield connection
        finally:
            await asyncio.to_thread(self.pool.putconn, connection)

    async def run(self, connection, statement):
        await asyncio.to_thread(connection.execute, statement)

    async def close(self):
        self.pool.close()


@pytest.fixture(params=[Asyncpg, PsycopgAsync, PsycopgSync])
async def driver(request):
    made = request.param()
    yield made
    await made.close()


async def test_operations_go_by_their_first_word_and_never_show_their_text(driver, server, monitor, count):
    await driver.open(server.url("postgres"), monitor)
    async with driver.connection() as connection:
        for statement in (
            "create temporary table secret_orders (id int primary key)",
            "insert into secret_orders values (4711)",
            "/* page */ SELECT * FROM secret_orders",
            "select 1",
            "with x as (select 1) select * from x",
        ):
            await driver.run(connection, statement)
    assert {word: count(word) for word in ("CREATE", "INSERT", "SELECT", "WITH")} == {
        "CREATE": 1, "INSERT": 1, "SELECT": 2, "WITH": 1,
    }  # fmt: skip
    exposed = generate_latest(monitor.registry).decode()
    assert "secret_orders" not in exposed
    assert "4711" not in exposed
    assert 'db_system_name="postgresql"' in exposed
    assert 'db_namespace="postgres"' in exposed


async def test_errors_go_by_the_class_of_their_sqlstate_and_reach_the_application(driver, server, monitor, count):
    await driver.open(server.url("postgres"), monitor)
    wrong = {
        "selec 1": ("_OTHER", "42"),
        "select * from nowhere": ("SELECT", "42"),
        "select 1 / 0": ("SELECT", "22"),
        "do $$ begin raise sqlstate '23505'; end $$": ("_OTHER", "23"),
    }
    async with driver.connection() as connection:
        for statement in wrong:
            with pytest.raises((asyncpg.PostgresError, psycopg.Error)):
                await driver.run(connection, statement)
    for expected in wrong.values():
        assert count(*expected) == 1


async def test_a_pool_is_shown_and_its_counters_are_at_0_from_the_start(driver, server, monitor, read, eventually):
    await driver.open(server.url("postgres"), monitor, size=2)
    assert read("db_client_connection_timeouts_total", **{POOL: "orders"}) == 0
    assert read("db_client_connection_failures_total", **{POOL: "orders"}) == 0
    assert read("db_client_connection_max", **{POOL: "orders"}) == 2
    async with driver.connection():
        assert read("db_client_connection_count", **{POOL: "orders", STATE: "used"}) == 1
    await eventually(lambda: read("db_client_connection_count", **{POOL: "orders", STATE: "idle"}) == 1)
    assert read("db_client_connection_count", **{POOL: "orders", STATE: "used"}) == 0


async def test_an_exhausted_pool_shows_who_waits_and_who_got_nothing(driver, server, monitor, read, eventually):
    await driver.open(server.url("postgres"), monitor, size=1, wait=0.4)

    async def another():
        async with driver.connection():
            pass

    async with driver.connection():
        waiting = asyncio.create_task(another())
        await eventually(lambda: read("db_client_connection_pending_requests", **{POOL: "orders"}) == 1)
        with pytest.raises(driver.no_connection):
            await waiting
    assert read("db_client_connection_timeouts_total", **{POOL: "orders"}) == 1
    assert read("db_client_connection_failures_total", **{POOL: "orders"}) == 0
    assert read("db_client_connection_pending_requests", **{POOL: "orders"}) == 0


async def test_a_query_that_the_server_cancels_is_an_error_of_class_57(driver, server, monitor, count):
    await driver.open(server.url("postgres"), monitor)
    async with driver.connection() as connection:
        await driver.run(connection, "set statement_timeout = 50")
        with pytest.raises((asyncpg.QueryCanceledError, psycopg.errors.QueryCanceled)):
            await driver.run(connection, "select pg_sleep(30)")
    assert count("SELECT", "57") == 1


async def test_a_query_whose_task_is_cancelled_is_counted_as_such(server, monitor, count, eventually):
    for driver in (Asyncpg(), PsycopgAsync()):
        before = count("SELECT", "CancelledError")
        await driver.open(server.url("postgres"), monitor)
        async with driver.connection() as connection:
            task = asyncio.create_task(driver.run(connection, "select pg_sleep(30)"))
            await eventually(lambda: _sleeping(server) == 1)
            task.cancel()
            with pytest.raises((asyncio.CancelledError, psycopg.errors.QueryCanceled)):
                await task
        assert count("SELECT", "CancelledError") == before + 1
        await driver.close()


async def test_a_server_that_stops_in_the_middle_is_seen_by_queries_and_connections(stoppable, eventually):
    """All drivers on one server, so that it starts again once."""
    drivers = [(kind(), Monitor("shop", "1.0", "test")) for kind in (Asyncpg, PsycopgAsync, PsycopgSync)]
    async with contextlib.AsyncExitStack() as stack:
        running = []
        for driver, monitor in drivers:
            await driver.open(stoppable.url("postgres"), monitor, wait=1.0)
            stack.push_async_callback(driver.close)
            connection = await stack.enter_async_context(driver.connection())
            running.append(asyncio.create_task(driver.run(connection, "select pg_sleep(30)")))
        await eventually(lambda: _sleeping(stoppable) == len(drivers))
        await asyncio.to_thread(stoppable.stop_hard)
        for ended in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(ended, asyncpg.PostgresError | psycopg.Error | OSError)
        for driver, monitor in drivers:
            ((labels, value),) = _samples(monitor, COUNT)
            assert value == 1
            assert labels["error_type"] in {"57", "08", "OperationalError"}  # what of it arrived before the end
            with pytest.raises((OSError, psycopg.Error)):
                async with driver.connection():
                    pass
            await eventually(lambda monitor=monitor: _failures(monitor) > 0)
            monitor.close()


def _samples(monitor, metric):
    families = parse_text(generate_latest(monitor.registry).decode())
    return [(s.labels, s.value) for family in families for s in family.samples if s.name == metric]


def _failures(monitor):
    return sum(value for _, value in _samples(monitor, "db_client_connection_failures_total"))


def _sleeping(server):
    with psycopg.connect(server.url("postgres"), autocommit=True) as own:
        row = own.execute(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()"
        ).fetchone()
    return row[0]


async def test_db_up_falls_when_the_server_hangs_or_stops_and_rises_again(
    stoppable, monitor, read, eventually, serve
):
    pool = asyncpg.create_pool(stoppable.url("postgres"), min_size=0, max_size=2)
    app = web.Application()
    monitor.instrument_aiohttp(app)
    monitor.instrument_asyncpg(pool, "orders")
    await pool

    async def check():
        await pool.fetchval("select 1")

    monitor.watch_database("orders", check, interval=0.05, timeout=0.5, readiness=True)
    site = await serve(app)
    await eventually(lambda: read("db_up", **{POOL: "orders"}) == 1)
    stoppable.hold()
    await eventually(lambda: read("db_up", **{POOL: "orders"}) == 0)
    assert (await site.get("/readyz"))[0] == 503
    stoppable.go_on()
    await eventually(lambda: read("db_up", **{POOL: "orders"}) == 1)
    pool.terminate()


@pytest.mark.parametrize("library", ["asyncpg", "sqlalchemy"])
def test_a_check_of_a_wsgi_service_whose_pool_belongs_to_another_event_loop_says_so(server, monitor, library):
    url = server.url("postgres")

    async def connect():
        if library == "asyncpg":
            pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
            return lambda: pool.fetchval("select 1")
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))

        async def ask_engine():
            async with engine.connect() as connection:
                await connection.execute(text("select 1"))

        return ask_engine

    ask_pool = asyncio.run(connect())
    checked = []

    async def check():
        checked.append(True)
        await ask_pool()

    monitor.watch_database("orders", check, readiness=True, interval=0.01, timeout=0.1)
    app = monitor.instrument_wsgi(hello)
    until(lambda: ask(app, "/") and len(checked) > 1, "it is checked again")
    assert "the check uses what belongs to another event loop" in ask(app, "/readyz")[1]


async def test_asyncpg_prepared_statements_cursors_copies_and_transactions_are_operations(server, monitor, count):
    async with asyncpg.create_pool(server.url("postgres"), min_size=1, max_size=1) as pool:
        monitor.instrument_asyncpg(pool)  # its connection exists already
        monitor.instrument_asyncpg(pool)
        async with pool.acquire() as connection:
            statement = await connection.prepare("select $1::int")
            assert await statement.fetchval(7) == 7
            await connection.execute("create temporary table copied (id int)")
            await connection.copy_records_to_table("copied", records=[(1,), (2,), (3,)])
            await connection.executemany("insert into copied values ($1)", [(4,), (5,)])
            async with connection.transaction():
                rows = [row["id"] async for row in connection.cursor("select id from copied", prefetch=2)]
        assert sorted(rows) == [1, 2, 3, 4, 5]
        assert await pool.fetchval("select 8") == 8
    assert count("COPY") == 1
    assert count("INSERT") == 1
    assert count("BEGIN") == count("COMMIT") == 1
    assert count("FETCH") == 2  # what is left of the rows after the first two
    assert count("SELECT") == 3  # none of what the pool itself sends when a connection comes back


async def test_an_asyncpg_pool_is_as_it_was_but_for_being_measured(server, monitor, read):
    class Own(asyncpg.Connection):
        def greet(self):
            return "hello"

    pool = asyncpg.create_pool(server.url("postgres"), min_size=0, max_size=3, connection_class=Own)
    monitor.instrument_asyncpg(pool)
    async with pool:
        async with pool.acquire() as connection:
            assert connection.greet() == "hello"
        assert isinstance(pool, asyncpg.Pool)
        assert type(pool).__name__ == "Pool"
        assert read("db_client_connection_max", **{POOL: "postgres"}) == 3
    assert read("db_client_connection_max", **{POOL: "postgres"}) is None


async def test_a_failed_connection_of_asyncpg_is_a_failure_and_no_timeout(monitor, read):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        pool = asyncpg.create_pool(
            f"postgresql://rearguard@127.0.0.1:{free.getsockname()[1]}/x", min_size=0, max_size=1
        )
        monitor.instrument_asyncpg(pool, "orders")
        assert read("db_client_connection_max", **{POOL: "orders"}) == 1  # shown before it is connected
        await pool
        with pytest.raises(OSError, match="Connect call failed"):
            await pool.acquire(timeout=30)
    assert read("db_client_connection_failures_total", **{POOL: "orders"}) == 1
    assert read("db_client_connection_timeouts_total", **{POOL: "orders"}) == 0


async def test_a_connection_of_asyncpg_that_is_not_answered_in_time_is_a_failure_and_no_timeout(monitor, read):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"postgresql://rearguard@127.0.0.1:{deaf.getsockname()[1]}/x"
        pool = asyncpg.create_pool(url, min_size=0, max_size=1, timeout=0.2, ssl=False)
        monitor.instrument_asyncpg(pool, "orders")
        await pool
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=30)
    assert read("db_client_connection_failures_total", **{POOL: "orders"}) == 1
    assert read("db_client_connection_timeouts_total", **{POOL: "orders"}) == 0


def test_psycopg_cursors_of_every_kind_are_measured(server, monitor, count, read):
    with psycopg.connect(server.url("postgres")) as connection:
        monitor.instrument_psycopg(connection)
        monitor.instrument_psycopg(connection)
        cursor = connection.cursor()
        assert isinstance(cursor, psycopg.Cursor)
        assert cursor.execute("select 1").fetchone() == (1,)
        cursor.execute(b"create temporary table kept (id int)")
        cursor.executemany("insert into kept values (%s)", [(1,), (2,)])
        cursor.execute(sql.SQL("update {} set id = id").format(sql.Identifier("kept")))
        cursor.execute(sql.Composed([sql.SQL("DELETE from kept where id = "), sql.Literal(9)]))
        with cursor.copy("copy kept from stdin") as copy:
            copy.write_row((3,))
        with connection.cursor("named") as named:
            assert sorted(row[0] for row in named.execute("select id from kept")) == [1, 2, 3]
        seen = []
        for row in cursor.stream("select id from kept"):
            seen.append(row)
            time.sleep(0.05)
        assert len(seen) == 3
    counts = {word: count(word) for word in ("SELECT", "CREATE", "INSERT", "UPDATE", "DELETE", "COPY")}
    assert counts == {"SELECT": 3, "CREATE": 1, "INSERT": 1, "UPDATE": 1, "DELETE": 1, "COPY": 1}
    # The application's own time with each row is none of the database's.
    assert read(SUM, db_operation_name="SELECT") < 0.1


async def test_asynchronous_psycopg_streams_and_copies_are_measured(server, monitor, count):
    async with await psycopg.AsyncConnection.connect(server.url("postgres")) as connection:
        monitor.instrument_psycopg(connection)
        cursor = connection.cursor()
        await cursor.execute("create temporary table kept (id int)")
        await cursor.executemany("insert into kept values (%s)", [(1,), (2,)])
        async with cursor.copy("copy kept from stdin") as copy:
            await copy.write_row((3,))
        async for _ in cursor.stream("select id from kept"):
            break
        async with connection.cursor("named") as named:
            assert len(await (await named.execute("select id from kept")).fetchall()) == 3
    assert (count("INSERT"), count("COPY"), count("SELECT")) == (1, 1, 2)


def test_an_open_psycopg_pool_a_second_monitor_and_an_own_factory_make_no_operation_twice(server, monitor, count):
    class Own(psycopg.Cursor):
        pass

    def configure(connection):
        connection.cursor_factory = Own

    other = Monitor("other", "1.0", "test")
    with psycopg_pool.ConnectionPool(server.url("postgres"), min_size=1, open=True, configure=configure) as pool:
        pool.wait()
        for _ in range(2):
            monitor.instrument_psycopg(pool)
            other.instrument_psycopg(pool)
        for _ in range(3):
            with pool.connection() as connection:
                cursor = connection.execute("select 1")
                assert isinstance(cursor, Own)
                assert len(type(cursor).__mro__) < 12
    assert count("SELECT") == 3
    assert "db_client_operation_duration_seconds_count" in generate_latest(other.registry).decode()
    other.close()


def test_a_psycopg_pool_that_nobody_holds_ends_its_threads_and_is_forgotten(server, monitor, read):
    read("db_client_connection_max", **{POOL: "gone"})  # the first scrape starts the exporter's own threads
    before = threading.active_count()
    pool = psycopg_pool.NullConnectionPool(server.url("postgres"), min_size=0, max_size=0, open=True)
    monitor.instrument_psycopg(pool, "gone")
    with pool.connection() as connection:
        connection.execute("select 1")
    assert read("db_client_connection_pending_requests", **{POOL: "gone"}) == 0
    assert read("db_client_connection_max", **{POOL: "gone"}) is None  # there is no limit
    held = weakref.ref(pool)
    del pool, connection
    assert held() is None  # at once, not when the garbage collector comes
    assert read("db_client_connection_pending_requests", **{POOL: "gone"}) is None
    deadline = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_sqlalchemy_on_postgresql_has_sqlstates_and_the_databases_name(server, monitor, count, read):
    url = server.url("postgres")
    sync = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    monitor.instrument_sqlalchemy(sync)
    with pytest.raises(DBAPIError), sync.connect() as connection:
        connection.execute(text("select 1 / 0"))
    asynchronous = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    monitor.instrument_sqlalchemy(asynchronous)
    with pytest.raises(DBAPIError):
        async with asynchronous.connect() as connection:
            await connection.execute(text("select * from nowhere"))
    assert count("SELECT", "22") == count("SELECT", "42") == 1
    assert read("db_client_connection_max", **{POOL: "postgres"}) == 15
    assert read("db_client_connection_max", **{POOL: "postgres-2"}) == 15
    sync.dispose()
    await asynchronous.dispose()


def test_sqlalchemy_sees_a_connection_that_the_server_ends(server, monitor, count):
    engine = create_engine(server.url("postgres").replace("postgresql://", "postgresql+psycopg://"))
    monitor.instrument_sqlalchemy(engine, "orders")
    with engine.connect() as connection:
        mine = connection.execute(text("select pg_backend_pid()")).scalar()
        before = count("SELECT")  # with those of SQLAlchemy's own at the first connection
        with psycopg.connect(server.url("postgres")) as other:
            other.execute("select pg_terminate_backend(%s, 10000)", [mine])
        with pytest.raises(DBAPIError):
            connection.execute(text("select 1"))
    assert count("SELECT") == before
    assert count("SELECT", "57") == 1
    engine.dispose()
