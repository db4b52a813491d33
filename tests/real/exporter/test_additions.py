"""Excluded paths, constant labels and labels of requests in each framework, read back by the official parsers."""

from wsgiref.util import setup_testing_defaults

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from real.exporter.conftest import Scrape
from rearguard_exporter import Monitor

COUNT = "http_server_request_duration_seconds_count"
FOLDED = "rearguard_exporter_folded_total"


def scraped(monitor, accept="text/plain", parse=parse_text):
    return Scrape(monitor._endpoints.metrics.render(accept, "").body.decode(), parse)


async def ask_aiohttp(monitor, serve, asked):
    async def hello(_):
        return web.Response(text="hello")

    async def socket(request):
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        return answer

    app = web.Application()
    app.router.add_get("/hello", hello)
    app.router.add_get("/quiet/{name}", hello)
    app.router.add_get("/quiet-socket", socket)
    monitor.instrument_aiohttp(app)
    site = await serve(app)
    for path, headers in asked:
        assert (await site.get(path, headers=headers))[0] == 200
    async with site.client.ws_connect(site.url + "/quiet-socket"):
        pass


async def ask_asgi(monitor, _, asked):
    async def hello(_):
        return PlainTextResponse("hello")

    async def socket(websocket):
        await websocket.accept()
        await websocket.close()

    app = monitor.instrument_asgi(
        Starlette(
            routes=[Route("/hello", hello), Route("/quiet/{name}", hello), WebSocketRoute("/quiet-socket", socket)]
        )
    )
    sent = []

    async def receive():
        return {"type": "websocket.connect"} if sent[-1:] == ["socket"] else {"type": "http.request", "body": b""}

    async def send(message):
        if message["type"] == "http.response.start":
            assert message["status"] == 200

    for path, headers in asked:
        pairs = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "headers": pairs,
            "query_string": b"",
            "root_path": "",
        }
        await app(scope, receive, send)
    sent.append("socket")
    scope = {"type": "websocket", "path": "/quiet-socket", "headers": [], "query_string": b"", "root_path": ""}
    await app(scope, receive, send)
    await monitor._lifecycle.leave()


async def ask_wsgi(monitor, _, asked):
    def hello(_environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]

    app = monitor.instrument_wsgi(hello)
    for path, headers in asked:
        environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        setup_testing_defaults(environ)
        assert list(app(environ, lambda *_: None)) == [b"hello"]


def plan(request):
    """A hook that trusts its caller, as users write them."""
    if isinstance(request, web.Request):
        return request.headers["X-Plan"]
    if "headers" in request:
        return dict(request["headers"])[b"x-plan"]
    return request["HTTP_X_PLAN"]


@pytest.fixture(params=[ask_aiohttp, ask_asgi, ask_wsgi])
def ask(request, serve):
    async def run(monitor, *asked):
        await request.param(monitor, serve, asked)
        monitor.close()

    return run


async def test_excluded_paths_and_sockets_are_not_measured_and_answered_all_the_same(ask):
    monitor = Monitor("shop", "1.0", "test", exclude=["/quiet/*", "/quiet-socket"])
    await ask(monitor, ("/hello", {}), ("/quiet/1", {}), ("/quiet/2", {}))
    scrape = scraped(monitor)
    assert sum(sample.value for sample in scrape.all(COUNT)) == 1
    assert scrape.all("websocket_server_connections_total") == []
    assert all(sample.value == 0 for sample in scrape.all("http_server_active_requests"))


async def test_excluded_paths_come_from_the_environment_too(ask, monkeypatch):
    monkeypatch.setenv("REARGUARD_EXCLUDE", "/quiet/*, /quiet-socket")
    monitor = Monitor("shop", "1.0", "test")
    await ask(monitor, ("/hello", {}), ("/quiet/1", {}))
    assert sum(sample.value for sample in scraped(monitor).all(COUNT)) == 1


async def test_hostile_values_of_a_hook_add_no_more_series_than_the_limit_and_are_counted(ask):
    monitor = Monitor("shop", "1.0", "test", request_labels={"plan": plan}, label_limit=4)
    hostile = ['"', "\\", "a\\n", "é", "{}", "x" * 500, 'le="1"', *map(str, range(100))]
    await ask(monitor, ("/hello", {}), *(("/hello", {"X-Plan": value}) for value in hostile))
    scrape = scraped(monitor)
    children = scrape.all(COUNT)
    assert sum(sample.value for sample in children) == len(hostile) + 1
    assert len(children) == 4 + 2  # those allowed, the overflow, and the one whose hook failed
    folded = scrape.value(FOLDED, family="http_server_request_duration_seconds")
    assert folded == len(hostile) - 4 == scrape.value(COUNT, plan="__overflow__")
    again = scraped(monitor, "application/openmetrics-text; version=1.0.0", parse_openmetrics)
    assert {sample.labels["plan"] for sample in again.all(COUNT)} == {sample.labels["plan"] for sample in children}


async def test_a_request_label_is_on_the_durations_and_in_the_dashboard_endpoints_stay_one(ask):
    monitor = Monitor("shop", "1.0", "test", request_labels={"plan": plan})
    await ask(monitor, ("/hello", {"X-Plan": "gold"}), ("/hello", {"X-Plan": "free"}))
    assert scraped(monitor).value(COUNT, plan="gold") == 1
    (endpoint,) = monitor._endpoints.dashboard.document()["endpoints"]
    assert endpoint["count"] == 2


@pytest.mark.parametrize("own_registry", [True, False])
def test_constant_labels_are_on_every_family_in_both_encoders(own_registry):
    hostile = 'eu "west"\\\n'
    registry = CollectorRegistry() if own_registry else None
    monitor = Monitor("shop", "1.0", "test", labels={"region": hostile, "rank": 7}, registry=registry)
    monitor._instruments.http_duration.observe(("GET", "/", "200", ""), 0.1)
    monitor._instruments.pool_failures.child("orders")
    monitor._endpoints.dashboard._figures.sample()
    for text in (monitor._endpoints.metrics.render("", "").body.decode(), generate_latest(monitor.registry).decode()):
        samples = [
            sample
            for family in parse_text(text)
            for sample in family.samples
            if own_registry or sample.name in _ours(monitor)
        ]
        assert len(samples) > 40
        assert {(sample.labels["region"], sample.labels["rank"]) for sample in samples} == {(hostile, "7")}
    monitor.close()


def _ours(monitor):
    return {sample.name for family in monitor.registry.collect() for sample in family.samples}
