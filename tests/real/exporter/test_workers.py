"""A real gunicorn with several workers: a port for each as the README has it, and what a preloaded monitor does."""

import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from local_stack.binaries import ROOT
from local_stack.process import free_ports, wait_until
from real.exporter.conftest import Scrape

COUNT = "http_server_request_duration_seconds_count"
README = (ROOT / "exporter" / "README.md").read_text()
APP = """
import os
from rearguard_exporter import Monitor

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

monitor = Monitor("shop", "1.0", "test", listen=os.environ.get("PRELOADED_LISTEN"))
monitor.watch_database("orders", lambda: None, readiness=True)
app = monitor.instrument_wsgi(hello)
"""


@pytest.fixture
def gunicorn(tmp_path):
    """Starts a gunicorn of two workers; its address and its log."""
    running = []
    (tmp_path / "shop.py").write_text(APP)

    def start(settings, *options, **environment):
        [port] = free_ports(1)
        (tmp_path / "gunicorn.conf.py").write_text(settings)
        log = tmp_path / "log"
        words = ["-w", "2", "-b", f"127.0.0.1:{port}", "--graceful-timeout", "5", *options, "shop:app"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *words],
                cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **environment}, stdout=out, stderr=out,
            )  # fmt: skip
        running.append(process)
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(port), within=20, what="gunicorn listens")
        return process, address, log

    yield start
    for process in running:
        process.kill()
        process.wait()


def _answers(port):
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _is_free(port):
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _ask_until_both_answered(address):
    """How often was asked until two processes had answered; a connection each, so that they share them."""
    asked = []

    def ask():
        asked.append(requests.get(address, timeout=10, headers={"Connection": "close"}).text)
        return len(set(asked)) == 2

    wait_until(ask, within=30, what="both workers answer", every=0.0)
    return len(asked)


def test_each_worker_shows_its_own_requests_on_a_port_of_its_own(gunicorn):
    first = next(port for port in free_ports(20) if _is_free(port + 1))
    (settings,) = re.findall(r"^\*\*Gunicorn.*?```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    process, address, log = gunicorn(settings.replace("9464", str(first)))
    ports = [first, first + 1]

    def counts():
        shown = []
        for port in ports:
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
            shown.append(Scrape(text).value(COUNT, http_response_status_code="200") or 0)
        return shown

    wait_until(lambda: all(_answers(port) for port in ports), within=20, what="both ports listen")
    asked = _ask_until_both_answered(address)
    shown = counts()
    assert sum(shown) == asked
    assert min(shown) > 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, log.read_text()


def test_workers_of_a_preloaded_monitor_serve_say_whose_the_port_is_and_end_in_time(gunicorn):
    [port] = free_ports(1)
    process, address, log = gunicorn("", "--preload", PRELOADED_LISTEN=f"127.0.0.1:{port}")
    _ask_until_both_answered(address)
    wait_until(
        lambda: requests.get(f"{address}/readyz", timeout=10).status_code == 200, within=10, what="a worker is ready"
    )
    assert Scrape(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text).value(COUNT) is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, log.read_text()
    said = re.findall(
        rf"port 127\.0\.0\.1:{port} is of process {process.pid}, which forked this one", log.read_text()
    )
    assert len(said) == 2
