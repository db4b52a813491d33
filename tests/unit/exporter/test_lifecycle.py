"""The render thread and the ends of threads: after a fork, after a close, and beside checks that hang."""

import asyncio
import os
import signal
import threading
import time

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily

from rearguard_exporter import Monitor


def render_threads():
    return [thread for thread in threading.enumerate() if thread.name in {"rearguard-render", "rearguard-show"}]


def test_a_process_that_was_forked_after_a_scrape_renders_too():
    monitor = Monitor("shop", "1.0", "test")
    assert monitor._endpoints.metrics.submit("", "").result(5).body
    child = os.fork()
    if child == 0:
        try:
            monitor._endpoints.metrics.submit("", "").result(3)
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 10
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    monitor.close()
    assert os.waitstatus_to_exitcode(ended[1]) == 0


def test_a_closed_monitor_leaves_no_render_thread_and_still_answers_whoever_asks():
    before = len(render_threads())
    monitor = Monitor("shop", "1.0", "test")
    monitor._endpoints.dashboard.submit().result(5)
    (*_, mine) = render_threads()
    monitor.close()
    mine.join(30)
    assert not mine.is_alive()
    assert monitor._endpoints.metrics.submit("", "").result(5).body  # an application that is still served
    monitor.close()
    deadline = time.monotonic() + 30
    while len(render_threads()) > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_families_of_the_application_are_left_as_they_are():
    family = CounterMetricFamily("orders", "Orders.", value=3, created=4711)

    class Mine:
        def collect(self):
            yield family

    registry = CollectorRegistry()
    registry.register(Mine())
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    body = monitor._endpoints.metrics.render("", "").body
    monitor.close()
    assert b"orders_total 3.0" in body
    assert b"orders_created" not in body
    assert [sample.name for sample in family.samples] == ["orders_total", "orders_created"]


async def test_checks_that_hang_hold_the_end_of_an_application_up_once_and_off_its_loop():
    release, begun = threading.Event(), threading.Semaphore(0)

    def hang():
        begun.release()
        release.wait(30)

    monitor = Monitor("shop", "1.0", "test")
    for number in range(3):
        monitor.watch_database(f"orders-{number}", hang)
    assert monitor._lifecycle.enter()
    for _ in range(3):
        assert begun.acquire(timeout=30)
    loop = asyncio.get_running_loop()
    began, worst = loop.time(), 0.0
    leaving = asyncio.create_task(monitor._lifecycle.leave())
    while not leaving.done():
        before = loop.time()
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - before)
    release.set()
    assert worst < 1
    assert loop.time() - began < 4
