"""Starlette, FastAPI and plain ASGI applications behind a real server, read back by the official parsers."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
import uvicorn
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from deadline import in_time
from real.exporter.conftest import Scrape, Site
from rearguard_exporter import Monitor

COUNT = "http_server_request_duration_seconds_count"
SUM = "http_server_request_duration_seconds_sum"


@pytest.fixture
async def host():
    """Serves an ASGI application, measured, until the test ends."""
    running = []
    async with ClientSession() as client:

        async def start(app, **kwargs):
            monitor = Monitor("shop", "1.0", "test")
            config = uvicorn.Config(
                monitor.instrument_asgi(app), port=0, log_level="critical", timeout_graceful_shutdown=1, **kwargs
            )
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve())
            running.append((server, task, monitor))
            while not server.started:
                assert not task.done()
                await asyncio.sleep(0.01)
            site = Site(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", client)
            site.server, site.monitor = server, monitor
            return site

        yield start
        for server, task, monitor in running:
            server.should_exit = True
            await task
            monitor.close()


def counted(scrape):
    return {
        (s.labels["http_route"], s.labels["http_response_status_code"], s.labels["error_type"]): s.value
        for s in scrape.all(COUNT)
    }


async def ok(_):
    return PlainTextResponse("ok")


async def crash(_):
    raise LookupError


def starlette():
    inner = [Route("/{item:int}", ok), Route("/plain", ok), Route("/again/{shop}", ok)]
    deep = Mount("/deep/{shop}", routes=[Route("/plain", ok)])
    return Starlette(
        routes=[
            Route("/items/{item_id}", ok),
            Route("/crash", crash),
            Mount("/shops/{shop}/x", routes=[*inner, deep]),
            Mount("/numbers/{number:int}", routes=inner),
            Mount("/files", app=PlainTextResponse("file")),
        ]
    )


@pytest.mark.parametrize(
    ("path", "route", "status", "error_type"),
    [
        ("/items/42", "/items/{item_id}", "200", ""),
        ("/crash", "/crash", "500", "LookupError"),
        ("/nowhere/42", "__unmatched__", "404", ""),
        ("/shops/berlin/x/7", "/shops/{shop}/x/{item}", "200", ""),
        ("/shops/ber%20lin/x/plain", "/shops/{shop}/x/plain", "200", ""),
        ("/numbers/007/plain", "/numbers/{number}/plain", "200", ""),  # whatever the converter made of it
        ("/shops/berlin/x/again/7", "/shops/{shop}/x/again/{shop}", "200", ""),  # the mount's value is overwritten
        ("/shops/x/x/plain", "/shops/{shop}/x/plain", "200", ""),
        ("/shops/berlin/x/deep/paris/plain", "/shops/{shop}/x/deep/{shop}/plain", "200", ""),
        ("/files/a/b", "/files/{path}", "200", ""),
    ],
)
async def test_the_route_is_a_template_with_its_mounts(host, path, route, status, error_type):
    site = await host(starlette())
    await site.get(path)
    assert counted(await site.scrape()) == {(route, status, error_type): 1}


async def test_a_mount_that_cannot_be_told_leaves_no_raw_value(host):
    site = await host(Starlette(routes=[Mount("/files/{where:path}/at", routes=[Route("/{where}", ok)])]))
    await site.get("/files/a/b/at/7")
    assert counted(await site.scrape()) == {("/{where}/{where}", "200", ""): 1}


async def test_a_mount_that_is_added_later_is_noticed(host):
    app = starlette()
    site = await host(app)
    await site.get("/shops/berlin/x/7")
    app.mount("/late/{shop}", Starlette(routes=[Route("/{shop}", ok)]))
    await site.get("/late/berlin/7")
    assert ("/late/{shop}/{shop}", "200", "") in counted(await site.scrape())


async def test_fastapi_routes_have_the_prefixes_of_included_routers_and_mounts(host):
    app, outer, inner, mounted = FastAPI(), APIRouter(), APIRouter(), FastAPI()
    for router in (app, inner, mounted):
        router.get("/items/{item_id}")(lambda item_id: item_id)
    outer.include_router(inner, prefix="/inner/{tenant}")
    app.include_router(outer, prefix="/outer")
    app.mount("/mounted", mounted)
    site = await host(app)
    for path in ("/items/1", "/outer/inner/a/items/2", "/mounted/items/3", "/nowhere", "/items/4"):
        await site.get(path)
    assert counted(await site.scrape()) == {
        ("/items/{item_id}", "200", ""): 2,
        ("/outer/inner/{tenant}/items/{item_id}", "200", ""): 1,
        ("/mounted/items/{item_id}", "200", ""): 1,
        ("__unmatched__", "404", ""): 1,
    }


async def test_streams_are_timed_to_their_last_byte_and_background_work_is_not(host):
    release = asyncio.Event()

    async def body():
        yield b"a"
        await asyncio.sleep(0.3)
        yield b"b"

    async def work():
        await release.wait()

    async def stream(_):
        return StreamingResponse(body(), background=BackgroundTask(work))

    async def events(_):
        return StreamingResponse(body(), media_type="text/event-stream")

    site = await host(Starlette(routes=[Route("/stream", stream), Route("/events", events)]))
    await site.get("/stream")
    await site.get("/events")
    scrape = await site.scrape()
    assert counted(scrape) == {("/stream", "200", ""): 1}
    assert 0.3 <= scrape.all(SUM)[0].value < 0.8
    assert scrape.value("http_server_active_requests", http_request_method="GET") == 0
    release.set()


async def test_a_client_that_leaves_in_the_middle_of_its_upload_is_no_error(host, eventually):
    async def upload(request):
        await request.body()
        return PlainTextResponse("ok")

    site = await host(Starlette(routes=[Route("/upload", upload, methods=["POST"])]))
    _, writer = await asyncio.open_connection("127.0.0.1", site.server.servers[0].sockets[0].getsockname()[1])
    writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    await writer.drain()
    writer.close()

    async def seen():
        return counted(await site.scrape())

    assert await eventually(seen) == {("/upload", "499", ""): 1}


async def test_exceptions_are_raised_untouched_and_junk_folds():
    monitor = Monitor("shop", "1.0", "test")
    failure = LookupError("mine")

    async def plain(scope, receive, send):
        raise failure

    app = monitor.instrument_asgi(plain)
    assert monitor.instrument_asgi(app) is app
    for number in range(500):
        scope = {"type": "http", "method": f"M{number}", "path": f"/{number}\ud800", "headers": []}
        with pytest.raises(LookupError) as caught:
            await app(scope, None, None)
        assert caught.value is failure
    known = monitor._instruments.http_duration.known()
    assert list(known) == [("_OTHER", "__unmatched__", "500", "LookupError")]
    await monitor._lifecycle.leave()


@pytest.mark.parametrize("status", [0, -1, 10**9, "200", None, [], 200.5])
@pytest.mark.parametrize("headers", [None, 7, [(b"content-type",)], [("content-type", "x")]])
async def test_messages_of_any_shape_go_to_the_server_as_they_are(status, headers):
    messages = [
        {"type": "http.response.start", "status": status, "headers": headers},
        {},
        {"type": "http.response.body", "more_body": True},
        {"type": "http.response.body"},
        {"type": "http.response.body"},
        {"type": []},
    ]
    got = []

    async def plain(scope, receive, send):
        for message in messages:
            await send(message)

    async def send(message):
        got.append(message)

    monitor = Monitor("shop", "1.0", "test")
    await monitor.instrument_asgi(plain)({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send)
    assert got == messages
    (child,) = monitor._instruments.http_duration.known().values()
    assert sum(child.counts()[:-1]) == 1
    (active,) = monitor._instruments.http_active.known().values()
    assert active.counts()[0] == 0
    await monitor._lifecycle.leave()


async def test_the_endpoints_are_served_beside_the_application(host):
    site = await host(starlette())
    await site.get("/items/1")
    assert (await site.get("/healthz"))[0] == 200
    assert (await site.get("/readyz"))[0] == 200
    status, body = await site.get("/api/monitoring/dashboard")
    assert status == 200
    assert json.loads(body)["endpoints"][0]["route"] == "/items/{item_id}"
    assert (await site.openmetrics()).value(COUNT) == 1  # none of the endpoints is measured
    async with site.client.post(site.url + "/metrics") as response:
        assert response.status == 404
    async with site.client.head(site.url + "/metrics") as response:
        assert (response.status, await response.read()) == (200, b"")
    headers = {"Accept-Encoding": "gzip"}
    async with (
        ClientSession(auto_decompress=False) as raw,
        raw.get(site.url + "/metrics", headers=headers) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        assert b"target_info" in gzip.decompress(await response.read())


async def test_the_lifespan_passes_and_background_work_lives_with_it(host, eventually):
    seen = []

    @asynccontextmanager
    async def lifespan(_):
        seen.append("up")
        yield
        seen.append("down")

    site = await host(Starlette(routes=[Route("/", ok)], lifespan=lifespan))
    assert seen == ["up"]
    assert site.monitor._lifecycle._sampler.alive
    site.server.should_exit = True

    async def ended():
        return seen == ["up", "down"] and not site.monitor._lifecycle._sampler.alive

    await eventually(ended)


async def echo(socket):
    await socket.accept()
    async for text in socket.iter_text():
        if text == "crash":
            raise LookupError
        if text == "leave":
            await socket.close(1001)
            return
        if text == "late":
            raise TimeoutError
        await socket.send_text(text)


async def no(socket):
    await socket.close(1008)


async def end(socket, how):
    if how == "killed":
        socket._response.connection.transport.abort()
    elif how == "code 1001":
        await socket.close(code=1001)
    elif how == "closed":
        await socket.close()
    else:
        await socket.send_str(how)
        while (await socket.receive()).type not in {WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR}:
            pass


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("closed", "clean"),
        ("code 1001", "going_away"),
        ("killed", "abnormal"),
        ("crash", "error"),
        ("leave", "going_away"),
        ("late", "error"),
    ],
)
async def test_sockets_are_counted_with_the_reason_of_their_end(host, eventually, how, reason):
    site = await host(Starlette(routes=[WebSocketRoute("/ws/{room}", echo)]))
    socket = await site.client.ws_connect(site.url + "/ws/1")
    await socket.send_str("hello")
    assert (await socket.receive()).data == "hello"
    scrape = await site.scrape()
    assert scrape.value("websocket_server_active_connections", http_route="/ws/{room}") == 1
    await end(socket, how)

    async def ended():
        scrape = await site.scrape()
        return scrape if scrape.value("websocket_server_active_connections") == 0 else None

    scrape = await eventually(ended)
    reasons = {s.labels["reason"]: s.value for s in scrape.all("websocket_server_disconnects_total")}
    assert reasons == {**dict.fromkeys(("clean", "going_away", "abnormal", "error", "timeout"), 0), reason: 1}
    assert scrape.value("websocket_server_messages_total", websocket_message_direction="transmit") == 1
    assert scrape.value("websocket_server_connection_duration_seconds_count") == 1
    assert scrape.all(COUNT) == []  # kept out of request latency


async def test_a_peer_that_answers_no_ping_is_a_timeout(host, eventually):
    app = FastAPI()

    @app.websocket("/ws")
    async def listen(socket: WebSocket):
        await socket.accept()
        await socket.receive_text()

    site = await host(app, ws_ping_interval=0.1, ws_ping_timeout=0.1)
    async with site.client.ws_connect(site.url + "/ws", autoping=False):

        async def ended():
            scrape = await site.scrape()
            return scrape.value("websocket_server_active_connections") == 0 and scrape

        scrape = await eventually(ended)
    assert scrape.value("websocket_server_disconnects_total", reason="timeout") == 1


async def test_a_refused_handshake_is_a_request_and_no_socket(host):
    site = await host(Starlette(routes=[WebSocketRoute("/no", no)]))
    with pytest.raises(WSServerHandshakeError):
        await site.client.ws_connect(site.url + "/no")
    scrape = await site.scrape()
    assert counted(scrape) == {("/no", "403", ""): 1}
    assert scrape.all("websocket_server_connections_total") == []


async def _get(app, path):
    """The status that an application answers with, called as a server without lifespan does."""
    sent = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]


def test_each_event_loop_that_serves_without_lifespan_has_its_background_work():
    monitor = Monitor("shop", "1.0", "test")
    waiting = []

    async def check():
        waiting[-1].set()

    monitor.watch_database("orders", check, interval=0.01)
    app = monitor.instrument_asgi(Starlette(routes=[Route("/", ok)]))

    async def serves():
        assert await _get(app, "/") == 200
        waiting.append(asyncio.Event())  # of this loop: a check on another cannot set it for whoever waits here
        await in_time(waiting[-1].wait(), 30)

    for _ in range(3):
        asyncio.run(serves())
    monitor.close()


async def test_what_is_set_on_the_measured_application_is_set_on_the_application():
    monitor = Monitor("shop", "1.0", "test")
    inner = FastAPI()

    def real():
        return "real"

    @inner.get("/")
    async def which(answer: Annotated[str, Depends(real)]):
        return PlainTextResponse(answer, 200 if answer == "real" else 203)

    app = monitor.instrument_asgi(inner)
    assert await _get(app, "/") == 200
    app.dependency_overrides = {real: lambda: "other"}
    assert inner.dependency_overrides == app.dependency_overrides
    assert await _get(app, "/") == 203
    app.note = 1
    assert inner.note == 1
    del app.note
    assert not hasattr(inner, "note")
    monitor.close()


async def test_an_answer_of_503_is_counted_before_its_background_task_has_ended(host, eventually):
    go = asyncio.Event()

    async def busy(_):
        return PlainTextResponse("busy", 503, background=BackgroundTask(go.wait))

    site = await host(Starlette(routes=[Route("/", busy)]))
    assert (await site.get("/"))[0] == 503
    scrape = await eventually(site.scrape)
    assert counted(scrape)["/", "503", "503"] == 1
    assert scrape.value("http_server_active_requests", http_request_method="GET") == 0
    go.set()


@pytest.mark.parametrize("root_path", ["", "/api", "/api/"])
async def test_a_root_path_of_the_server_is_no_part_of_a_route_and_the_endpoints_lie_below_it(host, root_path):
    mounted = Starlette(routes=[Route("/items/{id}", ok)])
    site = await host(
        Starlette(
            routes=[Route("/items/{id}", ok), Mount("/shop", app=mounted), Mount("/sub", routes=mounted.routes)]
        ),
        root_path=root_path,
    )
    for path in ("/items/1", "/shop/items/2", "/sub/items/3", "/healthz"):
        assert (await site.get(path))[0] == 200, path
    assert counted(await site.scrape()) == {
        ("/items/{id}", "200", ""): 1,
        ("/shop/items/{id}", "200", ""): 1,
        ("/sub/items/{id}", "200", ""): 1,
    }


async def test_a_measured_application_that_is_mounted_shows_its_routes_with_their_mount(host):
    inner = Monitor("inner", "1.0", "test")
    measured = inner.instrument_asgi(Starlette(routes=[Route("/items/{id}", ok)]))
    config = uvicorn.Config(
        Starlette(routes=[Mount("/shop", app=measured)]), port=0, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    async with ClientSession() as client:
        site = Site(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/shop", client)
        assert (await site.get("/items/1"))[0] == 200
        assert counted(await site.scrape()) == {("/shop/items/{id}", "200", ""): 1}
    server.should_exit = True
    await task
    inner.close()


@pytest.mark.parametrize("status", ["200", None, [], -1, 0, 99, 1000, 10**9])
async def test_a_status_that_is_none_is_shown_as_500(status):
    monitor = Monitor("shop", "1.0", "test")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})

    assert await _get(monitor.instrument_asgi(app), "/") == status
    scrape = Scrape(monitor._endpoints.metrics.render("", "").body.decode())
    assert counted(scrape) == {("__unmatched__", "500", "500"): 1}
    monitor.close()
