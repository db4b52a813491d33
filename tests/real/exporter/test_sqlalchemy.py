"""Real SQLAlchemy engines on SQLite files: operations, pools, time-outs, failures; sync and async."""

import asyncio
import gc
import threading

import pytest
from prometheus_client import generate_latest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, event, insert, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rearguard_exporter import Monitor

COUNT = "db_client_operation_duration_seconds_count"
POOL = "db_client_connection_pool_name"
STATE = "db_client_connection_state"
orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True), Column("price", Integer))


@pytest.fixture
def monitor():
    return Monitor("shop", "1.0", "test")


@pytest.fixture
def make_engine(tmp_path, monitor):
    engines = []

    def make(name=None, file="orders.db", **kwargs):
        engine = create_engine(f"sqlite:///{tmp_path}/{file}", **kwargs)
        engines.append(engine)
        monitor.instrument_sqlalchemy(engine, name)
        return engine

    yield make
    for engine in engines:
        engine.dispose()


async def test_a_failed_check_of_an_instrumented_pool_is_counted_once_by_the_pool(
    make_engine, read, monitor, eventually
):
    engine = make_engine(name="orders", file="no/such/folder/orders.db")
    checked = []

    def check():
        checked.append(True)
        with engine.connect():
            pass

    monitor.watch_database("orders", check, interval=60)
    try:
        await eventually(lambda: read("db_up", **{POOL: "orders"}) == 0)
    finally:
        monitor.close()
    assert read("db_client_connection_failures_total", **{POOL: "orders"}) == len(checked) == 1


def test_options_of_an_engine_make_no_second_measurement(make_engine, read, monitor):
    engine = make_engine(name="orders")
    monitor.instrument_sqlalchemy(engine.execution_options(isolation_level="AUTOCOMMIT"), "again")
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    assert read(COUNT, db_operation_name="SELECT") == 1
    assert read("db_client_connection_count", **{POOL: "again", STATE: "idle"}) is None


def test_a_pool_stays_shown_when_only_its_engine_with_options_was_instrumented(read, monitor, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/orders.db")
    monitor.instrument_sqlalchemy(engine.execution_options(isolation_level="AUTOCOMMIT"), "orders")
    gc.collect()
    assert read("db_client_connection_count", **{POOL: "orders", STATE: "idle"}) == 0
    engine.dispose()
    assert read("db_client_connection_count", **{POOL: "orders", STATE: "idle"}) == 0


def test_operations_are_counted_by_their_first_word_never_their_text(make_engine, read, monitor):
    engine = make_engine()
    with engine.begin() as connection:
        orders.create(connection)
        connection.execute(insert(orders), [{"price": 4711}, {"price": 815}])
        connection.execute(select(orders).where(orders.c.price == 4711))
        connection.execute(text("/* from page */ select 'secret-9000'"))
        connection.execute(text("with x as (select 1) select * from x"))
        connection.exec_driver_sql("PRAGMA user_version")
    label = {"db_system_name": "sqlite", "db_namespace": "orders.db", "error_type": ""}
    counted = {
        word: read(COUNT, db_operation_name=word, **label)
        for word in ("CREATE", "INSERT", "SELECT", "WITH", "PRAGMA")
    }
    assert counted == {"CREATE": 1, "INSERT": 1, "SELECT": 2, "WITH": 1, "PRAGMA": 1}
    exposed = generate_latest(monitor.registry).decode()
    for secret in ("4711", "secret-9000", "price", "user_version"):
        assert secret not in exposed


def test_failures_have_a_type_and_reach_the_application_unchanged(make_engine, read):
    engine = make_engine()
    with engine.begin() as connection:
        orders.create(connection)
        connection.execute(insert(orders), {"id": 1})
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(orders), {"id": 1})
    with pytest.raises(OperationalError), engine.begin() as connection:
        connection.execute(text("select * from nowhere"))
    assert read(COUNT, db_operation_name="INSERT", error_type="IntegrityError") == 1
    assert read(COUNT, db_operation_name="SELECT", error_type="OperationalError") == 1


def test_handlers_of_the_application_keep_their_order_and_what_they_execute_themselves(tmp_path, monitor, read):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    called = []

    @event.listens_for(engine, "do_execute_no_params")
    @event.listens_for(engine, "do_execute")
    def early(_cursor, _statement, *_):
        called.append("early")

    monitor.instrument_sqlalchemy(engine)

    @event.listens_for(engine, "do_execute_no_params")
    @event.listens_for(engine, "do_execute")
    def late(cursor, statement, *_):
        called.append("late")
        if "taken over" in statement:
            cursor.execute("select 42")
            return True
        return False

    with engine.connect() as connection:
        assert connection.execute(text("select 1 -- taken over")).scalar() == 42
        assert connection.execute(text("select 1")).scalar() == 1
    assert called == ["early", "late"] * 2
    assert read(COUNT, db_operation_name="SELECT") == 1
    engine.dispose()


def test_a_handler_of_all_engines_is_called_once(make_engine):
    called = []

    def everywhere(_cursor, statement, *_):
        called.append(statement)

    event.listen(Engine, "do_execute", everywhere)
    try:
        with make_engine().connect() as connection:
            connection.execute(text("select :x"), {"x": 1})
    finally:
        event.remove(Engine, "do_execute", everywhere)
    assert called == ["select ?"]


def test_pool_figures_are_read_at_the_scrape(make_engine, read):
    engine = make_engine("main", pool_size=2, max_overflow=1)
    first = engine.connect()
    with engine.connect():
        assert read("db_client_connection_count", **{POOL: "main", STATE: "used"}) == 2
    assert read("db_client_connection_count", **{POOL: "main", STATE: "used"}) == 1
    assert read("db_client_connection_count", **{POOL: "main", STATE: "idle"}) == 1
    assert read("db_client_connection_max", **{POOL: "main"}) == 3
    first.close()


def test_callers_that_wait_are_pending_and_time_outs_are_counted_also_after_dispose(make_engine, read):
    engine = make_engine("main", pool_size=1, max_overflow=0, pool_timeout=0.3)
    assert read("db_client_connection_timeouts_total", **{POOL: "main"}) == 0
    for round_ in (1, 2):
        held = engine.connect()
        waiting, seen = [], []

        def wait(waiting=waiting):
            try:
                engine.connect()
            except PoolTimeoutError as failure:
                waiting.append(failure)

        thread = threading.Thread(target=wait)
        thread.start()
        while thread.is_alive():
            seen.append(read("db_client_connection_pending_requests", **{POOL: "main"}))
            thread.join(0.02)
        assert len(waiting) == 1
        assert max(seen) == 1
        assert read("db_client_connection_pending_requests", **{POOL: "main"}) == 0
        assert read("db_client_connection_timeouts_total", **{POOL: "main"}) == round_
        held.close()
        engine.dispose()
    assert read("db_client_connection_failures_total", **{POOL: "main"}) == 0


def test_connections_that_cannot_be_made_are_failures(make_engine, read):
    engine = make_engine("main", file="no/such/folder/x.db")
    assert read("db_client_connection_failures_total", **{POOL: "main"}) == 0
    for _ in range(3):
        with pytest.raises(OperationalError):
            engine.connect()
    assert read("db_client_connection_failures_total", **{POOL: "main"}) == 3
    assert read("db_client_connection_timeouts_total", **{POOL: "main"}) == 0


def test_an_engine_is_measured_once_and_two_of_one_name_stay_apart(make_engine, monitor, read):
    engine = make_engine("main")
    monitor.instrument_sqlalchemy(engine)
    make_engine("main")
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    assert read(COUNT, db_operation_name="SELECT") == 1
    assert read("db_client_connection_max", **{POOL: "main"}) is not None
    assert read("db_client_connection_max", **{POOL: "main-2"}) is not None


def test_the_engine_that_replaces_one_that_was_disposed_has_its_name(make_engine, read):
    old = make_engine("orders", pool_size=1, max_overflow=0)
    old.connect().close()
    old.dispose()  # and kept, or not yet found by the garbage collector
    new = make_engine("orders", pool_size=2, max_overflow=0)
    assert read("db_client_connection_max", **{POOL: "orders"}) == 2
    new.dispose()
    new.connect().close()  # in use again
    make_engine("orders", pool_size=3, max_overflow=0)
    assert read("db_client_connection_max", **{POOL: "orders"}) == 2
    assert read("db_client_connection_max", **{POOL: "orders-2"}) == 3


def test_an_engine_that_is_gone_is_forgotten(tmp_path, monitor, read):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    monitor.instrument_sqlalchemy(engine, "gone")
    assert read("db_client_connection_max", **{POOL: "gone"}) is not None
    del engine
    gc.collect()
    assert read("db_client_connection_max", **{POOL: "gone"}) is None


def test_a_pool_that_keeps_nothing_still_counts_operations_and_failures(make_engine, read):
    engine = make_engine("null", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    assert read(COUNT, db_operation_name="SELECT") == 1
    assert read("db_client_connection_count", **{POOL: "null", STATE: "idle"}) is None
    assert read("db_client_connection_failures_total", **{POOL: "null"}) == 0


def test_threads_lose_no_operation(make_engine, read):
    engine = make_engine(pool_size=4)

    def work():
        for _ in range(200):
            with engine.connect() as connection:
                connection.execute(text("select 1"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(COUNT, db_operation_name="SELECT") == 800
    assert read("db_client_connection_pending_requests") == 0


async def test_an_async_engine_is_measured_alike(tmp_path, monitor, read, eventually):
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/a.db", pool_size=1, max_overflow=0, pool_timeout=0.5
    )
    monitor.instrument_sqlalchemy(engine, "async")
    async with engine.begin() as connection:
        await connection.run_sync(orders.create)
        await connection.execute(insert(orders), [{"price": 1}, {"price": 2}])
        waiting = asyncio.create_task(engine.connect().start())
        await eventually(lambda: read("db_client_connection_pending_requests", **{POOL: "async"}) == 1)
        assert read("db_client_connection_count", **{POOL: "async", STATE: "used"}) == 1
        with pytest.raises(PoolTimeoutError):
            await waiting
    with pytest.raises(DBAPIError):
        async with engine.connect() as connection:
            await connection.execute(text("select nonsense from nowhere"))
    assert read(COUNT, db_operation_name="INSERT", error_type="") == 1
    assert read(COUNT, db_operation_name="SELECT", error_type="OperationalError") == 1
    assert read("db_client_connection_timeouts_total", **{POOL: "async"}) == 1
    await engine.dispose()

    async def refused():
        raise ConnectionRefusedError

    broken = create_async_engine("sqlite+aiosqlite://", async_creator=refused)
    monitor.instrument_sqlalchemy(broken, "broken")
    with pytest.raises(ConnectionRefusedError):
        await broken.connect().start()
    assert read("db_client_connection_failures_total", **{POOL: "broken"}) == 1
    await broken.dispose()
