"""Two controllers on PostgreSQL: how long after kill -9 of the leader until the other one leads.

Here: killing, and reading from /metrics who leads. Never here: what the new leader does (the tests do).
"""

import asyncio
import time

from place import Place, metrics

from real import postgres
from rearguard_controller.service.leadership import LEASE

ROUNDS = 3
BRIEF = {"ROUNDS": 1}


def run(report):
    report.title(
        f"fail-over on PostgreSQL, two controllers, kill -9 of the leader, {ROUNDS} times (lease {LEASE:g} s)"
    )
    with postgres.running() as server, Place() as place:
        journal, prometheus = asyncio.run(server.database()), place.prometheus()
        place.remember(journal)
        files = [place.configure(journal, prometheus) for _ in range(2)]
        running = {port: place.controller(file, port) for file, port in files}
        took = []
        for _ in range(ROUNDS):
            leader = _until(lambda: next((port for port in running if _leads(port)), None))
            other = next(port for port in running if port != leader)
            running[leader].kill()
            running[leader].wait()
            began = time.monotonic()
            _until(lambda other=other: _leads(other))
            took.append(time.monotonic() - began)
            file = next(file for file, port in files if port == leader)
            running[leader] = place.controller(file, leader)
        report.note("each: " + ", ".join(f"{each:.1f} s" for each in took))
        report.goal("kill -9 -> the other one leads, longest", max(took), LEASE + 2, unit=" s")


def _until(found, within=60.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.05)  # between two looks, with a deadline
    raise AssertionError("not in time")


def _leads(port):
    return any(line.startswith("rearguard_leader") and line.endswith(" 1.0") for line in metrics(port))
