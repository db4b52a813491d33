"""The script and its beacons, served by each framework behind a real server."""

import asyncio
import gzip
import json
import threading
from contextlib import asynccontextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from aiohttp import ClientSession, web
from flask import Flask
from starlette.applications import Starlette

from real.exporter.conftest import Site
from rearguard_exporter import Monitor, Vitals

VITALS, SCRIPT = "/api/monitoring/vitals", "/api/monitoring/vitals.js"
BEACON = {"page": "/cart", "navigation": "navigate", "vitals": {"lcp": 1500, "cls": 0.3}, "errors": {"TypeError": 2}}
TEXT = {"Content-Type": "text/plain;charset=UTF-8"}
LISTED = {"Origin": "https://www.example"}


@asynccontextmanager
async def by_aiohttp(monitor):
    app = web.Application()
    monitor.instrument_aiohttp(app)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def by_asgi(monitor):
    config = uvicorn.Config(monitor.instrument_asgi(Starlette()), port=0, log_level="critical")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


class Silent(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@asynccontextmanager
async def by_wsgi(monitor):
    app = Flask("shop")
    app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)
    server = make_server("127.0.0.1", 0, app, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    await asyncio.to_thread(server.shutdown)
    thread.join()
    server.server_close()


@pytest.fixture(params=[by_aiohttp, by_asgi, by_wsgi])
async def site(request):
    vitals = Vitals(["/cart"], origins=["https://www.example"], sample=0.5)
    monitor = Monitor("shop", "1.0", "test", vitals=vitals)
    async with request.param(monitor) as port, ClientSession() as client:
        yield Site(f"http://127.0.0.1:{port}", client)
    monitor.close()


async def post(site, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with site.client.post(site.url + VITALS, data=data, headers=TEXT | headers) as response:
        return response.status, dict(response.headers), await response.read()


async def test_a_beacon_is_counted_and_is_no_request_of_the_application(site):
    status, headers, body = await post(site, BEACON)
    assert (status, body) == (204, b"")
    assert headers.get("Content-Length", "0") == "0"
    scrape = await site.scrape()
    key = {"page": "/cart", "browser_web_vital_navigation_type": "navigate"}
    assert scrape.value("browser_web_vital_lcp_seconds_sum", **key) == 1.5
    assert scrape.value("browser_web_vital_cls_bucket", **key, le="0.25") == 0
    assert scrape.value("browser_web_vital_cls_bucket", **key, le="0.35") == 1
    assert scrape.value("browser_javascript_errors_total", page="/cart", error_type="TypeError") == 2
    assert scrape.value("rearguard_exporter_beacons_total", result="taken") == 1
    assert scrape.all("http_server_request_duration_seconds_count") == []


async def test_a_beacon_that_is_too_large_is_refused(site):
    assert (await post(site, b"x" * 9000))[0] == 413
    assert (await post(site, BEACON))[0] == 204
    scrape = await site.scrape()
    assert scrape.value("rearguard_exporter_beacons_total", result="too_large") == 1
    assert scrape.value("rearguard_exporter_beacons_total", result="taken") == 1


async def test_what_a_proxy_and_a_browser_say_of_the_origin_counts(site):
    own = site.url
    assert (await post(site, BEACON, Origin=own))[0] == 204  # as `Host` has it
    behind = {"Origin": "https://shop.example"}
    assert (await post(site, BEACON, **behind, **{"Sec-Fetch-Site": "same-origin"}))[0] == 204
    assert (await post(site, BEACON, **behind, **{"Sec-Fetch-Site": "cross-site"}))[0] == 403


@pytest.mark.parametrize("serve", [by_aiohttp, by_asgi])  # wsgiref, as WSGI, cannot tell the end of such a body
async def test_a_beacon_that_does_not_say_how_large_it_is_is_refused_once_it_is_too_large(serve):
    async def pieces():
        for _ in range(4):
            yield b"x" * 4000

    monitor = Monitor("shop", "1.0", "test", vitals=Vitals(["/cart"]))
    async with serve(monitor) as port, ClientSession() as client:
        url = f"http://127.0.0.1:{port}{VITALS}"
        async with client.post(url, data=pieces(), headers=TEXT) as response:
            assert response.status == 413
    monitor.close()


async def test_refusals_say_why_and_count_by_kind(site):
    assert (await post(site, b"no JSON"))[0] == 400
    assert (await post(site, BEACON, Origin="https://evil.example"))[0] == 403
    assert (await post(site, BEACON, **{"Content-Type": "image/png"}))[0] == 415
    scrape = await site.scrape()
    for result in ("malformed", "foreign_origin", "wrong_type"):
        assert scrape.value("rearguard_exporter_beacons_total", result=result) == 1, result
    for result in ("taken", "too_large", "too_many"):
        assert scrape.value("rearguard_exporter_beacons_total", result=result) == 0, result


async def test_the_script_is_served_compressed_and_may_be_kept(site):
    async with site.client.get(
        site.url + SCRIPT, headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "max-age" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        script = gzip.decompress(await answer.read())
    assert b"Math.random() < 0.5" in script
    async with site.client.get(site.url + SCRIPT, headers={"Accept-Encoding": "identity"}) as answer:
        assert await answer.read() == script
        assert "Content-Encoding" not in answer.headers
    async with site.client.head(site.url + SCRIPT) as answer:
        assert answer.status == 200
        assert await answer.read() == b""


async def test_a_listed_origin_may_ask_first_and_send_json(site):
    async with site.client.options(site.url + VITALS, headers=LISTED) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "https://www.example"
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"
    status, headers, _ = await post(site, BEACON, **LISTED, **{"Content-Type": "application/json"})
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "https://www.example"
    async with site.client.options(site.url + VITALS, headers={"Origin": "https://evil.example"}) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_other_methods_of_these_paths_are_the_applications(site):
    assert (await site.get(VITALS))[0] in {404, 405}
    async with site.client.post(site.url + SCRIPT, data=b"x") as answer:
        assert answer.status in {404, 405}
    scrape = await site.scrape()
    assert scrape.value("rearguard_exporter_beacons_total", result="malformed") == 0


async def test_the_dashboard_shows_pages_timings_and_beacons(site):
    for lcp in (1000, 2000, 3000, 9000):
        await post(site, BEACON | {"vitals": {"lcp": lcp}, "timings": [["anything", 100]]})
    _, body = await site.get("/api/monitoring/dashboard")
    browser = json.loads(body)["browser"]
    (page,) = browser["pages"]
    assert page["page"] == "/cart"
    assert 2.5 <= page["lcp_p75_s"] <= 3.0
    assert page["errors"] == 8
    assert browser["timings"][0]["name"] == "_OTHER"
    assert browser["timings"][0]["count"] == 4
    assert browser["beacons"]["taken"] == 4


async def test_a_sender_that_stalls_or_leaves_holds_nothing(site):
    host, port = site.url.removeprefix("http://").split(":")
    head = f"POST {VITALS} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: 300\r\n\r\n{{"
    for _ in range(3):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode())
        await writer.drain()
        writer.close()
    assert (await post(site, BEACON))[0] == 204


async def test_paths_of_vitals_are_the_applications_where_nothing_was_asked_for():
    monitor = Monitor("shop", "1.0", "test")
    async with by_asgi(monitor) as port, ClientSession() as client:
        site = Site(f"http://127.0.0.1:{port}", client)
        assert (await site.get(SCRIPT))[0] == 404
        assert (await post(site, BEACON))[0] == 404
    monitor.close()
