"""Watched databases on a real server: db_up, connection failures, readiness, and checks that hang."""

import asyncio
import threading
import time

import pytest
from aiohttp import web

from rearguard_exporter import Monitor

LABEL = "db_client_connection_pool_name"
FAILURES = "db_client_connection_failures_total"


@pytest.fixture
async def watched(serve):
    """Serves an application whose database "orders" is watched by this check."""
    monitors = []

    async def start(check, **kwargs):
        monitor = Monitor("shop", "1.0", "test")
        monitors.append(monitor)
        app = web.Application()
        monitor.instrument_aiohttp(app)
        monitor.watch_database("orders", check, interval=0.05, **kwargs)
        return await serve(app)

    yield start
    for monitor in monitors:
        monitor.close()


class Database:
    up = True

    async def ask(self):
        if not self.up:
            raise OSError("password=hunter2 host=10.0.0.1")

    def ask_plainly(self):
        return self.up

    async def __call__(self):
        return self.up


@pytest.mark.parametrize("way", ["coroutine", "plain", "object", "lambda"])
async def test_db_up_follows_the_database_and_failures_are_counted(watched, eventually, way):
    database = Database()
    check = {
        "coroutine": database.ask,
        "plain": database.ask_plainly,
        "object": database,
        "lambda": lambda: database.ask(),  # noqa: PLW0108 - a plain function that hands out a coroutine
    }[way]
    site = await watched(check)

    async def shows(value):
        scrape = await site.scrape()
        return scrape.value("db_up", **{LABEL: "orders"}) == value and scrape

    scrape = await eventually(lambda: shows(1))
    assert scrape.value(FAILURES, **{LABEL: "orders"}) == 0
    assert scrape.value("db_client_connection_timeouts_total", **{LABEL: "orders"}) == 0
    database.up = False
    scrape = await eventually(lambda: shows(0))
    assert scrape.value(FAILURES, **{LABEL: "orders"}) >= 1
    assert (await site.get("/readyz"))[0] == 200  # a blip of a database must not take every pod out
    dashboard = await site.get("/api/monitoring/dashboard")
    assert b"database orders does not answer" in dashboard[1]
    database.up = True
    await eventually(lambda: shows(1))


async def test_readiness_follows_a_database_that_was_declared_to_matter(watched, eventually):
    database = Database()
    site = await watched(database.ask, readiness=True)

    async def answers(status):
        answer = await site.get("/readyz")
        return answer[0] == status and answer

    await eventually(lambda: answers(200))
    database.up = False
    _, body = await eventually(lambda: answers(503))
    assert b"OSError" in body
    assert b"hunter2" not in body
    assert (await site.get("/healthz"))[0] == 200


@pytest.mark.parametrize("way", ["coroutine", "plain"])
async def test_a_check_that_hangs_counts_as_down_and_holds_nothing_up(watched, eventually, way):
    release = threading.Event()

    async def hang():
        await asyncio.sleep(60)

    def hang_plainly():
        release.wait(60)

    site = await watched(hang if way == "coroutine" else hang_plainly, timeout=0.1)

    async def down():
        began = time.monotonic()
        scrape = await site.scrape()
        assert time.monotonic() - began < 2
        return scrape.value("db_up", **{LABEL: "orders"}) == 0 and scrape.value(FAILURES, **{LABEL: "orders"}) >= 2

    await eventually(down)
    hanging = [thread for thread in threading.enumerate() if thread.name == "rearguard-check-orders"]
    assert len(hanging) == (0 if way == "coroutine" else 1)  # never a second while the first one hangs
    release.set()


async def test_a_coroutine_check_may_be_added_while_the_application_serves(serve, eventually):
    monitor = Monitor("shop", "1.0", "test")
    app = web.Application()
    monitor.instrument_aiohttp(app)
    site = await serve(app)
    assert (await site.scrape()).all("db_up") == []
    monitor.watch_database("late", Database().ask, interval=0.05)

    async def up():
        return (await site.scrape()).value("db_up", **{LABEL: "late"}) == 1

    await eventually(up)


async def test_checks_go_on_while_any_application_of_the_loop_serves(serve, eventually):
    monitor, asked = Monitor("shop", "1.0", "test"), []

    async def check():
        asked.append(asyncio.get_running_loop())

    monitor.watch_database("orders", check, interval=0.02)
    first, second = web.Application(), web.Application()
    for app in (first, second):
        monitor.instrument_aiohttp(app)
    one, _ = await serve(first), await serve(second)
    await eventually(lambda: asked)
    await one.runner.cleanup()
    asked.clear()
    await eventually(lambda: len(asked) > 2)


async def test_a_check_that_is_cancelled_from_within_is_a_failed_check_and_the_next_one_follows(watched, eventually):
    answers = [True, asyncio.CancelledError(), True]

    async def check():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            answers.insert(0, answer)
            raise answer
        return answer

    site = await watched(check, readiness=True)

    async def readiness(status):
        answer = await site.get("/readyz")
        return answer[0] == status and answer

    _, body = await eventually(lambda: readiness(503))
    assert b"CancelledError" in body
    assert (await site.scrape()).value("db_up", **{LABEL: "orders"}) == 0
    answers[:] = [True]
    await eventually(lambda: readiness(200))


async def test_a_check_that_will_not_be_cancelled_is_late_and_has_no_second_beside_it(watched, eventually):
    begun, release = [], asyncio.Event()

    async def stubborn():
        begun.append(asyncio.current_task())
        while len(begun) == 2 and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    site = await watched(stubborn, timeout=0.1, readiness=True)

    async def down():
        scrape = await site.scrape()
        return scrape.value("db_up", **{LABEL: "orders"}) == 0 and scrape.value(FAILURES, **{LABEL: "orders"}) >= 3

    async def ready():
        return (await site.get("/readyz"))[0] == 200

    await eventually(down, 3)
    assert not await ready()
    assert len(begun) == 2
    release.set()
    await eventually(ready)


async def test_a_check_under_way_ends_before_the_application_that_it_belongs_to(watched, eventually):
    begun, ended = asyncio.Event(), []

    async def check():
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)  # it gives its connection back
            ended.append(True)

    site = await watched(check)
    await begun.wait()
    await site.runner.cleanup()
    assert ended
