"""Scrapes while an application starts, while it ends, before it served anything and after it served its last."""

import asyncio
import threading

import pytest
import uvicorn
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from starlette.applications import Starlette

from real.exporter.conftest import Scrape, Site
from rearguard_exporter import Monitor


class Slow:
    """A collector of the application that takes until it is released."""

    def __init__(self):
        self.asked, self.release = threading.Event(), threading.Event()

    def describe(self):
        return ()

    def collect(self):
        self.asked.set()
        self.release.wait(10)
        yield GaugeMetricFamily("slow", "Slow.", value=1)


@pytest.fixture
def slow():
    made = Slow()
    yield made
    made.release.set()


@pytest.fixture
def monitor(slow):
    registry = CollectorRegistry()
    made = Monitor("shop", "1.0", "test", registry=registry)
    registry.register(slow)
    yield made
    made.close()


async def test_a_port_of_its_own_answers_while_the_application_starts_and_while_it_ends(serve):
    starting, ending, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(_):
        starting.set()
        await go.wait()
        yield
        ending.set()
        await go.wait()

    monitor = Monitor("shop", "1.0", "test", listen="127.0.0.1:0")
    app = web.Application()
    monitor.instrument_aiohttp(app)
    app.cleanup_ctx.append(slowly)
    start = asyncio.create_task(serve(app))
    async with ClientSession() as client:
        own = Site("http://{}:{}".format(*monitor.listen_address), client)
        await starting.wait()
        assert (await own.scrape()).value("target_info") == 1
        go.set()
        site = await start
        go.clear()
        end = asyncio.create_task(site.runner.cleanup())
        await ending.wait()
        assert (await own.scrape()).value("target_info") == 1
        go.set()
        await end
        assert (await own.scrape()).value("target_info") == 1  # until the monitor is closed
    monitor.close()


async def test_a_scrape_under_way_when_an_aiohttp_server_stops_is_answered_in_full(serve, monitor, slow):
    app = web.Application()
    monitor.instrument_aiohttp(app)
    site = await serve(app)
    scrape = asyncio.create_task(site.scrape())
    assert await asyncio.to_thread(slow.asked.wait, 10)
    end = asyncio.create_task(site.runner.cleanup())
    await asyncio.sleep(0)
    slow.release.set()
    assert (await scrape).value("slow") == 1
    await end


async def test_a_scrape_under_way_when_an_asgi_server_stops_is_answered_in_full(monitor, slow, eventually):
    config = uvicorn.Config(monitor.instrument_asgi(Starlette()), port=0, log_level="critical")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    async with ClientSession() as client:
        site = Site(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", client)
        scrape = asyncio.create_task(site.scrape())
        assert await asyncio.to_thread(slow.asked.wait, 10)
        server.should_exit = True
        await eventually(lambda: not server.servers[0].is_serving())
        slow.release.set()
        assert (await scrape).value("slow") == 1
    await task


async def ask(app):
    sent = []

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/metrics", "headers": []}, None, send)
    return sent[0]["status"], Scrape(b"".join(message.get("body", b"") for message in sent[1:]).decode())


async def test_the_first_request_of_a_process_and_the_last_may_be_scrapes(monitor, slow):
    slow.release.set()
    app = monitor.instrument_asgi(Starlette())
    assert (await ask(app))[0] == 200
    await monitor._lifecycle.leave()
    monitor.close()
    status, scrape = await ask(app)
    assert (status, scrape.value("target_info")) == (200, 1)


async def test_a_server_that_cancels_the_lifespan_once_it_is_complete_finds_it_over():
    """As hypercorn does, whose `serve` raises what the lifespan then raises."""
    monitor = Monitor("shop", "1.0", "test")

    async def app(scope, receive, send):
        for moment in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{moment}.complete"})

    complete = asyncio.Event()

    async def receive():
        return {}

    async def send(message):
        if message["type"] == "lifespan.shutdown.complete":
            complete.set()

    lifespan = asyncio.create_task(monitor.instrument_asgi(app)({"type": "lifespan"}, receive, send))
    await complete.wait()
    lifespan.cancel()
    await lifespan
    monitor.close()
