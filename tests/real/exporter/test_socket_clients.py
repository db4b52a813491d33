"""Real WebSocket clients in processes of their own: killed, stopped, leaving and closing, on aiohttp and ASGI."""

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from aiohttp import ClientSession, web
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from deadline import in_time
from real.exporter.conftest import Site
from rearguard_exporter import Monitor

CLIENT = Path(__file__).with_name("socket_client.py")
PING = 0.4  # seconds between two pings, and that a pong may take


@asynccontextmanager
async def aiohttp_site(monitor):
    async def echo(request):
        socket = web.WebSocketResponse(heartbeat=PING)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/rooms/{room}", echo)
    monitor.instrument_aiohttp(app)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def asgi_site(monitor):
    async def echo(socket):
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    app = monitor.instrument_asgi(Starlette(routes=[WebSocketRoute("/rooms/{room}", echo)]))
    config = uvicorn.Config(app, port=0, log_level="critical", ws_ping_interval=PING, ws_ping_timeout=PING)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


@pytest.mark.parametrize("make", [aiohttp_site, asgi_site])
async def test_every_end_of_a_real_client_has_its_reason(make, eventually):
    """All four at once, so that the processes start side by side."""
    monitor = Monitor("shop", "1.0", "test")
    async with make(monitor) as port, ClientSession() as session:
        site = Site(f"http://127.0.0.1:{port}", session)
        clients = {how: await _client(port, how) for how in ("killed", "stopped", "left", "closed")}
        for client in clients.values():
            assert await in_time(client.stdout.readline(), 20) == b"hello\n"
        scrape = await site.scrape()
        assert scrape.value("websocket_server_active_connections", http_route="/rooms/{room}") == 4
        assert scrape.value("websocket_server_connections_total", http_route="/rooms/{room}") == 4
        clients["killed"].kill()
        clients["stopped"].send_signal(signal.SIGSTOP)
        clients["left"].stdin.write(b"1001\n")
        clients["closed"].stdin.write(b"1000\n")

        async def over():
            scrape = await site.scrape()
            return scrape.value("websocket_server_active_connections") == 0 and scrape

        scrape = await eventually(over, 20)
        for client in clients.values():
            if client.returncode is None:
                client.kill()
            await client.wait()
    reasons = {s.labels["reason"]: s.value for s in scrape.all("websocket_server_disconnects_total")}
    assert reasons == {"abnormal": 1, "timeout": 1, "going_away": 1, "clean": 1, "error": 0}
    for direction in ("receive", "transmit"):
        assert scrape.value("websocket_server_messages_total", websocket_message_direction=direction) == 4
    assert scrape.value("websocket_server_connection_duration_seconds_count") == 4
    assert scrape.all("http_server_request_duration_seconds_count") == []
    monitor.close()


async def _client(port, room):
    return await asyncio.create_subprocess_exec(
        sys.executable, CLIENT, f"ws://127.0.0.1:{port}/rooms/{room}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
