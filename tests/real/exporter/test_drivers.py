"""Rough use of PostgreSQL's drivers: pipelines, cursors on the server, pools that are made anew, own cursors."""

import asyncio
import contextlib
import time

import asyncpg
import psycopg
import psycopg_pool
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from psycopg import errors, sql

from real import postgres
from rearguard_exporter import Monitor
from rearguard_exporter.database.psycopg_cursors import leading_text

COUNT = "db_client_operation_duration_seconds_count"
SUM = "db_client_operation_duration_seconds_sum"
POOL = "db_client_connection_pool_name"


@pytest.fixture(scope="module")
def url():
    with postgres.running() as running:
        yield running.url("postgres")


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def samples(monitor):
    return [s for family in parse_text(generate_latest(monitor.registry).decode()) for s in family.samples]


def operations(monitor, metric=COUNT):
    return {
        (s.labels["db_operation_name"], s.labels["error_type"]): s.value for s in samples(monitor) if s.name == metric
    }


def of_pool(monitor, metric, name="orders", **labels):
    found = [
        s.value
        for s in samples(monitor)
        if s.name == f"db_client_connection_{metric}" and s.labels.items() >= {POOL: name, **labels}.items()
    ]
    return found[0] if found else None


@contextlib.asynccontextmanager
async def pipelines(is_async, url, monitor):
    """Functions that run statements in one pipeline and in one `executemany`."""
    if is_async:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            monitor.instrument_psycopg(connection)

            async def run(*statements):
                async with connection.pipeline():
                    for statement in statements:
                        await connection.execute(statement)

            async def run_many(statement):
                async with connection.pipeline():
                    await connection.execute("select 1")
                    await connection.cursor().executemany(statement, [(1,), (2,), (3,)])

            yield run, run_many
        return
    with psycopg.connect(url, autocommit=True) as connection:
        monitor.instrument_psycopg(connection)

        async def run(*statements):
            with connection.pipeline():
                for statement in statements:
                    connection.execute(statement)

        async def run_many(statement):
            with connection.pipeline():
                connection.execute("select 1")
                connection.cursor().executemany(statement, [(1,), (2,), (3,)])

        yield run, run_many


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_statement_of_a_pipeline_lasts_until_its_result_came(is_async, url, monitor):
    async with pipelines(is_async, url, monitor) as (run, run_many):
        await run("select pg_sleep(0.1)", "show port", "select 2")
        assert operations(monitor) == {("SELECT", ""): 2, ("SHOW", ""): 1}
        assert operations(monitor, SUM)["SELECT", ""] >= 0.1
        await run_many("select %s::int")
    assert operations(monitor) == {("SELECT", ""): 4, ("SHOW", ""): 1}


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_failure_in_a_pipeline_is_that_of_its_statement_and_the_rest_was_ignored(is_async, url, monitor):
    async with pipelines(is_async, url, monitor) as (run, _):
        with pytest.raises(errors.DivisionByZero):
            await run("select 1", "select 1 / 0", "show port", "show port")
        assert operations(monitor).pop(("SELECT", "22")) == 1
        assert ("SHOW", "") not in operations(monitor)
        before = operations(monitor)
        await run("show port")
        assert operations(monitor) == before | {("SHOW", ""): 1}


def test_a_statement_that_cannot_be_sent_is_the_only_one_that_failed(url, monitor):
    with psycopg.connect(url, autocommit=True) as connection:
        monitor.instrument_psycopg(connection)
        with connection.pipeline():
            connection.execute("show port")
            with pytest.raises(psycopg.ProgrammingError):
                connection.execute("select %s", (object(),))
    assert operations(monitor) == {("SHOW", ""): 1, ("SELECT", "ProgrammingError"): 1}


async def test_what_a_cursor_on_the_server_fetches_is_an_operation(url, monitor):
    with psycopg.connect(url) as connection:
        monitor.instrument_psycopg(connection)
        with connection.cursor("named") as cursor:
            cursor.execute("select generate_series(1, 10)")
            cursor.fetchone()
            cursor.fetchmany(3)
            assert len(cursor.fetchall()) == 6
    assert operations(monitor) == {("SELECT", ""): 1, ("FETCH", ""): 3}
    async with await psycopg.AsyncConnection.connect(url) as connection:
        monitor.instrument_psycopg(connection)
        async with connection.cursor("named") as cursor:
            cursor.itersize = 6
            await cursor.execute("select 1 / (8 - x) from generate_series(1, 10) as x")
            with pytest.raises(errors.DivisionByZero):
                _ = [row async for row in cursor]
    assert operations(monitor) == {("SELECT", ""): 2, ("FETCH", ""): 4, ("FETCH", "22"): 1}


def test_cursors_of_the_application_are_called_as_it_calls_them(url, monitor):
    class Own(psycopg.Cursor):
        def execute(self, text, *args, **kwargs):
            return super().execute(text, *args, **kwargs)

    with psycopg.connect(url, cursor_factory=Own) as connection:
        monitor.instrument_psycopg(connection)
        cursor = connection.cursor()
        assert cursor.execute(text="select 1").fetchone() == (1,)
        assert cursor.execute("select %(x)s", params={"x": 2}).fetchone() == (2,)
        assert list(cursor.stream(query="select 3")) == [(3,)]
        assert isinstance(cursor, Own)
    assert operations(monitor) == {("SELECT", ""): 3}


def test_parts_of_a_query_are_read_up_to_its_first_word(url, monitor):
    with psycopg.connect(url) as connection:
        monitor.instrument_psycopg(connection)
        connection.execute(sql.SQL("/* page */ ") + sql.SQL(" ") + sql.SQL("select {}").format(1))
        connection.execute(("/*" + "x" * 10_000_000 + "*/ select 1").encode())
    assert operations(monitor) == {("SELECT", ""): 1, ("_OTHER", ""): 1}


def test_of_a_query_in_many_parts_few_are_read():
    many = sql.SQL("insert into x values ({})").format(sql.SQL(",").join([sql.Placeholder()] * 100_000))
    began = time.perf_counter()
    for _ in range(1000):
        assert leading_text(many) == "insert into x values ("
    assert time.perf_counter() - began < 0.5


def test_a_pool_s_check_of_its_connections_is_none_of_the_application_s_operations(url, monitor):
    check = psycopg_pool.ConnectionPool.check_connection
    with psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True, check=check) as pool:
        monitor.instrument_psycopg(pool)
        for _ in range(3):
            with pool.connection() as connection:
                connection.execute("select 1")
    assert operations(monitor) == {("SELECT", ""): 3}


def test_callers_that_gave_up_wait_no_longer_though_the_pool_is_still_exhausted(url, monitor):
    with psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, timeout=0.05, open=True) as pool:
        monitor.instrument_psycopg(pool, "orders")
        pool.wait()
        with pool.connection(timeout=30):
            with pytest.raises(psycopg_pool.PoolTimeout):
                pool.getconn()
            assert of_pool(monitor, "pending_requests") == 0
            assert of_pool(monitor, "count", db_client_connection_state="used") == 1
        assert of_pool(monitor, "count", db_client_connection_state="used") == 0


def test_connections_that_a_pool_cannot_make_are_not_in_use(monitor):
    with psycopg_pool.ConnectionPool("host=127.0.0.1 port=1", min_size=2, max_size=2, timeout=0.1, open=True) as pool:
        monitor.instrument_psycopg(pool, "orders")
        with pytest.raises(psycopg_pool.PoolTimeout):
            pool.getconn()
        assert of_pool(monitor, "count", db_client_connection_state="used") == 0


def test_a_psycopg_pool_that_was_closed_leaves_its_name_to_the_next(url, monitor):
    held = []
    for _ in range(2):
        pool = psycopg_pool.ConnectionPool(url, min_size=1, max_size=3, open=False)
        monitor.instrument_psycopg(pool, "orders")
        assert of_pool(monitor, "max") == 3  # not open yet, and shown
        pool.open()
        pool.close()
        held.append(pool)
        assert of_pool(monitor, "max") is None
    assert of_pool(monitor, "timeouts_total", "orders-2") is None


def test_a_pool_of_asyncpg_ends_with_its_event_loop(url, monitor):
    held = []

    async def serve():
        pool = asyncpg.create_pool(url, min_size=1, max_size=3)
        monitor.instrument_asyncpg(pool, "orders")
        held.append(await pool)
        assert of_pool(monitor, "max") == 3
        pool.terminate()
        pool._closed = False  # as one that nobody closed

    asyncio.run(serve())
    assert of_pool(monitor, "max") is None


async def test_a_connection_of_asyncpg_is_measured_once_by_each_of_two_monitors(url, monitor):
    other = Monitor("other", "1.0", "test")
    connection = await asyncpg.connect(url)
    for _ in range(2):
        monitor.instrument_asyncpg(connection)
        other.instrument_asyncpg(connection)
    assert await connection.fetchval("select 1") == 1
    await connection.close()
    assert operations(monitor) == operations(other) == {("SELECT", ""): 1}
    other.close()


def test_ten_thousand_statements_of_a_pipeline_are_counted_in_moments(url, monitor):
    with psycopg.connect(url, autocommit=True) as connection:
        monitor.instrument_psycopg(connection)
        began = time.perf_counter()
        with connection.pipeline():
            for _ in range(10_000):
                connection.execute("select 1")
        assert time.perf_counter() - began < 5
    assert operations(monitor) == {("SELECT", ""): 10_000}
