"""10,000 firing alerts over 20 targets, delivered within ten seconds: is one lost, how long until all are judged?

Here: the storm, against one controller that acts. A delivery is Alertmanager's: one group, up to 50 alerts; what is
answered 503 is delivered again, as Alertmanager does.
Never here: judging whether the decisions were right (the tests do).
"""

import asyncio
import json
import sqlite3
import time

import aiohttp
from place import Place, memory
from stand_in import ANNOTATIONS, labels

ALERTS = 10_000
TARGETS = 20
WITHIN = 10.0  # seconds in which the alerts are sent
IN_ONE = 50  # alerts of one delivery
GIVE_UP = 90.0  # seconds


def bodies():
    for first in range(0, ALERTS, IN_ONE):
        alerts = [
            {
                "status": "firing",
                "labels": labels(n, TARGETS),
                "annotations": ANNOTATIONS,
                "startsAt": "2026-01-01T00:00:00Z",
            }
            for n in range(first, first + IN_ONE)
        ]
        yield json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


async def send(url):
    """Deliver at an even pace; returns the time each took from when it was due until it was accepted."""
    took, waiting = [], list(bodies())
    began = time.monotonic()

    async def deliver(session, number, body):
        due = began + WITHIN * number / len(waiting)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        while True:
            async with session.post(url, data=body) as response:
                if response.status == 202:
                    break
                assert response.status == 503, await response.text()
            await asyncio.sleep(1.0)
        took.append(time.monotonic() - due)

    async with aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=64)) as session:
        await asyncio.gather(*(deliver(session, number, body) for number, body in enumerate(waiting)))
    return took


def run(report):
    report.title(f"storm: {ALERTS} firing alerts over {TARGETS} targets within {WITHIN:g} s, SQLite")
    with Place(TARGETS) as place:
        journal, prometheus = str(place.folder / "journal.db"), place.prometheus()
        place.remember(journal)
        file, port = place.configure(journal, prometheus)
        process = place.controller(file, port)
        asyncio.run(fire(prometheus, ALERTS))
        began = time.monotonic()
        took = asyncio.run(send(f"http://127.0.0.1:{port}/webhook/alertmanager"))
        sent = time.monotonic() - began
        judged = until_judged(journal, process, began)
        with sqlite3.connect(journal) as connection:
            (inbox, decisions, opened) = (
                connection.execute(f"select count(*) from {what}").fetchone()[0]  # noqa: S608  # our own words
                for what in ("inbox", "decisions", "rollbacks")
            )
            alerts = "count(distinct json_extract(body, '$.alert.labels.pod'))"
            (with_decision,) = connection.execute(f"select {alerts} from decisions").fetchone()  # noqa: S608
        report.goal("alerts lost", ALERTS - inbox, 0)
        report.goal("alerts without a decision", ALERTS - with_decision, 0)
        report.goal("slowest delivery, due -> accepted", max(took), 5, unit=" s")
        report.goal("last alert sent -> every alert judged", max(0.0, judged - sent), 15, unit=" s")
        report.goal("resident memory at its highest", memory(process), 200, unit=" MB")
        report.note(f"sent in {sent:.1f} s; {decisions} decisions, {opened} rollbacks")


async def fire(prometheus, alerts):
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(f"{prometheus}/fire?alerts={alerts}") as answer,
    ):
        assert answer.status == 200


def until_judged(journal, process, began):
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        while process.poll() is None and time.monotonic() - began < GIVE_UP:
            (left,) = connection.execute("select count(*) from inbox where judged_at is null").fetchone()
            if left == 0:
                return time.monotonic() - began
            time.sleep(0.1)  # between two looks, with a deadline
    raise AssertionError(f"{left} alerts were not judged")
