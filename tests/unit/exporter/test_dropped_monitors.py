"""Applications that are made and dropped, as tests do with one each: nothing of them stays behind."""

import asyncio
import gc
import threading
import time
import weakref

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rearguard_exporter import Monitor

MADE = 12


class Bare:
    """An application of either kind. Its checks refer to it, as methods do."""

    async def check(self):
        return True

    def look(self):
        return True


class Wsgi(Bare):
    def __call__(self, _, start_response):
        start_response("200 OK", [])
        return [b"ok"]


class Asgi(Bare):
    async def __call__(self, _, __, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def monitor_of(app):
    monitor = Monitor("shop", "1.0", "test")
    monitor.watch_database("plain", app.look, interval=0.01)
    monitor.watch_database("coroutine", app.check, interval=0.01)
    return monitor


def serve_wsgi():
    app = Wsgi()
    monitor = monitor_of(app)
    measured = monitor.instrument_wsgi(app)
    for path in ("/", "/metrics", "/api/monitoring/dashboard"):
        list(measured({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda *_: None))
    monitor._endpoints.metrics.submit("", "").result(5)
    return app


async def serve_asgi():
    app = Asgi()
    measured = monitor_of(app).instrument_asgi(app)

    async def send(_):
        pass

    for path in ("/", "/metrics", "/api/monitoring/dashboard"):
        await measured({"type": "http", "method": "GET", "path": path, "headers": []}, None, send)
    return app


async def serve_aiohttp():
    app = web.Application()
    monitor_of(Asgi()).instrument_aiohttp(app)
    async with TestClient(TestServer(app)) as client:
        await client.get("/metrics")


def ours():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("rearguard-")]


def wait_until_nothing_is_left(made, before):
    deadline = time.monotonic() + 10
    while True:
        gc.collect()
        alive, threads = sum(app() is not None for app in made), ours()
        if not alive and len(threads) <= before:
            return
        assert time.monotonic() < deadline, (alive, threads)
        time.sleep(0.05)


@pytest.mark.parametrize("serve", [serve_wsgi, lambda: asyncio.run(serve_asgi())])
def test_applications_that_were_dropped_end_with_their_threads(serve):
    before = len(ours())
    made = [weakref.ref(serve()) for _ in range(MADE)]
    wait_until_nothing_is_left(made, before)


def test_applications_of_aiohttp_leave_no_threads():
    before = len(ours())
    for _ in range(MADE):  # aiohttp keeps the last thousand applications that have a middleware
        asyncio.run(serve_aiohttp())
    wait_until_nothing_is_left([], before)


async def test_applications_that_were_dropped_end_also_where_the_loop_goes_on():
    before, tasks = len(ours()), len(asyncio.all_tasks())
    made = [weakref.ref(await serve_asgi()) for _ in range(MADE)]
    deadline = time.monotonic() + 10
    while any(app() is not None for app in made) or len(ours()) > before or len(asyncio.all_tasks()) > tasks:
        assert time.monotonic() < deadline, (ours(), asyncio.all_tasks())
        gc.collect()
        await asyncio.sleep(0.05)


def test_an_application_that_is_held_keeps_its_threads_though_nobody_holds_the_monitor():
    app = Wsgi()
    measured = Monitor("shop", "1.0", "test").instrument_wsgi(app)
    list(measured({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None))
    gc.collect()
    sampler = measured.rearguard_parts.lifecycle._sampler
    assert sampler.alive
    measured.rearguard_parts.lifecycle.stop()
    assert not sampler.alive


def test_a_closed_monitor_leaves_no_thread():
    before = len(ours())
    app = Wsgi()
    monitor = monitor_of(app)
    measured = monitor.instrument_wsgi(app)
    for path in ("/", "/metrics"):
        list(measured({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda *_: None))
    assert len(ours()) > before
    monitor.close()
    assert len(ours()) == before
