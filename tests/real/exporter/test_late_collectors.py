"""A collector of the application that hangs, on real servers: scrapes, dashboard and the end of the process go on."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from local_stack.process import free_ports, wait_until

HANGING = """
import asyncio, os, pathlib, time
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from rearguard_exporter import Monitor

class Far:
    def describe(self):
        return ()

    def collect(self):
        if pathlib.Path("hangs").exists():
            pathlib.Path("asked").touch()
            time.sleep(120)
        yield GaugeMetricFamily("far_queue_length", "Messages.", value=1)

REGISTRY.register(Far())
monitor = Monitor("shop", "1.0", "test", listen=os.environ.get("LISTEN"))
"""
APPLICATIONS = {
    "asgi": """
async def bare(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})

app = monitor.instrument_asgi(bare)
""",
    "wsgi": """
def bare(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]

app = monitor.instrument_wsgi(bare)
""",
    "aiohttp": """
from aiohttp import web

async def ok(request):
    return web.Response(text="ok")

app = web.Application()
app.router.add_get("/", ok)
monitor.instrument_aiohttp(app)
""",
}
RUN_AIOHTTP = """
import sys
from aiohttp import web
from site_ import app
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
"""
SERVERS = {
    "uvicorn": ("asgi", (sys.executable, "-m", "uvicorn", "site_:app", "--port", "{port}")),
    "uvicorn, a port of its own": ("asgi", (sys.executable, "-m", "uvicorn", "site_:app", "--port", "{port}")),
    "gunicorn": ("wsgi", (sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:{port}", "--threads", "4", "site_:app")),
    "gunicorn, gevent": (
        "wsgi",
        (sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", "gevent", "site_:app"),
    ),
    "hypercorn, trio": (
        "asgi",
        (sys.executable, "-m", "hypercorn", "-b", "127.0.0.1:{port}", "-k", "trio", "site_:app"),
    ),
    "aiohttp": ("aiohttp", (sys.executable, "-c", RUN_AIOHTTP, "{port}")),
}


class Site:
    def __init__(self, folder, kind, command, environment):
        self.folder = folder
        [self.port] = free_ports(1)
        (folder / "site_.py").write_text(HANGING + APPLICATIONS[kind])
        self.log = folder / "log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [word.format(port=self.port) for word in command], cwd=folder, stdout=out, stderr=out,
                env={**os.environ, "PYTHONPATH": str(folder), **environment},
            )  # fmt: skip
        wait_until(lambda: self.get("/") is not None, within=30, what="the server answers")

    def get(self, path, port=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310 - loopback
                return answer.read().decode()
        except OSError:
            return None

    def end(self):
        """Seconds that the process took to end after SIGTERM."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return time.monotonic() - began


SELDOM = {"gunicorn, gevent", "hypercorn, trio"}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.soak if name in SELDOM else ()) for name in SERVERS])
def site(request, tmp_path):
    kind, command = SERVERS[request.param]
    environment, [port] = {}, free_ports(1)
    if "its own" in request.param:
        environment["LISTEN"] = f"127.0.0.1:{port}"
    made = Site(tmp_path, kind, command, environment)
    made.shown_at = port if environment else made.port
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def timed(call):
    began = time.monotonic()
    return call(), time.monotonic() - began


def test_scrapes_go_on_in_the_time_that_prometheus_gives_and_the_process_ends(site):
    assert "far_queue_length 1" in site.get("/metrics", site.shown_at)
    (site.folder / "hangs").touch()
    limit = {"X-Prometheus-Scrape-Timeout-Seconds": "3"}
    first, took = timed(lambda: site.get("/metrics", site.shown_at, **limit))
    assert 'service_name="shop"' in first
    assert "far_queue_length" not in first
    assert took < 3
    again, took = timed(lambda: site.get("/metrics", site.shown_at, **limit))
    assert 'collector_timeouts_total{collector="site_.Far"} 2.0' in again
    assert took < 1
    shown, took = timed(lambda: site.get("/api/monitoring/dashboard", site.shown_at))
    assert '"service": "shop"' in shown
    assert took < 1
    assert site.end() < 5
    assert site.log.read_text().count("the collector site_.Far did not answer") == 1


def test_a_scrape_that_waits_when_the_process_is_told_to_end_holds_it_up_no_longer_than_it_may_wait(site):
    (site.folder / "hangs").touch()
    scraper = threading.Thread(target=site.get, args=("/metrics", site.shown_at), daemon=True)
    scraper.start()
    wait_until((site.folder / "asked").exists, within=10, what="the collector is asked")
    shown, took = timed(lambda: site.get("/api/monitoring/dashboard", site.shown_at))
    assert '"service": "shop"' in shown
    assert took < 1
    assert site.end() < 6
    scraper.join(30)
