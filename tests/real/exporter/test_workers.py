"""A real gunicorn with several workers: a port for each as the README has it, and what a preloaded monitor does."""

import os
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
        process.terminate()  # not killed: its workers would go on for a while
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
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


def _program(name):
    (program,) = re.findall(rf"^\*\*{name}\*\*.*?```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return program


def _shown(ports, metric, **labels):
    """The metric of each port, 0 where it has none; nothing while one of them does not answer."""
    try:
        texts = [requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text for port in ports]
    except requests.ConnectionError:
        return []
    return [Scrape(text).value(metric, **labels) or 0 for text in texts]


@pytest.fixture
def ports():
    """Two free ports, one behind the other."""
    first = next(port for port in free_ports(20) if _is_free(port + 1))
    return [first, first + 1]


@pytest.mark.parametrize("way", ["Gunicorn", "Preloaded"])
def test_each_worker_shows_its_own_requests_on_a_port_of_its_own(gunicorn, ports, way):
    settings = _program("Gunicorn") + (_program(way) if way == "Preloaded" else "")
    options = ["--preload"] if way == "Preloaded" else []
    process, address, log = gunicorn(settings.replace("9464", str(ports[0])), *options)
    wait_until(lambda: all(_answers(port) for port in ports), within=20, what="both ports listen")
    asked = _ask_until_both_answered(address)
    shown = _shown(ports, COUNT, http_response_status_code="200")
    assert sum(shown) == asked
    assert min(shown) > 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, log.read_text()
    assert "which forked this one" not in log.read_text()


def test_workers_that_replace_others_have_their_ports(gunicorn, ports):
    process, address, _ = gunicorn(_program("Gunicorn").replace("9464", str(ports[0])))

    def starts():
        return _shown(ports, "process_start_time_seconds")

    wait_until(starts, within=20, what="both ports listen")
    before = starts()
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: min(starts(), default=0) > max(before), within=20, what="the new workers have the ports")
    before = starts()
    os.kill(int(requests.get(address, timeout=10).text), signal.SIGKILL)
    wait_until(lambda: max(starts(), default=0) > max(before), within=20, what="another has its port")


def test_workers_of_a_preloaded_monitor_show_their_own_figures_on_the_port_that_they_share(gunicorn):
    process, address, log = gunicorn("", "--preload")
    asked = _ask_until_both_answered(address)
    shown = set()

    def scraped():
        text = requests.get(f"{address}/metrics", timeout=10, headers={"Connection": "close"}).text
        shown.add(Scrape(text).value(COUNT, http_response_status_code="200"))
        return sum(shown) == asked

    if asked % 2 == 0:  # else two equal counts would be one
        requests.get(address, timeout=10)
        asked += 1
    wait_until(scraped, within=20, what="both workers are scraped", every=0.0)
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
