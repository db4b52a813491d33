"""Many readers of `/metrics` on the application's port: they share renderings and their memory, and have a limit."""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest
import uvicorn
from aiohttp import web
from prometheus_client.core import GaugeMetricFamily
from starlette.applications import Starlette

from deadline import in_time
from rearguard_exporter import Monitor
from rearguard_exporter.endpoints import shared_rendering

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024


class Big:
    """About 6 MB of exposition; counts how often it was collected."""

    def __init__(self):
        self.times = 0

    def collect(self):
        self.times += 1
        family = GaugeMetricFamily("big", "Big.", labels=["name"])
        for number in range(2_000):
            family.add_metric([f"{number:03000}"], 1.0)
        yield family


@asynccontextmanager
async def on_aiohttp(monitor):
    app = web.Application()
    monitor.instrument_aiohttp(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def on_asgi(monitor):
    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    app = monitor.instrument_asgi(Starlette())
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve([own]))
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield own.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(params=[on_aiohttp, on_asgi])
async def site(request):
    monitor, big = Monitor("shop", "1.0", "test"), Big()
    monitor.registry.register(big)
    async with request.param(monitor) as port:
        yield port, big


async def slow(stack, port):
    """A connection that asked and takes the first bytes only."""
    own = stack.enter_context(socket.socket())
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    own.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(own, ("127.0.0.1", port))
    await loop.sock_sendall(own, REQUEST)
    return own


async def rest(own):
    """All that comes until the peer closes, or the whole body has come."""
    got = b""
    try:
        while more := await in_time(asyncio.get_running_loop().sock_recv(own, 1 << 20), 20):
            got += more
            first, _, body = got.partition(b"\r\n\r\n")
            length = next(
                (int(each[15:]) for each in first.lower().split(b"\r\n") if each[:15] == b"content-length:"), -1
            )
            if len(body) == length:
                return got, True
    except ConnectionError:
        pass
    return got, False


async def begins(own):
    return await in_time(asyncio.get_running_loop().sock_recv(own, 15), 60)


async def test_two_hundred_slow_readers_share_renderings_and_memory(site):
    port, big = site
    async with AsyncExitStack() as stack:
        await rest(await slow(stack, port))
        before, times = psutil.Process().memory_info().rss, big.times
        held = [await slow(stack, port) for _ in range(200)]
        assert {await begins(each) for each in held} == {b"HTTP/1.1 200 OK"}
        assert big.times - times <= 50  # as many as fit in while they came
        assert psutil.Process().memory_info().rss - before < 200 * MIB  # 200 bodies are 1200
        assert (await rest(await slow(stack, port)))[1]
        assert (await rest(held[-1]))[1]


async def test_a_reader_that_takes_too_long_is_cut_off_and_others_get_the_whole(site, monkeypatch):
    monkeypatch.setattr(shared_rendering, "SEND_SECONDS", 4.0)
    port, _ = site
    async with AsyncExitStack() as stack:
        late = await slow(stack, port)
        await begins(late)
        await asyncio.sleep(4.5)
        assert (await rest(await slow(stack, port)))[1]
        assert (await rest(late))[1] is False


async def test_slow_readers_of_many_renderings_hold_few_of_them_and_the_newest_reader_is_served(site):
    port, _ = site
    async with AsyncExitStack() as stack:
        held = []
        for _ in range(shared_rendering.MOST_HELD + 1):
            held.append(await slow(stack, port))
            await begins(held[-1])
        assert (await rest(held[0]))[1] is False
        assert (await rest(held[-1]))[1] is True
        assert (await rest(await slow(stack, port)))[1] is True


async def test_readers_that_leave_or_are_cut_off_are_no_errors_of_the_application(site, caplog, monkeypatch):
    monkeypatch.setattr(shared_rendering, "SEND_SECONDS", 0.5)
    port, _ = site
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await begins(await slow(stack, port))
        await asyncio.sleep(1.0)
        leaving = await slow(stack, port)
        await begins(leaving)
        leaving.close()
        await rest(await slow(stack, port))
    assert not [each for each in caplog.records if each.exc_info], caplog.text
