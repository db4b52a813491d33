"""Development servers that reload, as processes of their own: the port shows the process that serves."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from local_stack.process import free_ports, wait_until
from real.exporter.conftest import Scrape

COUNT = "http_server_request_duration_seconds_count"
FLASK = """
import os
from flask import Flask
from rearguard_exporter import Monitor

app = Flask(__name__)
app.get("/")(lambda: "ok")
app.wsgi_app = Monitor(service="shop", version="1").instrument_wsgi(app.wsgi_app)

if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]), debug=True)
"""
MONITOR_FIRST = """
from rearguard_exporter import Monitor

monitor = Monitor(service="shop", version="1")
"""
IMPORTED_LATER = """
from metrics import monitor
from flask import Flask

app = Flask(__name__)
app.get("/")(lambda: "ok")
app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)
"""
SETTINGS = """
from rearguard_exporter import Monitor

MONITOR = Monitor(service="shop", version="1")
ALLOWED_HOSTS, DEBUG, SECRET_KEY, ROOT_URLCONF, USE_TZ = ["*"], True, "x", "urls", True
WSGI_APPLICATION = "wsgi.application"
"""
WSGI = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application

application = settings.MONITOR.instrument_wsgi(get_wsgi_application())
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("ok"))]
"""
DJANGO = {"settings.py": SETTINGS, "wsgi.py": WSGI, "urls.py": URLS}
ASGI = """
import os
import sys
from rearguard_exporter import Monitor

async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

app = Monitor(service="shop", version="1").instrument_asgi(bare)

if __name__ == "__main__":
    port = int(os.environ["PORT"])
    match sys.argv[1]:
        case "uvicorn":
            import uvicorn
            uvicorn.run("shop:app", port=port)
        case "uvicorn-reload":
            import uvicorn
            uvicorn.run("shop:app", port=port, reload=True)
        case "granian":
            from granian import Granian
            Granian("shop:app", port=port, interface="asgi").serve()
        case "hypercorn":
            from hypercorn.config import Config
            from hypercorn.run import run
            config = Config()
            config.bind, config.application_path = [f"127.0.0.1:{port}"], "shop:app"
            run(config)
"""
FASTAPI = """
from fastapi import FastAPI
from rearguard_exporter import Monitor

app = FastAPI()

@app.get("/")
async def hello():
    return "ok"

app.add_middleware(Monitor(service="shop", version="1").instrument_asgi)
"""
# name -> the files, the command, and the file that changes
SERVERS = {
    "flask run": ({"shop.py": FLASK}, "-m flask --app shop run --debug --port {port}", "shop.py"),
    "app.run": ({"shop.py": FLASK}, "shop.py", "shop.py"),
    "Flask is imported last": (
        {"shop.py": IMPORTED_LATER, "metrics.py": MONITOR_FIRST},
        "-m flask --app shop run --debug --port {port}",
        "shop.py",
    ),
    "uvicorn.run, reload": ({"shop.py": ASGI}, "shop.py uvicorn-reload", "shop.py"),
    "fastapi dev": ({"shop.py": FASTAPI}, "-m fastapi dev shop.py --port {port}", "shop.py"),
    "runserver": (DJANGO, "-m django runserver 127.0.0.1:{port}", "urls.py"),
}
# Programs that their server imports once more, in the same process or in a child.
PROGRAMS = {
    f"{server}.run": ({"shop.py": ASGI}, f"shop.py {server}", "shop.py")
    for server in ("uvicorn", "granian", "hypercorn")
}


@pytest.fixture
def served(tmp_path, request):
    """The ports of the application and of the monitor, the file that changes, and the log."""
    files, words, changes = (SERVERS | PROGRAMS)[request.param]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    port, listen = free_ports(2)
    environment = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "PORT": str(port),
        "REARGUARD_LISTEN": f"127.0.0.1:{listen}", "DJANGO_SETTINGS_MODULE": "settings",
    }  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *words.format(port=port).split()],
            cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    yield port, listen, tmp_path / changes, log
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def shown(port, metric):
    """The metric, None without it; -1 while nothing answers."""
    try:
        return Scrape(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text).value(metric)
    except requests.RequestException:
        return -1


def wait_quietly(ask, *, within):
    deadline = time.monotonic() + within
    while not ask() and time.monotonic() < deadline:
        time.sleep(0.05)


def answers(port):
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("served", SERVERS, indirect=True)
def test_the_port_shows_the_process_that_serves_also_after_a_reload(served):
    port, listen, changes, log = served
    wait_until(lambda: answers(port), within=20, what="the application listens")
    requests.get(f"http://127.0.0.1:{port}/", timeout=10)
    wait_until(lambda: shown(listen, COUNT) == 1, within=30, what="the request is shown")
    assert "is taken" not in log.read_text()
    began, deadline = shown(listen, "process_start_time_seconds"), time.monotonic() + 60
    while not shown(listen, "process_start_time_seconds") > began:
        assert time.monotonic() < deadline, log.read_text()
        changes.write_text(changes.read_text() + "\n# changed\n")  # a save before the server watches is not seen
        wait_quietly(lambda: shown(listen, "process_start_time_seconds") > began, within=10)


@pytest.mark.parametrize("served", PROGRAMS, indirect=True)
def test_the_port_shows_the_application_of_a_program_that_is_imported_twice(served):
    port, listen, _, _ = served
    wait_until(lambda: answers(port), within=20, what="the application listens")
    requests.get(f"http://127.0.0.1:{port}/", timeout=10)
    wait_until(lambda: shown(listen, COUNT) == 1, within=30, what="the request is shown")
