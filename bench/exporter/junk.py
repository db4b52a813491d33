"""What junk adds to an exposition, and what importing the exporter takes.

Here: lines after 500 requests of each kind, as children of the histogram; import time over prometheus_client's own.
Never here: requests that are answered well (overhead).
"""

import asyncio
import statistics
import subprocess
import sys
from time import perf_counter

import apps

from rearguard_exporter import Monitor

ROUNDS = 7
BRIEF = {"ROUNDS": 1}


def run(report):
    report.title("children added by 500 junk requests of each kind, Starlette")
    for name, asked in {
        "unmatched paths": lambda number: ("GET", f"/junk/{number}"),
        "invented methods": lambda number: (f"M{number}", "/r1/1"),
        "ids on one route": lambda number: ("GET", f"/r1/{number}"),
    }.items():
        report.goal(name, asyncio.run(_children(asked)), 1)
    report.title("import")
    ours, base = [], []
    for _ in range(ROUNDS):
        base.append(_import("prometheus_client"))
        ours.append(_import("rearguard_exporter"))
    report.goal("ms over prometheus_client's own", statistics.median(ours) - statistics.median(base), 50)


async def _children(asked):
    monitor = Monitor("bench", "1", "test")
    app = monitor.instrument_asgi(apps.starlette(20))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_):
        pass

    for number in range(500):
        method, path = asked(number)
        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
        await app(scope, receive, send)
    await monitor._lifecycle.leave()
    return len(monitor._instruments.http_duration.known())


def _import(module):
    began = perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return (perf_counter() - began) * 1000
