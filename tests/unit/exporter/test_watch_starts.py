"""When the checks of databases begin, and where those run that are coroutines."""

import asyncio
import threading
import time

import pytest
from prometheus_client import generate_latest

from deadline import in_time
from rearguard_exporter import Monitor
from rearguard_exporter.background.loops import LAG_INTERVAL
from unit.exporter.test_forking import ask, hello, said_by_us, until


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def test_a_coroutine_check_of_a_wsgi_service_runs_on_one_event_loop_of_its_own(monitor):
    loops = []

    async def check():
        loops.append(asyncio.get_running_loop())

    monitor.watch_database("orders", check, readiness=True, interval=0.01)
    app = monitor.instrument_wsgi(hello)
    until(lambda: ask(app, "/readyz")[0].startswith("200"), "the database is checked")
    until(lambda: len(loops) > 2, "it is checked again")
    assert len(set(loops)) == 1
    monitor.close()
    until(loops[0].is_closed, "its loop is closed")
    assert not [thread for thread in threading.enumerate() if thread.name == "rearguard-loop"]


def test_a_coroutine_check_that_is_declared_while_a_wsgi_service_serves_runs(monitor):
    asked = threading.Event()

    async def check():
        asked.set()

    app = monitor.instrument_wsgi(hello)
    ask(app, "/")
    monitor.watch_database("orders", check)
    assert asked.wait(30)


def test_the_lateness_of_the_exporters_own_loop_is_not_shown_as_the_applications(monitor):
    asked = []

    async def check():
        asked.append(time.monotonic())

    monitor.watch_database("orders", check, interval=LAG_INTERVAL)
    app = monitor.instrument_wsgi(hello)
    ask(app, "/")
    until(lambda: len(asked) > 2, "a probe would have been due")
    assert "python_event_loop_lag_seconds_count 0.0" in generate_latest(monitor.registry).decode()


def test_a_process_that_shows_its_registry_by_other_means_checks_from_its_first_scrape_on(monitor):
    asked = threading.Event()
    monitor.watch_database("orders", asked.set)
    assert not asked.wait(0.1)
    generate_latest(monitor.registry)
    assert asked.wait(30)


def test_a_process_that_only_listens_checks_its_databases():
    monitor, asked = Monitor("worker", "1.0", "test", listen="127.0.0.1:0"), threading.Event()
    monitor.watch_database("orders", asked.set)
    assert asked.wait(30)
    monitor.close()


def test_coroutine_checks_move_to_the_first_application_that_has_an_event_loop(monitor):
    loops, moved = [], asyncio.Event()

    async def check():
        loops.append(asyncio.get_running_loop())
        if loops[-1] is not loops[0]:
            moved.set()

    monitor.watch_database("orders", check, interval=0.01)
    ask(monitor.instrument_wsgi(hello), "/")
    until(lambda: loops, "it runs without an application's loop")
    spare = loops[0]
    served = monitor.instrument_asgi(quiet_app)

    async def serve():
        await served({"type": "http", "method": "GET", "path": "/", "headers": []}, None, nobody)
        await in_time(moved.wait(), 30)
        assert loops[-1] is asyncio.get_running_loop()

    asyncio.run(serve())
    until(spare.is_closed, "the loop that was in its place is closed")


async def quiet_app(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def nobody(_message):
    """Takes what is sent."""


async def unasked():
    """A check that never runs."""


@pytest.mark.parametrize(("age", "said"), [(50, 0), (70, 1)])
def test_a_coroutine_check_that_no_event_loop_runs_is_told_of_once_the_service_had_time_to_start(
    monitor, caplog, age, said
):
    monitor.watch_database("orders", unasked)
    monitor._lifecycle._began -= age
    monitor._lifecycle._tick()
    monitor._lifecycle._tick()
    assert (
        sum("the coroutine checks of orders do not run" in record.getMessage() for record in caplog.records) == said
    )


def test_a_coroutine_check_that_an_event_loop_runs_is_not_complained_about(monitor, caplog):
    monitor.watch_database("orders", unasked)
    ask(monitor.instrument_wsgi(hello), "/")
    until(lambda: monitor._lifecycle._jobs.has_home, "the event loop runs")
    monitor._lifecycle._began -= 70
    monitor._lifecycle._tick()
    assert said_by_us(caplog) == []


def test_a_scrape_after_the_end_starts_nothing(monitor):
    before = set(threading.enumerate())  # monitors of other tests may still have a thread
    generate_latest(monitor.registry)
    monitor.close()
    generate_latest(monitor.registry)
    more = set(threading.enumerate()) - before
    assert not [thread for thread in more if thread.name.startswith("rearguard-system")]


@pytest.mark.parametrize("way", ["coroutine", "lambda"])
def test_a_check_that_needs_another_event_loop_fails_with_what_to_do_about_it(monitor, way):
    gate = asyncio.Semaphore(0)

    async def elsewhere():
        with pytest.raises(TimeoutError):
            await in_time(gate.acquire(), 0.01)  # from now on it belongs to the loop of this thread

    asyncio.run(elsewhere())

    async def check():
        try:
            await gate.acquire()
        except RuntimeError:
            raise OSError("password=hunter2") from None  # as drivers do, in their own words

    monitor.watch_database("orders", check if way == "coroutine" else lambda: check(), readiness=True)  # noqa: PLW0108
    app = monitor.instrument_wsgi(hello)
    until(lambda: "not checked yet" not in ask(app, "/readyz")[1], "it is checked")
    status, body = ask(app, "/readyz")
    assert status.startswith("503")
    assert "OSError: the check uses what belongs to another event loop" in body
    assert "hunter2" not in body


def test_what_follows_a_failure_of_the_wrong_event_loop_is_told_with_it_until_a_check_succeeds(monitor):
    answers = [RuntimeError("Event loop is closed"), OSError(), None, OSError()]
    told = []

    def check():
        if answers and (answer := answers.pop(0)):
            raise answer

    monitor.watch_database("orders", check, readiness=True, interval=0.0)
    [watch] = monitor._lifecycle.watches
    while answers:
        watch.check_in_thread()
        told.append(watch.last.detail)
    assert [detail.partition(": ")[0] for detail in told] == ["RuntimeError", "OSError", "", "OSError"]
    assert ["another event loop" in detail for detail in told] == [True, True, False, False]
