"""Real servers whose workers share a folder: any of them answers for all, and no request is lost or doubled."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from local_stack.process import free_ports, wait_until
from real.exporter.conftest import Scrape

COUNT = "http_server_request_duration_seconds_count"
APP = """
import os
from pathlib import Path
from aiohttp import web
from prometheus_client import Counter
from rearguard_exporter import Monitor

ORDERS = Counter("orders", "Orders taken.")

def hello(environ, start_response):
    ORDERS.inc()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

async def hello_async(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

async def hello_aiohttp(request):
    return web.Response(text=str(os.getpid()))

async def aiohttp_app():
    app = web.Application()
    app.router.add_get("/", hello_aiohttp)
    monitor.instrument_aiohttp(app)
    return app

monitor = Monitor("shop", Path("version").read_text(), "test")
app = monitor.instrument_wsgi(hello)
asgi = monitor.instrument_asgi(hello_async)
"""
UWSGI = Path(sys.executable).with_name("uwsgi")
UVICORN = ["-m", "uvicorn", "--workers", "3", "shop:asgi", "--log-level", "warning"]


class Server:
    """A server with several workers, and what it answered."""

    def __init__(self, folder, port, process):
        self.folder, self.port, self.process = folder, port, process
        self.answered, self.pids = 0, []

    def get(self, path):
        """The body; nothing if the worker was killed meanwhile."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def ask(self, times):
        """Ask so often; every answer counts."""
        for _ in range(times):
            body = self.get("/")
            if body.isdigit():
                self.answered += 1
                self.pids.append(int(body))

    def scrape(self):
        return wait_until(lambda: self.get("/metrics"), within=20, what="a worker answers the scrape")

    def counted(self):
        return Scrape(self.scrape()).value(COUNT, http_response_status_code="200") or 0

    def log(self):
        return (self.folder / "log").read_text()


@pytest.fixture
def serve(tmp_path):
    """Starts a server with the arguments of `python`; its port follows them."""
    running = []
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "version").write_text("1.0")

    def start(words, port_option="-b", **environment):
        [port] = free_ports(1)
        address = ["--port", str(port)] if port_option == "--port" else [port_option, f"127.0.0.1:{port}"]
        with (tmp_path / "log").open("wb") as out:
            program = [] if words[0] == str(UWSGI) else [sys.executable]
            process = subprocess.Popen(
                [*program, *words, *address], cwd=tmp_path, stdout=out, stderr=out,
                env={"PATH": "/usr/bin:/bin", "REARGUARD_WORKERS_DIR": str(tmp_path / "workers"), **environment},
            )  # fmt: skip
        running.append(process)
        server = Server(tmp_path, port, process)
        wait_until(lambda: server.get("/healthz"), within=30, what="the server answers")
        return server

    yield start
    for process in running:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def gunicorn(*options):
    return ["-m", "gunicorn", "-w", "4", "--graceful-timeout", "5", *options, "shop:app"]


UVICORN_WORKER = [*gunicorn("-k", "uvicorn_worker.UvicornWorker")[:-1], "shop:asgi"]
AIOHTTP_WORKER = [*gunicorn("-k", "aiohttp.GunicornWebWorker")[:-1], "shop:aiohttp_app"]
UWSGI_MASTER = [
    str(UWSGI), "--master", "--processes", "3", "--module", "shop:app", "--virtualenv", sys.prefix, "--die-on-term",
]  # fmt: skip


def port_option(words):
    """How this server is told its address."""
    if words is UVICORN:
        return "--port"
    return "--http-socket" if words is UWSGI_MASTER else "-b"


@pytest.mark.parametrize(
    "words",
    [
        gunicorn(),
        gunicorn("-k", "gthread", "--threads", "4"),
        gunicorn("--preload"),
        UVICORN_WORKER,
        UVICORN,
        AIOHTTP_WORKER,
        UWSGI_MASTER,
    ],
    ids=["sync", "gthread", "preload", "uvicorn worker", "uvicorn", "aiohttp worker", "uWSGI"],
)
def test_any_worker_answers_for_all_of_them(serve, words):
    server = serve(words, port_option(words))

    def asked():
        server.ask(10)
        return len(set(server.pids)) >= 2

    wait_until(asked, within=30, what="two workers answered")
    for _ in range(8):
        shown = Scrape(server.scrape())
        assert shown.value(COUNT, http_response_status_code="200") == server.answered
        assert len(shown.all("target_info")) == 1
        assert shown.value("http_server_active_requests") == 0
    workers = shown.value("rearguard_exporter_workers", service_version="1.0")
    assert 2 <= workers <= 4
    memory = [sample.value for sample in shown.all("process_worker_memory_usage_bytes")]
    assert len(memory) == workers
    assert shown.value("process_resident_memory_bytes") == sum(memory)
    assert "rearguard_exporter:" not in server.log()


@pytest.mark.parametrize(
    "words",
    [
        gunicorn(),
        pytest.param(gunicorn("--preload"), marks=pytest.mark.soak),
        pytest.param(gunicorn("-k", "gthread", "--threads", "4"), marks=pytest.mark.soak),
        pytest.param(gunicorn("-k", "gevent"), marks=pytest.mark.soak),
        pytest.param(UVICORN_WORKER, marks=pytest.mark.soak),
        pytest.param(UVICORN, marks=pytest.mark.soak),
        pytest.param(AIOHTTP_WORKER, marks=pytest.mark.soak),
        pytest.param(UWSGI_MASTER, marks=pytest.mark.soak),
    ],
    ids=["sync", "preload", "gthread", "gevent", "uvicorn worker", "uvicorn", "aiohttp worker", "uWSGI"],
)
def test_workers_that_are_killed_under_load_lose_and_double_nothing(serve, words):
    server = serve(words, port_option(words))
    lost, over = [], threading.Event()

    def load():
        while not over.is_set():
            body = server.get("/")
            if body.isdigit():
                server.pids.append(int(body))
            else:
                lost.append(1)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    shown, killed = [0.0], 0
    until = time.monotonic() + 4
    while time.monotonic() < until or (killed <= 5 and time.monotonic() < until + 30):
        time.sleep(0.2)
        if server.pids:
            try:
                os.kill(server.pids[-1], signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        shown.append(server.counted())
    over.set()
    for thread in threads:
        thread.join()
    assert killed > 5
    assert shown == sorted(shown), server.log()  # or a rate would count a restart
    # What was cut off may have been counted: the worker was killed between the count and the answer.
    assert len(server.pids) <= server.counted() <= len(server.pids) + len(lost)
    assert "rearguard_exporter:" not in server.log()


def test_workers_that_are_recycled_stay_counted_and_leave_no_files(serve):
    server = serve(gunicorn("--max-requests", "5"))
    server.ask(60)
    assert len(set(server.pids)) > 8
    assert server.answered == 60
    shown = Scrape(server.scrape())
    assert shown.value(COUNT, http_response_status_code="200") == 60
    assert shown.value("process_cpu_seconds_total") > 1  # of all of them, also those that ended
    assert len(list((server.folder / "workers").iterdir())) <= 7  # four workers, one that ends, archive and lock


def test_the_application_s_own_counters_are_added_up_over_workers_that_end(serve):
    server = serve(gunicorn("--max-requests", "20"))
    server.ask(50)
    wait_until(
        lambda: Scrape(server.scrape()).value("orders_total") == server.answered, within=20, what="all are shared"
    )
    assert len(set(server.pids)) > 2


def test_a_reload_with_another_version_shows_the_new_one_from_zero(serve):
    server = serve(gunicorn())
    server.ask(20)
    assert server.counted() == 20
    (server.folder / "version").write_text("2.0")
    server.process.send_signal(signal.SIGHUP)

    def is_new():
        server.get("/")
        shown = Scrape(server.scrape())
        is_there = shown.value("target_info", service_version="2.0")
        return is_there and shown.value(COUNT, http_response_status_code="200") is not None

    wait_until(is_new, within=60, what="a worker of the new version is shown, and has counted")
    shown = Scrape(server.scrape())
    assert len(shown.all("target_info")) == 1
    assert 0 < shown.value(COUNT, http_response_status_code="200") < 20 + len(server.pids)
    server.process.send_signal(signal.SIGHUP)  # the same version again: counts go on
    before = server.counted()
    time.sleep(1)
    server.ask(10)
    assert server.counted() >= before + 10
