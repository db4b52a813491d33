"""Addresses of several processes, by a real gunicorn or history: a real Prometheus sees them, and nothing else."""

import asyncio
import contextlib
import subprocess
import sys
import time

import pytest
import requests
import yaml

from local_stack.binaries import ROOT
from local_stack.process import free_ports, wait_until
from real.controller.past import Past, remembered
from real.prometheus import running
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.watching import one_process
from unit.controller.factories import target

APP = """
import os
from rearguard_exporter import Monitor

def answer(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        os._exit(1)
    start_response("200 OK", [])
    return [b"x" * 1000 if sum(range(200_000)) else b""]  # some processor time

app = Monitor(os.environ["NAME"], "v1", "production").instrument_wsgi(answer)
"""
NAMES = ("workers", "crashing", "single", "east", "west")
DEADLINE = 120.0


@contextlib.contextmanager
def gunicorn(folder, name, port, workers):
    """Serves APP under this name."""
    (folder / "shop.py").write_text(APP)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-w", str(workers), "-b", f"127.0.0.1:{port}", "shop:app"],
            cwd=folder, env={"PATH": "/usr/bin:/bin", "NAME": name}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: answers(port), within=30, what=f"{name} listens")
        yield
    finally:
        process.terminate()  # not killed: its workers would go on for a while
        process.wait(20)


def answers(port, path="/"):
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=30).ok
    return False


def scraped(job, port, **labels):
    return {
        "job_name": job,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": f"{job}:80", **labels}}],
    }


@pytest.fixture
def world(tmp_path):
    """Ports by name, and the address of a Prometheus that scrapes them; east and west share a job and an instance."""
    ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    shared = scraped("clusters", ports["east"], cluster="east")
    shared["static_configs"] += scraped("clusters", ports["west"], cluster="west")["static_configs"]
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
        "rule_files": [str(ROOT / "rules" / f"{name}.yml") for name in ("thresholds", "recording", "release")],
        "scrape_configs": [*(scraped(name, ports[name]) for name in ("workers", "crashing", "single")), shared],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(gunicorn(tmp_path, name, port, 2 if name == "workers" else 1))
        yield ports, stack.enter_context(running(tmp_path)), tmp_path


async def test_workers_and_shared_labels_are_seen_and_restarts_are_not(world):
    ports, address, folder = world
    prometheus = Prometheus(PrometheusSettings((address,)))
    found, checks = one_process.Shared(), {}
    ends, crashes = time.monotonic() + DEADLINE, 0
    try:
        while time.monotonic() < ends:
            for name in NAMES:
                await asyncio.to_thread(answers, ports[name])
            if crashes < 8:  # a crash loop of more than the falls that workers need
                await asyncio.to_thread(answers, ports["crashing"], "/crash")
                crashes += 1
            found = await one_process.read(prometheus, time.time())
            assert found is not None
            checks = {
                name: one_process.check(target(match=({"job": name},)), [(name, f"{name}:80")], found)
                for name in ("workers", "crashing", "single", "clusters")
            }
            if checks["workers"].holds is False and checks["clusters"].holds is False and crashes == 8:
                break
            await asyncio.sleep(1)
    finally:
        await prometheus.close()
    assert {name: check.holds for name, check in checks.items()} == {
        "workers": False,
        "crashing": True,
        "single": True,
        "clusters": False,
    }
    assert "east v1 and west v1" in checks["clusters"].detail
    assert "in turn" in checks["workers"].detail
    said = {name: (folder / f"{name}.log").read_text().count("shares with other processes") for name in NAMES}
    assert said == {"workers": 2, "crashing": 0, "single": 0, "east": 0, "west": 0}  # each worker once


async def test_workers_that_began_at_the_same_time_are_seen_by_what_they_count(tmp_path):
    past, end = Past(tmp_path), time.time() // 5 * 5
    for number in range(60):  # five minutes, a scrape every 5 s
        at = end - 5.0 * (59 - number)
        began, life = end - 1000.0, number % 12  # in the crash loop: a restart a minute
        shown = {
            "workers": ({}, began, (100.0, 7.0)[number // 2 % 2] + number),
            "crashing": ({}, at - 5 * life, float(life)),
            "steady": ({}, began, float(number)),
            "east": ({"job": "clusters", "cluster": "east"}, began, float(number)),
            "west": ({"job": "clusters", "cluster": "west"}, began + 100, float(number)),
        }
        for name, (own, start, count) in shown.items():
            labels = {"job": name, "instance": f"{own.get('job', name)}:80", **own}
            past.add("process_start_time_seconds", labels, at, at, start)
            past.add("process_cpu_seconds_total", labels, at, at, count)
    with remembered(past, "groups: []") as address:
        prometheus = Prometheus(PrometheusSettings((address,)))
        try:
            found = await one_process.read(prometheus, end)
        finally:
            await prometheus.close()
    assert found is not None
    assert found.in_turn == {("workers", "workers:80")}
