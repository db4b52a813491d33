"""10,000 firing alerts, delivered within ten seconds: is one lost, how long until each is judged?

Here: the storm, over 20 targets that all were deployed just now, and over 2,000 of which 100 were: then so many are
in trouble that nothing may be done. Against one controller that acts. A delivery is Alertmanager's: one group, up to
50 alerts; what is answered 503 is delivered again, as Alertmanager does. The journal is watched meanwhile: an alert
is decided when its decision can be read there, and its time runs from when its own delivery was due.
Never here: judging whether the decisions were right (the tests do).
"""

import asyncio
import json
import sqlite3
import threading
import time

import aiohttp
from place import Place, memory, processor, until_calm
from report import quantile
from stand_in import ANNOTATIONS, labels

ALERTS = 10_000
TARGETS = 20
WIDE, YOUNG = 2000, 100  # targets of the wide storm, and those of them that were deployed just now
WITHIN = 10.0  # seconds in which the alerts are sent
IN_ONE = 50  # alerts of one delivery
GIVE_UP = 90.0  # seconds
BRIEF = {"ALERTS": 100, "TARGETS": 2, "WIDE": 50, "YOUNG": 5, "WITHIN": 1.0, "GIVE_UP": 300.0}
LOOK_EVERY = 0.2  # seconds between two looks into the journal: by so much the figures are too high


def bodies(targets, young):
    for first in range(0, ALERTS, IN_ONE):
        alerts = [
            {
                "status": "firing",
                "labels": labels(n, targets, young),
                "annotations": ANNOTATIONS,
                "startsAt": "2026-01-01T00:00:00Z",
            }
            for n in range(first, first + IN_ONE)
        ]
        yield json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


async def send(url, began, waiting):
    """Deliver at an even pace; returns the time each took from when it was due until it was accepted."""
    took = []

    async def deliver(session, number, body):
        await asyncio.sleep(max(0.0, due(began, number) - time.monotonic()))
        while True:
            async with session.post(url, data=body) as response:
                if response.status == 202:
                    break
                assert response.status == 503, await response.text()
            await asyncio.sleep(1.0)
        took.append(time.monotonic() - due(began, number))

    async with aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=64)) as session:
        await asyncio.gather(*(deliver(session, number, body) for number, body in enumerate(waiting)))
    return took


def due(began, delivery):
    return began + WITHIN * delivery * IN_ONE / ALERTS


async def storm(url, journal, process, waiting):
    """The time each delivery took, when the last had been accepted, and when each alert (by its pod) was decided."""
    began, accepted = time.monotonic(), threading.Event()
    watching = asyncio.create_task(asyncio.to_thread(until_judged, journal, process, began, accepted))
    try:
        took = await send(url, began, waiting)
    finally:
        accepted.set()
    sent = time.monotonic() - began
    return took, sent, {pod: at - began for pod, at in (await watching).items()}


def run(report):
    _measure(report, TARGETS, TARGETS, memory_goal=200)
    _measure(report, WIDE, YOUNG, memory_goal=500, storm=3)


def _measure(report, targets, young, *, memory_goal, **settings):
    report.title(f"storm: {ALERTS} firing alerts over {targets} targets within {WITHIN:g} s, SQLite")
    with Place(targets, young) as place:
        journal, prometheus = str(place.folder / "journal.db"), place.prometheus()
        place.remember(journal)
        file, port = place.configure(journal, prometheus, **settings)
        process = place.controller(file, port)
        if young < targets:
            until_calm(process, port)
        asyncio.run(fire(prometheus, ALERTS))
        url = f"http://127.0.0.1:{port}/webhook/alertmanager"
        waiting, before = list(bodies(targets, young)), processor(process)
        took, sent, decided = asyncio.run(storm(url, journal, process, waiting))
        pods = (labels(n, targets)["pod"] for n in range(ALERTS))
        waited = [at - due(0, n // IN_ONE) for n, pod in enumerate(pods) if (at := decided.get(pod))]
        with sqlite3.connect(journal) as connection:
            (inbox, decisions, opened) = (
                connection.execute(f"select count(*) from {what}").fetchone()[0]  # noqa: S608  # our own words
                for what in ("inbox", "decisions", "rollbacks")
            )
        report.goal("alerts lost", ALERTS - inbox, 0)
        report.goal("alerts without a decision", ALERTS - len(waited), 0)
        report.goal("slowest delivery, due -> accepted", max(took), 5, unit=" s")
        report.goal("slowest alert, sent -> decided", max(waited), 15, unit=" s")
        report.goal("resident memory at its highest", memory(process), memory_goal, unit=" MB")
        report.note(f"sent -> decided: p50 {quantile(waited, 0.5):.1f} s, p99 {quantile(waited, 0.99):.1f} s")
        report.note(f"sent in {sent:.1f} s; {decisions} decisions, {opened} rollbacks")
        report.note(f"processor time of the controller: {processor(process) - before:.1f} s")


async def fire(prometheus, alerts):
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(f"{prometheus}/fire?alerts={alerts}") as answer,
    ):
        assert answer.status == 200


def until_judged(journal, process, began, accepted):
    """When the first decision on each alert was seen, once all have been accepted and judged."""
    seen, last = {}, 0
    newer = "select seq, json_extract(body, '$.alert.labels.pod') from decisions where seq > ? order by seq"
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        while process.poll() is None and time.monotonic() - began < GIVE_UP:
            complete = accepted.is_set()
            (left,) = connection.execute("select count(*) from inbox where judged_at is null").fetchone()
            rows = connection.execute(newer, (last,)).fetchall()
            now = time.monotonic()
            for last, pod in rows:  # noqa: B007  # the newest one is remembered
                seen.setdefault(pod, now)
            if complete and left == 0:
                return seen
            time.sleep(LOOK_EVERY)
    raise AssertionError(f"{left} alerts were not judged")
