"""Five thousand targets under one controller, a hundred of them young: what polls, answers and a decision cost.

Here: one process, SQLite and PostgreSQL, against the stand-in for Prometheus. So the figures are the controller's
alone; what the rules cost is Prometheus' own time, see docs/fleet.md.
Never here: several replicas.
"""

import asyncio
import json
import statistics
import time
import urllib.request
from pathlib import Path

import asyncpg
from pages import _ask as ask
from place import Place, memory, metrics, processor
from storm import fire

from real import postgres

TARGETS, YOUNG, SECONDS, TIMES = 5000, 100, 120, 15
LESS = 500  # targets of the run beside it: as many questions are asked of them
BRIEF = {"TARGETS": 40, "YOUNG": 5, "SECONDS": 5, "TIMES": 2, "LESS": 10}
POLL = 15.0  # seconds between polls
GIVE_UP = 180.0  # seconds for a first poll, and for a decision
CALM = 1e6  # bytes written between two polls: less is no start any more
BASE = "/api/monitoring"


def run(report):
    fewer = _questions(LESS)
    for store in ("SQLite", "PostgreSQL"):
        report.title(f"a fleet of {TARGETS} targets, {YOUNG} of them young, {store}")
        with Place(TARGETS, YOUNG) as place:
            if store == "SQLite":
                _measure(report, place, str(place.folder / "journal.db"), fewer)
            else:
                with postgres.running() as server:
                    _measure(report, place, asyncio.run(server.database()), fewer)


def _measure(report, place, journal, fewer):
    place.remember(journal)
    prometheus = place.prometheus()
    file, port = place.configure(journal, prometheus, mode="observe", poll=f"{POLL:g}s")
    began = time.monotonic()
    leader = place.controller(file, port)
    listens = time.monotonic() - began
    first = _polled(port)
    report.goal("start until it listens", listens, 10, unit=" s")
    report.note(f"the first poll was over {time.monotonic() - began:.1f} s after the start; it lasted {first:.1f} s")
    report.note(f"each target's record was written {_settled(leader, journal, began):.0f} s after the start")
    cpu, written, asked, at = processor(leader), _written(leader, journal), _asked(prometheus), time.monotonic()
    lasted = []
    while time.monotonic() - at < SECONDS:
        lasted.append(_gauge(port, "rearguard_poll_seconds"))
        time.sleep(POLL / 3)  # nothing happens meanwhile: that is what is measured
    passed = time.monotonic() - at
    report.goal("poll, the longest", max(lasted), 5, unit=" s")
    each = (_asked(prometheus) - asked) / (passed / POLL)
    report.goal("questions for each poll", each, 40)
    report.note(f"the same of {LESS} targets: {fewer:.1f}")
    report.goal("of a core", 100 * (processor(leader) - cpu) / passed, 100, unit=" %")
    report.goal("written", (_written(leader, journal) - written) / 1e6 / (passed / 60), 1, unit=" MB/min")
    for name, path in (("status", f"{BASE}/rollback/status"), ("overview page", "/"), ("/metrics", "/metrics")):
        took = statistics.median(ask(port, path)[0] for _ in range(TIMES))
        report.goal(f"{name}, median", took, 1000 if path == "/metrics" else 300, unit=" ms")
    report.goal("alert in Prometheus -> decision, no webhook", _decided(port, prometheus), POLL + 5, unit=" s")
    report.goal("resident memory at its highest", memory(leader), 500, unit=" MB")


def _questions(many):
    """Questions for each poll of so many targets that are calm, but for as many young ones as elsewhere."""
    with Place(many, min(YOUNG, many // 2)) as place:
        journal, prometheus = str(place.folder / "journal.db"), place.prometheus()
        place.remember(journal)
        file, port = place.configure(journal, prometheus, mode="observe", poll=f"{POLL:g}s")
        place.controller(file, port)
        _polled(port)
        time.sleep(2 * POLL)  # as above
        before, at = _asked(prometheus), time.monotonic()
        time.sleep(min(SECONDS, 4 * POLL))  # nothing happens meanwhile
        return (_asked(prometheus) - before) / ((time.monotonic() - at) / POLL)


def _polled(port):
    """How long the first poll lasted, once it is over."""
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:  # our own
            if json.loads(answer.read())["prometheus_age_s"] is not None:
                return _gauge(port, "rearguard_poll_seconds")
        time.sleep(0.1)  # between two looks, with a deadline
    raise AssertionError(f"no poll within {GIVE_UP:g} s")


def _settled(process, journal, began):
    """Seconds from the start until what follows it is over: each target is looked at once, and its record written."""
    while time.monotonic() - began < GIVE_UP:
        before = _written(process, journal)
        time.sleep(POLL)  # between two looks, with a deadline
        if _written(process, journal) - before < CALM:
            break
    return time.monotonic() - began


def _decided(port, prometheus):
    """Seconds from an alert of a young target that Prometheus shows until its decision is in the history."""
    asyncio.run(fire(prometheus, 1))
    began = time.monotonic()
    while time.monotonic() - began < GIVE_UP:
        found = json.loads(ask(port, f"{BASE}/decisions?limit=1")[1])
        if found["decisions"]:
            return time.monotonic() - began
        time.sleep(0.1)  # between two looks, with a deadline
    raise AssertionError(f"no decision within {GIVE_UP:g} s")


def _gauge(port, name):
    return next(float(line.split()[1]) for line in metrics(port) if line.startswith(f"{name} "))


def _asked(prometheus):
    with urllib.request.urlopen(f"{prometheus}/asked", timeout=30) as answer:  # noqa: S310  # our own
        return sum(json.loads(answer.read()).values())


def _written(process, journal):
    """Bytes written so far: by the process, or by PostgreSQL into its log."""
    if journal.startswith("postgresql:"):
        return asyncio.run(_log_position(journal))
    lines = Path(f"/proc/{process.pid}/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


async def _log_position(journal):
    connection = await asyncpg.connect(journal)
    try:
        return int(await connection.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn"))
    finally:
        await connection.close()
