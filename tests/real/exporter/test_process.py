"""Figures of a real process and its event loop, against what the operating system says."""

import asyncio
import gc
import os
import resource
import threading
import time
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from rearguard_exporter import Monitor


@pytest.fixture
async def site(serve):
    monitor = Monitor("shop", "1.0", "test")
    app = web.Application()
    monitor.instrument_aiohttp(app)
    yield await serve(app)
    monitor.close()


async def test_a_blocked_loop_shows_as_lag(site, eventually):
    lag = "python_event_loop_lag_seconds"
    await eventually(lambda: _at_least(site, f"{lag}_count", 1))
    before = (await site.scrape()).value(f"{lag}_sum")
    time.sleep(0.9)  # noqa: ASYNC251 - what no handler should do
    await eventually(lambda: _at_least(site, f"{lag}_sum", before + 0.35))  # a probe was due half a second before


async def _at_least(site, metric, value):
    return ((await site.scrape()).value(metric) or 0) >= value


async def test_open_files_and_their_limit_are_those_of_the_process(site):
    scrape = await site.scrape()
    assert scrape.value("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before = scrape.value("process_open_fds")
    opened_now = len(list(Path("/proc/self/fd").iterdir()))  # noqa: ASYNC240 - no disk is behind it
    assert before == pytest.approx(opened_now, abs=3)
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
    try:
        assert (await site.scrape()).value("process_open_fds") == pytest.approx(
            before + 50, abs=3
        )  # others come and go
    finally:
        for number in opened:
            os.close(number)


async def test_garbage_collections_are_counted_by_generation(site):
    before = (await site.scrape()).value("python_gc_collections_total", generation="2")
    gc.collect()
    assert (await site.scrape()).value("python_gc_collections_total", generation="2") == before + 1


async def test_the_operating_system_is_asked_on_a_thread_and_its_slowness_holds_up_no_loop(
    serve, monkeypatch, eventually
):
    asked, real = [], psutil.virtual_memory

    def slow():
        asked.append(threading.current_thread())
        time.sleep(0.4)
        return real()

    monkeypatch.setattr(psutil, "virtual_memory", slow)
    monitor = Monitor("shop", "1.0", "test")
    app = web.Application()
    monitor.instrument_aiohttp(app)
    site = await serve(app)
    worst = 0.0
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        began = time.perf_counter()
        await site.scrape()
        await asyncio.sleep(0.01)
        worst = max(worst, time.perf_counter() - began)
    assert worst < 0.3
    await eventually(lambda: _at_least(site, "process_memory_limit_bytes", 1))
    assert asked
    assert threading.main_thread() not in asked
    monitor.close()
