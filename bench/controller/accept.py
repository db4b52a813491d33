"""Accepting one alert durably: the controller against the group-commit floor, on SQLite and on PostgreSQL.

Here: wrk on both in turn, rounds interleaved, medians of the rounds. The alert belongs to no target, so that what is
measured is accepting; it is judged meanwhile all the same, as in life.
Never here: the floor itself (floor.py).
"""

import asyncio
import json
import re
import subprocess
import sys

import programs
from place import HERE, Place, free_port
from report import medians

from local_stack import binaries
from real import postgres

ROUNDS = 3
SECONDS = 3
BRIEF = {"ROUNDS": 1, "SECONDS": 1}
PATH = "/webhook/alertmanager"
BODY = json.dumps(
    {
        "version": "4", "status": "firing", "receiver": "rearguard", "groupKey": '{}:{alertname="HighErrorRate"}',
        "groupLabels": {"alertname": "HighErrorRate"}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093", "truncatedAlerts": 0,
        "alerts": [
            {
                "status": "firing",
                "labels": {
                    "alertname": "HighErrorRate", "severity": "critical", "service_name": "elsewhere",
                    "deployment_environment_name": "production", "service_version": "v2",
                },
                "annotations": {"summary": "More than 10 % of requests fail.", "description": "30 % for 5 minutes."},
                "startsAt": "2026-01-01T00:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus:9090/graph?g0.expr=x", "fingerprint": "00000000000000ab",
            }
        ],
    }
)  # fmt: skip
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def run(report):
    for store in ("SQLite", "PostgreSQL"):
        report.title(f"webhook accepted, 1 alert, {store} ({ROUNDS} rounds of {SECONDS} s, interleaved, medians)")
        with Place() as place:
            if store == "SQLite":
                measure(report, place, str(place.folder / "floor.db"), str(place.folder / "journal.db"))
            else:
                with postgres.running() as server:
                    measure(report, place, asyncio.run(server.database()), asyncio.run(server.database()))


def measure(report, place, of_floor, of_controller):
    floor = free_port()
    floor_process = place.start(sys.executable, HERE / "floor.py", floor, of_floor, listens=floor)
    file, port = place.configure(of_controller, place.prometheus())
    process = place.controller(file, port)
    script = place.folder / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{BODY}]==]\n'
    )
    rounds = {(who, many): [] for who in ("floor", "controller") for many in (1, 32)}
    for _ in range(ROUNDS):
        for (who, many), results in rounds.items():
            results.append(wrk(script, {"floor": floor, "controller": port}[who], many))
    process.terminate()
    floor_process.terminate()
    found = {key: medians(each) for key, each in rounds.items()}
    for (who, many), (rate, p50, p99) in found.items():
        report.note(f"{who:10} {many:2} connections: {rate:6.0f}/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms")
    one, base = found["controller", 1], found["floor", 1]
    report.goal("p50 against the floor, 1 connection", one[1] / base[1], 1.5, unit=" x")
    report.goal("p99 against the floor, 1 connection", one[2] / base[2], 2, unit=" x")
    share = 100 * found["controller", 32][0] / found["floor", 32][0]
    report.goal("requests/s of the floor's, 32 connections", share, 70, unit=" %", at_least=True)


def wrk(script, port, connections):
    """Requests/s, p50 and p99 in ms; every request must be answered, with a success."""
    words = ["-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", script, f"http://127.0.0.1:{port}{PATH}"]
    done = subprocess.run(
        [programs.find("wrk"), *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=binaries.environment(),
    )
    assert "Non-2xx" not in done.stdout, done.stdout
    assert "Socket errors" not in done.stdout, (
        done.stdout
    )  # wrk says so, time-outs included, only where there are some
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])
    return rate, *(_milliseconds(re.search(rf"(?m)^\s+{share}%\s+(\S+)", done.stdout)[1]) for share in (50, 99))


def _milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * _UNITS[unit]
