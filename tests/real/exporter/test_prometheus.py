"""A real Prometheus takes what the exporter says: values that try to break out of their line, and every family."""

import asyncio
import subprocess

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, Histogram

from local_stack.binaries import environment, find
from real.prometheus import running
from rearguard_exporter import Monitor

HOSTILE = 'quote " and \\ back\nslash\r "} 1\nfake_metric 4711\n# nul\0 \ud800 漢字 🙂 \x1b[31m $(id)'


@pytest.fixture
def registry():
    """What the application measures itself, under names that Prometheus 2 cannot tell from ours or each other."""
    made = CollectorRegistry()
    Histogram("http.server.request.duration", "x", unit="seconds", registry=made).observe(3)
    for name in ("shop.queue", "shop_queue"):
        Gauge(name, "x", registry=made).set(1)
    return made


@pytest.fixture
async def site(serve, registry):
    app = web.Application()

    async def crash(_):
        raise LookupError

    app.router.add_get("/crash/{id}", crash)
    Monitor(HOSTILE, "1.0", "test", registry=registry).instrument_aiohttp(app)
    site = await serve(app)
    await site.get("/crash/1")
    return site


@pytest.fixture
def prometheus(tmp_path, site):
    """A Prometheus that scrapes the site every second; its address."""
    target = site.url.removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with running(tmp_path) as address:
        yield address


async def query(site, prometheus, expression):
    try:
        async with site.client.get(prometheus + "/api/v1/query", params={"query": expression}) as response:
            return (await response.json())["data"]["result"] if response.status == 200 else []
    except OSError:
        return []  # not listening yet


async def test_prometheus_reads_hostile_values_back_and_nothing_else(site, prometheus, eventually):
    (info,) = await eventually(lambda: query(site, prometheus, "target_info"), 30)
    harmless = HOSTILE.replace("\0", "\ufffd").replace("\ud800", "?")
    assert info["metric"]["service_name"] == harmless
    assert await query(site, prometheus, "fake_metric") == []
    (up,) = await query(site, prometheus, "up")
    assert up["value"][1] == "1"
    (errors,) = await query(
        site, prometheus, 'http_server_request_duration_seconds_count{error_type!="",http_route="/crash/{id}"}'
    )
    assert errors["value"][1] == "1"


async def test_prometheus_counts_our_requests_alone_whatever_the_application_calls_its_own(
    site, prometheus, eventually
):
    async def count():
        return await query(site, prometheus, "http_server_request_duration_seconds_count")

    (requests,) = await eventually(count, 30)
    assert (requests["metric"]["http_route"], requests["value"][1]) == ("/crash/{id}", "1")
    assert len(await query(site, prometheus, "shop_queue")) == 1


async def test_promtool_has_nothing_to_criticise(site):
    _, text = await site.get("/metrics")
    checked = await asyncio.to_thread(
        subprocess.run,
        [find("promtool"), "check", "metrics"],
        input=text,
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
