"""Requests against a real aiohttp server: what is counted, under which labels, and what is not."""

import asyncio
import ssl
import threading
import time
from contextlib import suppress

import pytest
import trustme
from aiohttp import ClientPayloadError, ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily

from rearguard_exporter import FAMILIES, Monitor
from rearguard_exporter.traffic import request as measured_request

COUNT = "http_server_request_duration_seconds_count"


async def hello(_):
    return web.Response(text="hello")


def app_with(routes, monitor=None, **kwargs):
    app = web.Application(**kwargs)
    app.add_routes(routes)
    (monitor or Monitor("shop", "1.0", "test")).instrument_aiohttp(app)
    return app


async def test_a_request_is_counted_under_its_template_never_its_path(serve):
    site = await serve(app_with([web.get("/items/{id}", hello)]))
    for number in range(3):
        await site.get(f"/items/{number}")
    scrape = await site.scrape()
    labels = {"http_request_method": "GET", "http_response_status_code": "200", "error_type": ""}
    assert scrape.value(COUNT, http_route="/items/{id}", **labels) == 3
    assert "/items/1" not in scrape.text


async def test_unmatched_paths_and_invented_methods_are_one_value_each(serve):
    site = await serve(app_with([web.get("/items", hello)]))
    unusual = ("PROPFIND", "MKCOL", "LOCK", "PURGE", "SEARCH", "REPORT", "COPY", "MOVE")  # what its parser lets in
    for number in range(50):
        await site.get(f"/scan/{number}.php?x={number}")
    for method in unusual:
        async with site.client.request(method, site.url + "/items") as response:
            assert response.status == 405
    scrape = await site.scrape()
    assert {sample.labels["http_route"] for sample in scrape.all(COUNT)} == {"__unmatched__"}
    assert {sample.labels["http_request_method"] for sample in scrape.all(COUNT)} == {"GET", "_OTHER"}
    assert scrape.value(COUNT, http_request_method="GET", http_response_status_code="404") == 50
    assert scrape.value(COUNT, http_request_method="_OTHER", http_response_status_code="405") == len(unusual)


async def test_errors_have_a_type_and_the_status_that_the_caller_saw(serve):
    async def crash(_):
        raise LookupError("secret-4711")

    async def answer_500(_):
        return web.Response(status=500)

    async def raise_503(_):
        raise web.HTTPServiceUnavailable

    async def raise_404(_):
        raise web.HTTPNotFound

    async def late(_):
        raise TimeoutError

    async def upstream_reset(_):
        raise ConnectionResetError

    handlers = (crash, answer_500, raise_503, raise_404, late, upstream_reset)
    site = await serve(app_with([web.get(f"/{handler.__name__}", handler) for handler in handlers]))
    seen = {handler.__name__: (await site.get(f"/{handler.__name__}"))[0] for handler in handlers}
    scrape = await site.scrape()
    recorded = {
        sample.labels["http_route"][1:]: (
            int(sample.labels["http_response_status_code"]),
            sample.labels["error_type"],
        )
        for sample in scrape.all(COUNT)
    }
    assert recorded == {
        "crash": (500, "LookupError"),
        "answer_500": (500, "500"),
        "raise_503": (503, "503"),
        "raise_404": (404, ""),
        "late": (504, "TimeoutError"),
        "upstream_reset": (500, "ConnectionResetError"),
    }
    assert seen == {name: status for name, (status, _) in recorded.items()}
    assert "secret-4711" not in scrape.text


async def test_a_caller_who_leaves_is_no_error_of_the_service(serve, eventually):
    begun = asyncio.Event()

    async def slow(_):
        begun.set()
        await asyncio.sleep(60)

    site = await serve(app_with([web.get("/slow", slow)]), handler_cancellation=True)
    request = asyncio.create_task(site.get("/slow"))
    await begun.wait()
    assert (await site.scrape()).value("http_server_active_requests", http_request_method="GET") == 1
    request.cancel()

    async def recorded():
        scrape = await site.scrape()
        return scrape.all(COUNT, http_route="/slow") and scrape

    scrape = await eventually(recorded)
    assert scrape.value(COUNT, http_response_status_code="499", error_type="") == 1
    assert scrape.value("http_server_active_requests", http_request_method="GET") == 0


async def test_a_request_by_tls_is_shown_under_https():
    seen = []

    async def look(_):
        active = [family for family in monitor.registry.collect() if family.name == "http_server_active_requests"]
        seen.extend((sample.labels["url_scheme"], sample.value) for family in active for sample in family.samples)
        return web.Response()

    monitor = Monitor("shop", "1.0", "test")
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = TestServer(app_with([web.get("/", look)], monitor))
    await server.start_server(ssl=context)
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    async with ClientSession() as client, client.get(server.make_url("/"), ssl=trusting) as response:
        assert response.status == 200
    await server.close()
    assert seen == [("https", 1)]


async def test_active_requests_return_to_zero_whatever_the_handler_does(serve):
    async def crash(_):
        raise OSError

    site = await serve(app_with([web.get("/crash", crash), web.get("/ok", hello)]))
    for path in ("/crash", "/ok", "/nowhere", "/crash"):
        await site.get(path)
    assert (await site.scrape()).value("http_server_active_requests", http_request_method="GET") == 0


async def test_a_nested_application_is_counted_once_with_its_prefix(serve):
    monitor = Monitor("shop", "1.0", "test")
    inner = app_with([web.get("/list", hello)], monitor)
    outer = web.Application()
    outer.add_subapp("/api", inner)
    monitor.instrument_aiohttp(outer)
    monitor.instrument_aiohttp(outer)
    site = await serve(outer)
    await site.get("/api/list")
    counted = [(s.labels["http_route"], s.value) for s in (await site.scrape()).all(COUNT)]
    assert counted == [("/api/list", 1)]


async def test_a_factory_may_make_several_applications_of_one_monitor(serve):
    monitor = Monitor("shop", "1.0", "test")
    first = await serve(app_with([web.get("/a", hello)], monitor))
    second = await serve(app_with([web.get("/b", hello)], monitor))
    await first.get("/a")
    await second.get("/b")
    await first.runner.cleanup()
    routes = {sample.labels["http_route"] for sample in (await second.scrape()).all(COUNT)}
    assert routes == {"/a", "/b"}


async def test_event_streams_stay_out_of_the_durations_but_a_broken_one_counts_as_an_error(serve):
    async def events(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        if "break" in request.query:
            await asyncio.sleep(0.3)
            raise ValueError
        return response

    site = await serve(app_with([web.get("/events", events)]))
    assert await site.get("/events") == (200, b"data: 1\n\n")
    scrape = await site.scrape()
    assert scrape.all(COUNT) == []
    assert scrape.value("http_server_active_requests", http_request_method="GET") == 0
    with suppress(ClientPayloadError):
        await site.get("/events?break=1")
    scrape = await site.scrape()
    assert scrape.value(COUNT, error_type="ValueError", http_response_status_code="200") == 1
    assert scrape.all("http_server_request_duration_seconds_sum")[0].value < 0.2  # to its headers only


async def test_streams_that_a_stopping_server_ends_are_no_errors(serve, eventually):
    async def stream(request):
        response = web.StreamResponse(headers={"Content-Type": request.query["type"]})
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(60)

    monitor = Monitor("shop", "1.0", "test")
    watching = await serve(app_with([], monitor))
    stopping = await serve(app_with([web.get("/stream", stream)], monitor))
    readers = [
        asyncio.create_task(stopping.get("/stream", params={"type": content_type}))
        for content_type in ("text/event-stream", "text/csv")
    ]

    async def active(number):
        scrape = await watching.scrape()
        return scrape.value("http_server_active_requests", http_request_method="GET") == number and scrape

    await eventually(lambda: active(2))
    await stopping.runner.cleanup()
    scrape = await eventually(lambda: active(0))
    await asyncio.gather(*readers, return_exceptions=True)
    (recorded,) = scrape.all(COUNT)
    assert (recorded.labels["http_response_status_code"], recorded.labels["error_type"]) == ("499", "")


async def test_a_short_stream_is_timed_to_its_last_byte(serve):
    async def export(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"x")
            await asyncio.sleep(0.1)
        return response

    site = await serve(app_with([web.get("/export", export)]))
    await site.get("/export")
    spent = (await site.scrape()).all("http_server_request_duration_seconds_sum")[0].value
    assert 0.25 < spent < 5


@pytest.mark.parametrize("length", [None, 3])
async def test_a_long_stream_stays_out_of_the_durations_whether_its_length_was_announced(serve, monkeypatch, length):
    async def download(request):
        response = web.StreamResponse()
        response.content_length = length
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    monkeypatch.setattr(measured_request, "LONG_STREAM", 0.1)
    site = await serve(app_with([web.get("/download", download)]))
    assert await site.get("/download") == (200, b"xxx")
    assert (await site.scrape()).all(COUNT) == []


async def test_own_endpoints_are_not_traffic(serve):
    site = await serve(app_with([]))
    for path in ("/healthz", "/readyz", "/metrics", "/api/monitoring/dashboard"):
        assert (await site.get(path))[0] == 200
    assert (await site.scrape()).all(COUNT) == []


async def test_an_endpoint_that_the_application_has_already_is_left_alone(serve):
    site = await serve(app_with([web.get("/healthz", hello)]))
    assert await site.get("/healthz") == (200, b"hello")
    assert (await site.scrape()).value(COUNT, http_route="/healthz") == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/monitoring/dashboard"])
@pytest.mark.parametrize("listen", [None, "127.0.0.1:0"])
async def test_an_endpoint_that_the_application_adds_afterwards_is_left_to_it_too(serve, path, listen, caplog):
    caplog.set_level("INFO", "rearguard_exporter")
    monitor = Monitor("shop", "1.0", "test", listen=listen)
    app = app_with([], monitor)
    app.router.add_get(path, hello)
    site = await serve(app)
    assert await site.get(path) == (200, b"hello")
    kept = (await site.get("/healthz" if path == "/readyz" else "/readyz"))[1]
    monitor.close()
    assert b"status" in kept
    assert (f"{path} is the application's own" in caplog.text) == (listen is None or path in {"/healthz", "/readyz"})


async def test_a_nested_application_keeps_its_own_endpoints_too(serve):
    monitor = Monitor("shop", "1.0", "test")
    inner = app_with([], monitor)
    inner.router.add_get("/healthz", hello)
    outer = app_with([], monitor)
    outer.add_subapp("/api", inner)
    site = await serve(outer)
    assert await site.get("/api/healthz") == (200, b"hello")
    assert b"ok" in (await site.get("/healthz"))[1]


async def test_a_fault_inside_the_exporter_never_reaches_the_caller(serve):
    class Odd(web.PlainResource):
        broken = False

        @property
        def canonical(self):
            if self.broken:
                raise RuntimeError
            return "/odd"

    monitor = Monitor("shop", "1.0", "test")
    app = web.Application()
    monitor.instrument_aiohttp(app)
    resource = Odd("/odd")
    resource.add_route("GET", hello)
    app.router.register_resource(resource)
    site = await serve(app)
    resource.broken = True
    assert await site.get("/odd") == (200, b"hello")
    scrape = await site.scrape()
    assert [each.value for each in scrape.all("http_server_active_requests")] == [0.0]
    assert [each.labels["http_route"] for each in scrape.all(COUNT)] == ["__unmatched__"]


async def test_every_family_exposed_is_declared_with_its_labels(serve, eventually):
    monitor = Monitor("shop", "1.0", "test")
    site = await serve(app_with([web.get("/", hello)], monitor))
    await site.get("/")
    declared = {name: (set(family.labels), family.kind) for family in FAMILIES for name in family.series}

    async def sampled():
        scrape = await site.scrape()
        return scrape.all("process_cpu_utilization_ratio") and scrape

    scrape = await eventually(sampled)
    for family in scrape.families:
        for sample in family.samples:
            labels, kind = declared[sample.name]
            assert set(sample.labels) - {"le"} == labels, sample
            assert family.type == kind, family


async def test_metrics_of_the_application_itself_are_exposed_too(serve):
    mine = Counter("orders_placed", "Orders.", registry=REGISTRY)
    try:
        mine.inc(3)
        site = await serve(app_with([]))
        scrape = await site.scrape()
        assert scrape.value("orders_placed_total") == 3
        assert len(scrape.all("process_start_time_seconds")) == 1
    finally:
        REGISTRY.unregister(mine)


async def test_a_slow_collector_does_not_hold_up_the_event_loop(serve):
    class Slow:
        def collect(self):
            if self.ready:
                time.sleep(0.5)
            yield GaugeMetricFamily("slow", "Slow.", value=1)

        ready = False

    slow, registry = Slow(), CollectorRegistry()
    registry.register(slow)
    slow.ready = True
    site = await serve(app_with([], Monitor("shop", "1.0", "test", registry=registry)))
    scraping = asyncio.create_task(site.scrape())
    loop, worst = asyncio.get_running_loop(), 0.0
    while not scraping.done():
        before = loop.time()
        await asyncio.sleep(0.005)
        worst = max(worst, loop.time() - before)
    assert (await scraping).value("slow") == 1
    assert worst < 0.25


async def test_background_work_ends_with_the_application(serve):
    before = set(threading.enumerate())  # monitors of other tests may still have a thread
    site = await serve(app_with([]))
    (sampler,) = [each for each in set(threading.enumerate()) - before if each.name == "rearguard-system"]
    tasks = len(asyncio.all_tasks())
    await site.runner.cleanup()
    sampler.join(10)
    assert not sampler.is_alive()
    assert len(asyncio.all_tasks()) < tasks
