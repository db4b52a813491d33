"""WebSockets against a real aiohttp server: every way in which a connection can end."""

import asyncio

import pytest
from aiohttp import ClientSession, WSCloseCode, WSMsgType, web
from prometheus_client import generate_latest

from rearguard_exporter import Monitor

DISCONNECTS = "websocket_server_disconnects_total"


async def echo(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def crash(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive()
    raise LookupError


async def impatient(request):
    socket = web.WebSocketResponse(receive_timeout=0.1)
    await socket.prepare(request)
    await socket.receive()
    return socket


async def heartbeat(request):
    socket = web.WebSocketResponse(heartbeat=0.1)
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


async def refuse(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close(code=int(request.query["code"]))
    return socket


async def leave(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    return socket


@pytest.fixture
async def site(serve):
    app = web.Application()
    for handler in (echo, crash, impatient, heartbeat, refuse, leave):
        app.router.add_get(f"/{handler.__name__}", handler)
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    return await serve(app)


def ended(site, eventually, route):
    """Waits for the connection on this route to be over and says why it was."""

    async def closed():
        scrape = await site.scrape()
        reasons = [sample for sample in scrape.all(DISCONNECTS, http_route=route) if sample.value]
        return reasons and [sample.labels["reason"] for sample in reasons]

    return eventually(closed)


async def test_messages_and_connections_are_counted_and_stay_out_of_the_requests(site, eventually):
    async with site.client.ws_connect(site.url + "/echo") as socket:
        for text in ("a", "b", "c"):
            await socket.send_str(text)
            assert await socket.receive_str() == text
        scrape = await site.scrape()
        assert scrape.value("websocket_server_active_connections", http_route="/echo") == 1
        assert scrape.value("http_server_active_requests", http_request_method="GET") == 0
    assert await ended(site, eventually, "/echo") == ["clean"]
    scrape = await site.scrape()
    messages = "websocket_server_messages_total"
    assert scrape.value(messages, websocket_message_direction="receive") == 3
    assert scrape.value(messages, websocket_message_direction="transmit") == 3
    assert scrape.value("websocket_server_connections_total", http_route="/echo") == 1
    assert scrape.value("websocket_server_active_connections", http_route="/echo") == 0
    assert scrape.value("websocket_server_connection_duration_seconds_count", http_route="/echo") == 1
    assert scrape.all("http_server_request_duration_seconds_count") == []


async def test_a_page_that_is_left_is_going_away(site, eventually):
    socket = await site.client.ws_connect(site.url + "/echo")
    await socket.close(code=WSCloseCode.GOING_AWAY)
    assert await ended(site, eventually, "/echo") == ["going_away"]


async def test_a_connection_cut_without_goodbye_is_abnormal(site, eventually):
    socket = await site.client.ws_connect(site.url + "/echo")
    await socket.send_str("x")
    await socket.receive_str()
    socket._response.connection.transport.abort()
    assert await ended(site, eventually, "/echo") == ["abnormal"]
    await socket.close()


async def test_a_connection_closed_without_goodbye_is_abnormal(site, eventually):
    socket = await site.client.ws_connect(site.url + "/echo")
    socket._response.connection.transport.close()
    assert await ended(site, eventually, "/echo") == ["abnormal"]
    await socket.close()


async def test_a_handler_that_fails_is_an_error(site, eventually):
    async with site.client.ws_connect(site.url + "/crash") as socket:
        await socket.send_str("x")
        assert await ended(site, eventually, "/crash") == ["error"]


@pytest.mark.parametrize(("code", "reason"), [(1011, "error"), (1013, "error"), (1008, "clean")])
async def test_a_server_that_closes_with_a_fault_is_an_error_and_a_refusal_is_none(site, eventually, code, reason):
    async with site.client.ws_connect(f"{site.url}/refuse?code={code}") as socket:
        await socket.receive()
    assert await ended(site, eventually, "/refuse") == [reason]


@pytest.mark.parametrize("code", [1008, 1011, 1013])
async def test_a_client_cannot_close_with_a_fault_of_the_service(site, eventually, code):
    socket = await site.client.ws_connect(site.url + "/echo")
    await socket.close(code=code)
    assert await ended(site, eventually, "/echo") == ["clean"]


async def test_a_server_that_shuts_down_is_going_away(serve, eventually):
    held = []

    async def hold(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        held.append(socket)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/hold", hold)
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    site = await serve(app)
    async with site.client.ws_connect(site.url + "/hold") as socket:
        closing = asyncio.create_task(held[0].close(code=WSCloseCode.GOING_AWAY))
        await socket.receive()
        await closing
    assert await ended(site, eventually, "/hold") == ["going_away"]


async def test_a_client_that_breaks_the_protocol_is_an_error(site, eventually):
    socket = await site.client.ws_connect(site.url + "/echo")
    socket._response.connection.transport.write(b"\xff\xff\xff\xff\xff\xff")
    assert await ended(site, eventually, "/echo") == ["error"]
    await socket.close()


@pytest.mark.parametrize("route", ["/impatient", "/heartbeat"])
async def test_silence_beyond_the_limit_is_a_timeout(site, eventually, route):
    socket = await site.client.ws_connect(site.url + route, autoping=False)
    assert await ended(site, eventually, route) == ["timeout"]
    await socket.close()


async def test_a_handler_that_simply_returns_closes_cleanly(site, eventually):
    async with site.client.ws_connect(site.url + "/leave") as socket:
        await socket.receive()
    assert await ended(site, eventually, "/leave") == ["clean"]


async def test_a_request_without_upgrade_is_an_ordinary_bad_request(site):
    assert (await site.get("/echo"))[0] == 400
    scrape = await site.scrape()
    assert scrape.value("http_server_request_duration_seconds_count", http_response_status_code="400") == 1
    assert scrape.all("websocket_server_connections_total") == []


async def test_two_sockets_at_once_are_two(site):
    async with site.client.ws_connect(site.url + "/echo"), site.client.ws_connect(site.url + "/echo"):
        scrape = await site.scrape()
        assert scrape.value("websocket_server_active_connections", http_route="/echo") == 2


async def test_a_socket_that_is_prepared_after_the_handler_leaves_nothing_open(serve):
    async def odd(_):
        return web.WebSocketResponse()

    app = web.Application()
    app.router.add_get("/odd", odd)
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    site = await serve(app)
    async with site.client.ws_connect(site.url + "/odd") as socket:
        await socket.receive()
    scrape = await site.scrape()
    assert not any(sample.value for sample in scrape.all("websocket_server_active_connections"))
    assert scrape.value("http_server_active_requests", http_request_method="GET") == 0


async def ask(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    while True:
        await socket.send_str(await socket.receive_str())  # fails when there is a close frame instead


async def push(request):
    socket = web.WebSocketResponse(timeout=0.2)
    await socket.prepare(request)
    async with asyncio.TaskGroup() as group:
        group.create_task(_push(socket))


async def _push(socket):
    while True:
        await socket.send_str("news")
        await asyncio.sleep(0.01)  # between two news


async def answer_back(request):
    socket = web.WebSocketResponse(autoclose=False)
    await socket.prepare(request)
    await socket.receive()
    await socket.close(code=1011)
    return socket


async def raise_late(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive_str()
    while not request.transport.is_closing():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    raise LookupError


async def send_frames(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_frame(b"x", WSMsgType.TEXT)
    await socket.ping()
    await socket.close()
    return socket


@pytest.fixture
async def rough(serve):
    app = web.Application()
    for handler in (ask, push, answer_back, raise_late, send_frames, echo):
        app.router.add_get(f"/{handler.__name__}", handler)
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    return await serve(app)


async def leave_by(socket, code):
    """Says goodbye and does not wait for an answer; without a code the connection is cut."""
    transport = socket._response.connection.transport
    if code is None:
        transport.abort()
        return
    await socket._writer.close(code)
    await asyncio.sleep(0.05)  # for the frame to be there before the end of the connection is
    transport.close()


@pytest.mark.parametrize("route", ["/ask", "/push", "/answer_back"])
@pytest.mark.parametrize(("code", "reason"), [(1000, "clean"), (1001, "going_away"), (None, "abnormal")])
async def test_what_a_handler_raises_because_the_client_left_is_no_error(rough, eventually, route, code, reason):
    socket = await rough.client.ws_connect(rough.url + route)
    await leave_by(socket, code)
    assert await ended(rough, eventually, route) == [reason]


async def test_a_fault_of_the_handler_itself_stays_an_error_when_the_client_left_meanwhile(rough, eventually):
    socket = await rough.client.ws_connect(rough.url + "/raise_late")
    await socket.send_str("x")
    await leave_by(socket, None)
    assert await ended(rough, eventually, "/raise_late") == ["error"]


async def test_frames_that_are_sent_by_themselves_are_messages_and_pings_are_none(rough, eventually):
    async with rough.client.ws_connect(rough.url + "/send_frames") as socket:
        assert await socket.receive_str() == "x"
        await socket.receive()
    assert await ended(rough, eventually, "/send_frames") == ["clean"]
    scrape = await rough.scrape()
    assert scrape.value("websocket_server_messages_total", websocket_message_direction="transmit") == 1


async def test_handlers_that_a_stopping_server_cancels_are_going_away():
    async def hold(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    monitor = Monitor("shop", "1.0", "test")
    app = web.Application()
    app.router.add_get("/hold", hold)
    monitor.instrument_aiohttp(app)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client, client.ws_connect(f"http://127.0.0.1:{runner.addresses[0][1]}/hold"):
        await runner.cleanup()
    exposed = generate_latest(monitor.registry).decode()
    assert 'websocket_server_disconnects_total{http_route="/hold",reason="going_away"} 1.0' in exposed
    assert 'websocket_server_active_connections{http_route="/hold"} 0.0' in exposed


async def test_a_hundred_sockets_with_large_messages_lose_nothing(rough, eventually):
    large = "x" * 100_000

    async def talk():
        async with rough.client.ws_connect(rough.url + "/echo") as socket:
            await socket.send_str(large)
            assert await socket.receive_str() == large

    await asyncio.gather(*(talk() for _ in range(100)))

    async def over():
        scrape = await rough.scrape()
        return scrape.value("websocket_server_active_connections", http_route="/echo") == 0 and scrape

    scrape = await eventually(over)
    assert scrape.value(DISCONNECTS, http_route="/echo", reason="clean") == 100
    assert {sample.value for sample in scrape.all("websocket_server_messages_total", http_route="/echo")} == {100}
    assert scrape.value("websocket_server_connections_total", http_route="/echo") == 100


@pytest.mark.parametrize("failure", [asyncio.CancelledError, TimeoutError, ConnectionResetError])
@pytest.mark.parametrize("cancelling", [False, True])
async def test_what_a_handler_raises_by_itself_is_its_error(serve, eventually, failure, cancelling):
    async def fail(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        raise failure

    app = web.Application()
    app.router.add_get("/fail", fail)
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    site = await serve(app, handler_cancellation=cancelling)
    async with site.client.ws_connect(site.url + "/fail") as socket:
        await socket.send_str("x")
        await socket.receive()
        assert await ended(site, eventually, "/fail") == ["error"]
