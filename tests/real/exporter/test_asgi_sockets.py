"""WebSockets of ASGI applications on a real uvicorn: codes that it refuses, peers that leave those who only send."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn
from aiohttp import ClientSession, WSServerHandshakeError
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute

from rearguard_exporter import Monitor


async def close_as_told(socket):
    await socket.accept()
    code = socket.query_params["code"]
    await socket.close({"None": None, "x": "x"}[code] if code in {"None", "x"} else int(code))


async def push(socket):
    await socket.accept()
    await _push(socket)


async def push_in_group(socket):
    await socket.accept()
    async with asyncio.TaskGroup() as group:
        group.create_task(_push(socket))


async def push_quietly(socket):
    await socket.accept()
    try:
        await _push(socket)
    except Exception as failure:  # noqa: BLE001 - as many handlers do
        socket.app.state.quiet = failure


async def _push(socket):
    while True:
        await socket.send_text("news")
        await asyncio.sleep(0.01)  # between two news


async def own_fault(socket):
    await socket.accept()
    raise ConnectionRefusedError  # of a database, say


async def own_timeout(socket):
    await socket.accept()
    async with asyncio.timeout(0.01):
        await asyncio.sleep(1)  # for something else than its peer


async def waits_in_vain(socket):
    await socket.accept()
    async with asyncio.timeout(0.01):
        await socket.receive_text()


async def refuse(socket):
    await socket.close()


async def deny(socket):
    await socket.send_denial_response(PlainTextResponse("no", 401))


async def fail(_):
    raise LookupError


HANDLERS = (
    close_as_told,
    push,
    push_in_group,
    push_quietly,
    own_fault,
    own_timeout,
    waits_in_vain,
    refuse,
    deny,
    fail,
)


class Seen:
    """What the handlers raised."""

    def __init__(self, app):
        self.app = app
        self.raised = []

    async def __call__(self, scope, receive, send):
        try:
            await self.app(scope, receive, send)
        except Exception as failure:
            self.raised.append(type(failure))
            raise


@asynccontextmanager
async def serving(app, protocol="auto"):
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws=protocol))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    async with ClientSession() as client:
        yield lambda path: client.ws_connect(
            f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{path}"
        )
    server.should_exit = True
    await task


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


@pytest.fixture
async def connect(monitor):
    routes = [WebSocketRoute(f"/{handler.__name__}", handler) for handler in HANDLERS]
    async with serving(monitor.instrument_asgi(Starlette(routes=routes))) as connect:
        yield connect


def ended(monitor, eventually):
    """Waits for the connections to be over and says why they were."""

    def closed():
        samples = [s for family in parse_text(generate_latest(monitor.registry).decode()) for s in family.samples]
        active = [s.value for s in samples if s.name == "websocket_server_active_connections"]
        reasons = [s for s in samples if s.name == "websocket_server_disconnects_total" and s.value]
        return active == [0] and reasons and {s.labels["reason"]: s.value for s in reasons}

    return eventually(closed)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("1000", "clean"), ("1011", "error"), ("4000", "clean"), ("None", "clean")]
    + [(wrong, "error") for wrong in ("0", "999", "65535", "1005", "1006", "x")],
)
async def test_a_close_that_the_server_refuses_is_a_handler_that_failed(connect, monitor, eventually, code, reason):
    async with connect(f"/close_as_told?code={code}") as socket:
        await socket.receive()
    assert await ended(monitor, eventually) == {reason: 1}


@pytest.mark.parametrize("route", ["/push", "/push_in_group", "/push_quietly"])
@pytest.mark.parametrize(("code", "reason"), [(1000, "clean"), (1001, "going_away"), (None, "abnormal")])
async def test_an_application_that_only_sends_is_left_for_the_reason_of_its_client(
    connect, monitor, eventually, route, code, reason
):
    socket = await connect(route)
    await socket.receive()
    if code is None:
        socket._response.connection.transport.abort()
    await socket.close(code=code or 1000)
    assert await ended(monitor, eventually) == {reason: 1}


@pytest.mark.filterwarnings("ignore")  # it is deprecated
async def test_uvicorn_s_older_protocol_knows_why_the_client_left_too(monitor, eventually):
    app = monitor.instrument_asgi(Starlette(routes=[WebSocketRoute("/push", push)]))
    async with serving(app, "websockets") as connect:
        socket = await connect("/push")
        await socket.receive()
        await socket.close(code=1001)
        assert await ended(monitor, eventually) == {"going_away": 1}


async def test_a_server_of_an_odd_kind_leaves_no_connection_open(monitor):
    class Server:
        close_rcvd = "nonsense"

        async def receive(self):
            return {"type": "websocket.connect"}

    async def send(_):
        pass

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})

    await monitor.instrument_asgi(app)({"type": "websocket", "path": "/", "headers": []}, Server().receive, send)
    exposed = generate_latest(monitor.registry).decode()
    assert 'websocket_server_active_connections{http_route="__unmatched__"} 0.0' in exposed
    assert 'reason="clean"} 1.0' in exposed


async def test_a_lost_connection_of_the_handler_s_own_is_an_error(connect, monitor, eventually):
    async with connect("/own_fault") as socket:
        await socket.receive()
    assert await ended(monitor, eventually) == {"error": 1}


@pytest.mark.parametrize(("route", "reason"), [("/own_timeout", "error"), ("/waits_in_vain", "timeout")])
async def test_only_a_peer_that_is_waited_for_in_vain_times_out(connect, monitor, eventually, route, reason):
    async with connect(route) as socket:
        await socket.receive()
    assert await ended(monitor, eventually) == {reason: 1}


@pytest.mark.parametrize(("route", "status"), [("/refuse", 403), ("/deny", 401), ("/fail", 500), ("/nowhere", 403)])
async def test_a_handshake_that_comes_to_nothing_is_a_request(connect, monitor, route, status):
    with pytest.raises(WSServerHandshakeError) as refused:
        await connect(route)
    assert refused.value.status == status
    exposed = generate_latest(monitor.registry).decode()
    assert f'http_response_status_code="{status}"' in exposed
    assert "websocket_server_connections_total{" not in exposed
    assert 'http_server_active_requests{http_request_method="GET",url_scheme="http"} 0.0' in exposed


async def _handshake_lost(monitor, raised):
    """An accept that finds nobody."""

    async def receive():
        return {"type": "websocket.connect"}

    async def send(_):
        raise raised

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})

    scope = {"type": "websocket", "path": "/", "headers": []}
    with pytest.raises(type(raised)):
        await monitor.instrument_asgi(app)(scope, receive, send)
    return generate_latest(monitor.registry).decode()


async def test_a_client_that_is_gone_before_it_is_accepted_is_499(monitor):
    assert 'error_type="",http_request_method="GET"' in (exposed := await _handshake_lost(monitor, OSError()))
    assert 'http_response_status_code="499"' in exposed


async def test_a_server_that_refuses_to_accept_is_a_failure(monitor):
    assert 'http_response_status_code="500"' in await _handshake_lost(monitor, RuntimeError())


async def test_the_application_sees_what_it_sees_without_the_exporter(monitor, eventually):
    routes = [WebSocketRoute(f"/{handler.__name__}", handler) for handler in HANDLERS]
    plain, measured = Seen(Starlette(routes=routes)), Seen(Starlette(routes=routes))
    for seen, served in ((plain, plain), (measured, monitor.instrument_asgi(measured))):
        async with serving(served) as connect:
            told = []
            for path in ("/close_as_told?code=1001", "/close_as_told?code=0", "/own_fault"):
                async with connect(path) as socket:
                    await socket.receive()
                told.append(socket.close_code)
            await eventually(lambda seen=seen: len(seen.raised) == 2)
        seen.told = told
    assert (plain.raised, plain.told) == (measured.raised, measured.told)
