"""Workers of rq and Celery as processes of their own: jobs in forked processes, and the ways that the README has."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
import requests
from celery import Celery
from fakeredis import TcpFakeServer
from redis import Redis
from rq import Queue

from local_stack.binaries import ROOT
from local_stack.process import free_ports, wait_until
from real.exporter.conftest import Scrape

COUNT = "db_client_operation_duration_seconds_count"
UNSEEN = "nothing shows it"
README = (ROOT / "exporter" / "README.md").read_text()
SHOP = """
import os
from rearguard_exporter import Monitor
from sqlalchemy import create_engine, text

monitor = Monitor("jobs", "1.0", "test", listen=os.environ.get("JOBS_LISTEN"))
engine = create_engine("sqlite:///jobs.db")
monitor.instrument_sqlalchemy(engine, "jobs")


def work():
    with engine.connect() as connection:
        connection.execute(text("select 1"))
"""
RQ = """
import sys
import rq, shop
from redis import Redis

connection = Redis(port=int(sys.argv[1]))
connection.set_response_callback("CLIENT INFO", lambda *_, **__: {"addr": "127.0.0.1:1"})  # the fake server has none
getattr(rq, sys.argv[2])(["default"], connection=connection).work()
"""
CELERY = """
from celery import Celery
import shop

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "jobs", "data_folder_out": "jobs", "control_folder": "control"}
app.task(shop.work, name="work")
"""


@pytest.fixture
def start(tmp_path):
    """Starts a worker in a folder of its own; returns a function that reads its log."""
    running = []
    (tmp_path / "shop.py").write_text(SHOP)

    def start(*words, listen=None):
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
        if listen is not None:
            environment["JOBS_LISTEN"] = f"127.0.0.1:{listen}"
        with (tmp_path / "log").open("wb") as out:
            running.append(
                subprocess.Popen(
                    [sys.executable, *words],
                    cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True,
                )
            )  # fmt: skip
        return (tmp_path / "log").read_text

    yield start
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)  # with its pool: nothing of theirs is wanted
        process.wait()


@pytest.fixture
def redis():
    """The port of a server that speaks Redis."""
    [port] = free_ports(1)
    server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield port
    server.shutdown()
    server.server_close()


def statements(*ports):
    """How many each port shows; -1 where nothing answers."""

    def shown(port):
        try:
            return Scrape(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text).value(COUNT) or 0
        except requests.RequestException:
            return -1

    return [shown(port) for port in ports]


def _is_free(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_rq_says_once_that_jobs_in_processes_of_their_own_are_unseen_and_shows_those_of_a_simple_worker(
    start, redis, tmp_path, kind
):
    (tmp_path / "worker.py").write_text(RQ)
    [listen] = free_ports(1)
    said = start("worker.py", str(redis), kind, listen=listen)
    queue = Queue(connection=Redis(port=redis))
    jobs = [queue.enqueue("shop.work") for _ in range(3)]
    wait_until(lambda: all(job.get_status(refresh=True) == "finished" for job in jobs), within=30, what="the jobs")
    assert statements(listen) == [3 if kind == "SimpleWorker" else 0]
    assert said().count(UNSEEN) == (kind == "Worker")


@pytest.mark.parametrize("way", ["bare", "README"])
def test_celery_says_once_that_its_processes_are_unseen_and_shows_each_on_a_port_of_its_own(start, tmp_path, way):
    first = next(port for port in free_ports(20) if _is_free(port + 1))
    (recipe,) = re.findall(r"^\*\*Celery\*\*.*?```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (tmp_path / "tasks.py").write_text(CELERY + (recipe.replace("9464", str(first)) if way == "README" else ""))
    for folder in ("jobs", "control"):
        (tmp_path / folder).mkdir()
    said = start("-m", "celery", "-A", "tasks", "worker", "--concurrency", "2", "--loglevel", "INFO")
    app = Celery("tasks", broker="filesystem://")
    folder = str(tmp_path / "jobs")
    app.conf.broker_transport_options = {
        "data_folder_in": folder, "data_folder_out": folder, "control_folder": str(tmp_path / "control"),
    }  # fmt: skip
    for _ in range(6):
        app.send_task("work")
    wait_until(lambda: said().count("succeeded in") == 6, within=30, what="the jobs")
    if way == "README":
        assert sum(statements(first, first + 1)) == 6
    assert said().count(UNSEEN) == (way == "bare")
