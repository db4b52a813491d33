"""aiohttp: what becomes of an answer after the handler returned, and before any handler is asked.

The oracle compares statuses with what a raw socket saw.
Here: classes of errors, routes, nested applications, stopping.
"""

import asyncio
import socket
from contextlib import suppress

import pytest
from aiohttp import ClientError, ClientTimeout, web
from aiohttp.test_utils import make_mocked_request

from rearguard_exporter import Monitor

COUNT = "http_server_request_duration_seconds_count"
ACTIVE = "http_server_active_requests"


async def hello(_):
    return web.Response(text="hello")


def made(*routes, monitor=None, **kwargs):
    app = web.Application(**kwargs)
    app.add_routes(routes)
    (monitor or Monitor("shop", "1.0", "test")).instrument_aiohttp(app)
    return app


async def recorded(site):
    """Each request once: its route, status and error type. None is under way but the scrape."""
    scrape = await site.scrape()
    assert all(sample.value == 0 for sample in scrape.all(ACTIVE))
    return [
        (labels["http_route"], labels["http_response_status_code"], labels["error_type"])
        for sample in scrape.all(COUNT)
        for labels in [sample.labels] * int(sample.value)
    ]


async def ask(site, path, **kwargs):
    """Ask; the answer may be no answer."""
    with suppress(ClientError):
        await site.get(path, **kwargs)


async def test_an_answer_that_a_signal_spoils_is_the_failure_that_the_signal_raised(serve):
    async def fail(_, response):
        if "X-Spoilt" in response.headers:
            raise LookupError

    async def spoilt(_):
        return web.Response(headers={"X-Spoilt": "yes"})

    app = made(web.get("/spoilt", spoilt))
    app.on_response_prepare.append(fail)
    site = await serve(app)
    await ask(site, "/spoilt")
    assert set(await recorded(site)) == {("/spoilt", "500", "LookupError")}  # the client may ask twice


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize("spoils", [LookupError, None], ids=["raises", "another status"])
async def test_what_a_later_signal_does_to_an_answer_that_was_counted_is_what_counts(serve, before, spoils):
    async def change(request, response):
        if "spoil" in request.query:
            if spoils is not None:
                raise spoils
            response._status = 418  # as libraries do: aiohttp itself allows no other status by now

    app = made(web.get("/", hello))
    app.on_response_prepare.append(change)
    site = await serve(app)
    for _ in range(before):
        await ask(site, "/")
    await ask(site, "/?spoil", headers={"Connection": "close"})
    spoilt = ("/", "500", "LookupError") if spoils else ("/", "418", "")
    assert set(await recorded(site)) == {spoilt, *([("/", "200", "")] if before else [])}


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [9, 69_999])
async def test_an_answer_of_one_piece_that_is_shorter_than_its_head_says_is_an_error(serve, size, before):
    async def answer(request):
        if "short" in request.query:
            return web.Response(body=b"x" * size, headers={"Content-Length": str(size + 1)})
        return web.Response(body=b"x" * size, headers={"Content-Length": str(size)})

    site = await serve(made(web.get("/", answer)))
    for _ in range(before):
        await ask(site, "/")
    await ask(site, "/?short", headers={"Connection": "close"})
    assert await recorded(site) == [("/", "200", "")] * before + [("/", "200", "UnfinishedResponseError")]


async def test_an_answer_whose_head_its_handler_sends_lasts_until_the_handler_is_over(serve):
    async def early(request):
        response = web.Response(text="early")
        await response.prepare(request)
        await asyncio.sleep(0.1)
        return response

    site = await serve(made(web.get("/", early)))
    for _ in range(4):
        await ask(site, "/")
    scrape = await site.scrape()
    assert scrape.value("http_server_request_duration_seconds_sum", http_route="/") >= 0.4


async def test_a_body_that_raises_is_a_failure_after_the_status_that_was_sent(serve):
    async def body():
        yield b"a"
        raise LookupError

    async def answer(_):
        return web.Response(body=body())

    site = await serve(made(web.get("/body", answer)))
    await ask(site, "/body")
    assert await recorded(site) == [("/body", "200", "LookupError")]


async def test_a_cancelled_error_of_the_handlers_own_is_its_failure_whatever_was_sent(serve):
    async def cancelled(request):
        if "stream" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"x")
        raise asyncio.CancelledError

    site = await serve(made(web.get("/cancelled", cancelled)), handler_cancellation=True)
    await ask(site, "/cancelled")
    await ask(site, "/cancelled?stream=1")
    statuses = ("500", "200")  # the client may ask again where a connection that it used before was lost
    assert set(await recorded(site)) == {("/cancelled", status, "CancelledError") for status in statuses}


async def test_a_time_limit_of_an_outer_middleware_is_the_answer_that_it_becomes(serve):
    @web.middleware
    async def limited(request, handler):
        async with asyncio.timeout(0.05 if request.path == "/slow" else None):
            return await handler(request)

    async def slow(_):
        await asyncio.sleep(60)

    app = made(web.get("/slow", slow))
    app.middlewares.insert(0, limited)
    site = await serve(app)
    assert (await site.get("/slow"))[0] == 504
    assert await recorded(site) == [("/slow", "504", "TimeoutError")]


async def test_a_request_that_is_no_http_is_a_bad_one_without_a_route(serve):
    site = await serve(made(web.get("/", hello)))
    port = int(site.url.rpartition(":")[2])

    def shout():
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nBroken\x00 header\r\n\r\n")
            return connection.recv(12)

    assert await asyncio.to_thread(shout) == b"HTTP/1.0 400"
    assert await recorded(site) == [("__unmatched__", "400", "")]


async def test_an_application_that_nobody_else_measures_is_seen_below_another_one(serve, tmp_path):
    (tmp_path / "a.txt").write_text("0123456789")

    @web.middleware
    async def closed(request, handler):
        return web.Response(status=401) if "closed" in request.query else await handler(request)

    inner = made(web.get("/list", hello))
    inner.router.add_static("/files", tmp_path)
    outer = web.Application(middlewares=[closed])
    outer.add_subapp("/api", inner)
    outer.router.add_get("/elsewhere", hello)
    site = await serve(outer)
    await site.get("/api/list")
    await site.get("/api/files/a.txt", headers={"Range": "bytes=1-2"})
    await site.get("/api/list?closed=1")
    await site.get("/elsewhere")  # of an application that is not measured
    async with site.client.get(site.url + "/api/list", expect100=False, headers={"Expect": "oddly"}) as response:
        assert response.status == 417
    site.url += "/api"
    assert sorted(await recorded(site)) == [
        ("/api/files", "206", ""),
        ("/api/list", "200", ""),
        ("/api/list", "401", ""),
        ("/api/list", "417", ""),
    ]


async def test_own_endpoints_and_excluded_paths_stay_unmeasured_whatever_becomes_of_them(serve):
    async def fail(_, response):
        if response.status == 405:
            raise LookupError

    app = made(web.get("/quiet", hello), monitor=Monitor("shop", "1.0", "test", exclude=["/quiet"]))
    app.on_response_prepare.append(fail)
    site = await serve(app)
    await site.get("/quiet")
    async with site.client.get(site.url + "/quiet", headers={"Expect": "oddly"}) as response:
        assert response.status == 417
    await site.get("/healthz")
    assert await recorded(site) == []


@pytest.mark.parametrize("cancelling", [False, True])
async def test_a_request_that_a_stopping_server_cuts_off_before_its_answer_has_failed(serve, cancelling):
    begun = asyncio.Event()

    async def slow(_):
        begun.set()
        await asyncio.sleep(60)

    monitor = Monitor("shop", "1.0", "test")
    watching = await serve(made(monitor=monitor))
    stopping = await serve(made(web.get("/slow", slow), monitor=monitor), handler_cancellation=cancelling)
    asking = asyncio.create_task(ask(stopping, "/slow"))
    await begun.wait()
    await stopping.runner.cleanup()
    await asking
    assert await recorded(watching) == [("/slow", "500", "CancelledError")]


async def test_an_exception_that_is_answered_after_another_head_has_failed(serve):
    async def refuse(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        raise web.HTTPBadRequest

    site = await serve(made(web.get("/late", refuse)))
    await ask(site, "/late")
    assert await recorded(site) == [("/late", "200", "HTTPBadRequest")]


async def test_an_application_that_is_called_without_a_server_is_measured_until_its_handler_returns(serve):
    monitor = Monitor("shop", "1.0", "test")
    app = made(web.get("/called", hello), monitor=monitor)
    watching = await serve(made(monitor=monitor))
    app.freeze()
    await app._handle(make_mocked_request("GET", "/called", app=app))
    assert await recorded(watching) == [("/called", "200", "")]


async def test_a_handshake_that_dies_is_a_request_that_failed(serve):
    async def open_socket(request):
        response = web.WebSocketResponse()
        await response.prepare(request)
        return response

    async def fail(_, response):
        if response.status == 101:
            raise LookupError

    app = made(web.get("/socket", open_socket))
    app.on_response_prepare.append(fail)
    site = await serve(app)
    with pytest.raises(ClientError):
        await site.client.ws_connect(site.url + "/socket")
    assert await recorded(site) == [("/socket", "500", "LookupError")]
    scrape = await site.scrape()
    assert scrape.value("websocket_server_active_connections") == 0
    assert scrape.value("websocket_server_disconnects_total", reason="error") == 1


@pytest.mark.parametrize(
    ("written", "last", "error_type"),
    [
        (b"01234", b"56789", ""),
        (b"0123456789", b"", ""),
        (b"", b"0123456789", ""),
        (b"0123", b"", "UnfinishedResponseError"),
        (b"0123", b"4", "UnfinishedResponseError"),
    ],
)
async def test_a_stream_that_ends_before_its_content_length_is_an_error(serve, written, last, error_type):
    async def short(request):
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(written)
        await response.write_eof(last)
        return response

    site = await serve(made(web.get("/short", short)))
    with suppress(ClientError, TimeoutError):
        async with site.client.get(site.url + "/short", timeout=ClientTimeout(0.5)) as response:
            await response.read()
    assert await recorded(site) == [("/short", "200", error_type)]
