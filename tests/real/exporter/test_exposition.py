"""/metrics, the probes and the dashboard over real HTTP, read back by the official parsers."""

import asyncio
import gzip
import io
import json
import logging
import threading
import time
import urllib.error
import urllib.request

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rearguard_exporter import Monitor

HOSTILE = [
    'quote " and \\ backslash',
    "line\nbreak\r\ncarriage",
    '"} 1\nfake_metric 4711\n#',
    "\\n \\\\ \\",
    "naïve 漢字 🙂",
    "; rm -rf / $(id) `id` --flag ../../etc",
    "# HELP x y",
    "tab\tand\x1b[31m",
]
UNPRINTABLE = ["nul\0byte", "half a pair \ud800", "x" * 5000]


async def hello(_):
    return web.Response(text="hello")


def hostile_app(name):
    error = type(name, (Exception,), {}) if "\0" not in name and "\ud800" not in name else LookupError

    async def crash(_):
        raise error

    app = web.Application()
    app.router.add_get("/crash", crash)
    Monitor(name, name, name).instrument_aiohttp(app)
    return app


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["scrape", "openmetrics"])
async def test_hostile_values_come_back_as_they_were_in_both_formats(serve, name, kind):
    site = await serve(hostile_app(name))
    await site.get("/crash")
    scrape = await getattr(site, kind)()
    labels = {"service_name": name, "service_version": name, "deployment_environment_name": name}
    assert scrape.value("target_info", **labels) == 1
    errors = scrape.all("http_server_request_duration_seconds_count")
    assert [sample.labels["error_type"] for sample in errors] == [name]
    assert scrape.all("fake_metric") == []


@pytest.mark.parametrize("name", UNPRINTABLE)
@pytest.mark.parametrize("kind", ["scrape", "openmetrics"])
async def test_values_that_no_scraper_takes_are_made_harmless(serve, name, kind):
    site = await serve(hostile_app(name))
    scrape = await getattr(site, kind)()
    (info,) = scrape.all("target_info")
    value = info.labels["service_name"]
    assert "\0" not in value
    assert len(value) <= 200
    assert value.encode() is not None


async def test_both_formats_hold_the_same_samples(serve, eventually):
    app = web.Application()
    app.router.add_get("/", hello)
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    site = await serve(app)
    await site.get("/")

    def series(scrape):
        return {(sample.name, *sorted(sample.labels.items())) for sample in scrape.samples}

    async def agree():  # a sample of the system may come in between two scrapes; a difference of formats stays
        text, openmetrics = await site.scrape(), await site.openmetrics()
        return series(text) == series(openmetrics) and series(text)

    held = await eventually(agree)
    assert len(held) > 60
    assert not any(name.endswith("_created") for name, *_ in held)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("application/openmetrics-text;q=0", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text; version=nonsense",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("q;;=,,;q=x,application/openmetrics-text;q=high", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_the_format_is_the_one_preferred_by_accept(serve, accept, expected):
    app = web.Application()
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    site = await serve(app)
    async with site.client.get(site.url + "/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == expected


async def test_a_broken_collector_of_the_application_costs_only_itself(serve):
    class Broken:
        armed = False

        def collect(self):
            if self.armed:
                raise LookupError
            return ()

    broken = Broken()
    REGISTRY.register(broken)
    try:
        broken.armed = True
        app = web.Application()
        Monitor("shop", "1.0", "test").instrument_aiohttp(app)
        assert (await (await serve(app)).scrape()).value("target_info") == 1
    finally:
        REGISTRY.unregister(broken)


def fetch(request):
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        return answer.read(), answer.headers["Content-Encoding"]


async def test_the_body_is_compressed_only_where_asked(serve):
    app = web.Application()
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    site = await serve(app)
    for header, encoding in (("gzip, deflate", "gzip"), ("identity", None), ("gzip;q=0", None)):
        request = urllib.request.Request(site.url + "/metrics", headers={"Accept-Encoding": header})  # noqa: S310 - loopback
        body, found = await asyncio.to_thread(fetch, request)
        assert found == encoding
        text = gzip.decompress(body) if encoding else body
        assert any(family.name == "target_info" for family in parse_text(text.decode()))


async def test_the_limit_of_series_holds_and_errors_stay_visible(serve):
    monitor = Monitor("shop", "1.0", "test", series_limit=20)
    app = web.Application()

    async def crash(_):
        raise LookupError

    for number in range(60):
        app.router.add_get(f"/ok/{number}", hello)
        app.router.add_get(f"/bad/{number}", crash)
    monitor.instrument_aiohttp(app)
    site = await serve(app)
    for number in range(60):
        await site.get(f"/ok/{number}")
        await site.get(f"/bad/{number}")
    scrape = await site.scrape()
    counts = scrape.all("http_server_request_duration_seconds_count")
    assert len(counts) == 22
    assert sum(sample.value for sample in counts) == 120
    folded = scrape.all("http_server_request_duration_seconds_count", http_route="__overflow__")
    assert {(s.labels["http_response_status_code"], s.labels["error_type"], s.value) for s in folded} == {
        ("2xx", "", 50),
        ("5xx", "__overflow__", 50),
    }
    family = "http_server_request_duration_seconds"
    assert scrape.value("rearguard_exporter_folded_total", family=family) == 100
    assert scrape.value("rearguard_exporter_series", family=family) == 22 * 17
    assert (await site.scrape()).value("rearguard_exporter_render_seconds", family=family) > 0


async def test_the_dashboard_says_what_its_documentation_promises(serve):
    app = web.Application()
    app.router.add_get("/items/{id}", hello)
    Monitor("shop", "1.4.2", "production").instrument_aiohttp(app)
    site = await serve(app)
    for number in range(4):
        await site.get(f"/items/{number}")
    status, body = await site.get("/api/monitoring/dashboard")
    shown = json.loads(body)
    assert status == 200
    assert set(shown) == {
        *("status", "reasons", "service", "version", "environment", "uptime_s"),
        *("endpoints", "database", "websocket", "browser", "system"),
    }
    assert (shown["status"], shown["reasons"]) == ("healthy", [])
    assert (shown["service"], shown["version"], shown["environment"]) == ("shop", "1.4.2", "production")
    (endpoint,) = shown["endpoints"]
    assert set(endpoint) == {"route", "method", "count", "mean_s", "p95_s", "errors"}
    assert (endpoint["route"], endpoint["method"], endpoint["count"]) == ("/items/{id}", "GET", 4)
    assert 0 < endpoint["mean_s"] <= endpoint["p95_s"] < 1


async def test_a_port_of_its_own_serves_the_figures_instead_of_the_application(serve):
    monitor = Monitor("shop", "1.0", "test", listen="127.0.0.1:0")
    try:
        app = web.Application()
        app.router.add_get("/", hello)
        monitor.instrument_aiohttp(app)
        site = await serve(app)
        await site.get("/")
        assert [(await site.get(path))[0] for path in ("/metrics", "/api/monitoring/dashboard")] == [404, 404]
        assert (await site.get("/healthz"))[0] == 200
        url = "http://{}:{}".format(*monitor.listen_address)
        async with site.client.get(url + "/metrics") as response:
            names = {family.name for family in parse_text(await response.text())}
        assert "http_server_request_duration_seconds" in names
        async with site.client.get(url + "/api/monitoring/dashboard") as response:
            assert (await response.json())["service"] == "shop"
        async with site.client.get(url + "/etc/passwd") as response:
            assert response.status == 404
    finally:
        monitor.close()
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(urllib.request.urlopen, url + "/metrics", timeout=2)
    assert not any(thread.name == "rearguard-listen" for thread in threading.enumerate())


def test_a_port_that_is_taken_costs_the_application_nothing_and_is_had_once_it_is_free(caplog):
    first = Monitor("old", "1.0", "test", listen="127.0.0.1:0")
    host, port = first.listen_address
    answer_one(first)  # else the port would pass to the newer one
    second = Monitor("new", "1.0", "test", listen=f"{host}:{port}")
    third = Monitor("never", "1.0", "test", listen=f"{host}:{port}")
    try:
        assert second.listen_address is None
        third.close()
    finally:
        first.close()
    deadline = time.monotonic() + 30
    while second.listen_address is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=30) as answer:
        assert b'service_name="new"' in answer.read()
    second.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"rearguard_exporter: {host}:{port} is taken; nothing is exposed until it is free"
    ] * 2
    assert not any(thread.name == "rearguard-listen" for thread in threading.enumerate())


def answer_one(monitor):
    """A request of an application that this monitor measures."""

    def app(_environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}
    assert b"".join(monitor.instrument_wsgi(app)(environ, lambda *_: None)) == b"ok"


def wait_for_port(monitor):
    deadline = time.monotonic() + 30
    while monitor.listen_address is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_two_monitors_of_a_process_that_want_a_port_the_one_that_serves_has_it():
    first = Monitor("first", "1.0", "test", listen="127.0.0.1:0")
    host, port = first.listen_address
    second = Monitor("second", "1.0", "test", listen=f"{host}:{port}")
    assert (first.listen_address, second.listen_address) == (None, (host, port))  # nobody serves: the newer one
    answer_one(first)
    wait_for_port(first)
    assert second.listen_address is None
    third = Monitor("third", "1.0", "test", listen=f"{host}:{port}")
    assert third.listen_address is None
    third.close()
    first.close()
    wait_for_port(second)
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=30) as answer:
        assert b'service_name="second"' in answer.read()
    second.close()
    assert not any(thread.name == "rearguard-listen" for thread in threading.enumerate())


def test_a_port_that_nobody_may_have_costs_the_figures_but_not_the_application(caplog):
    monitor = Monitor("shop", "1.0", "test", listen="192.0.2.1:9464")  # not an address of this machine
    assert monitor.listen_address is None
    monitor.close()
    assert "cannot listen on 192.0.2.1:9464" in caplog.text
