"""Answers just below the limits: the event loop goes on meanwhile, and a leader on PostgreSQL keeps its lease."""

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter

import pytest
from aiohttp import web

from real import postgres
from real.controller.hosted import hosted
from real.controller.served import CONFIGURATION
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.journal.postgres.store import PostgresJournal

TEXT = CONFIGURATION.replace("poll_interval: 1h", "poll_interval: 1s").replace(
    "mode: act", "mode: observe, alerts: {{action: rollback}}"
)
LABELS = {"service_name": "checkout", "deployment_environment_name": "production", "service_version": "v2"}
TEXTS = {"figure": "deep:errors", "threshold": "> 0.1"}
SINCE = "2026-01-01T00:00:00Z"
DEADLINE = 400.0  # seconds, on a busy machine
LONGEST = 1.0  # seconds of processor time of this process for which the loop may stand still; a lease has 15


def alert(number):
    labels = {"alertname": "ReleaseErrorRate", "action": "rollback", **LABELS, "pod": f"p{number}"}
    return {"labels": labels, "annotations": TEXTS, "state": "firing", "activeAt": SINCE, "value": "1"}


def trigger():
    return {
        "type": "alerting", "name": "ReleaseErrorRate", "query": "deep:errors > 0.1", "duration": 0,
        "labels": {"action": "rollback"}, "annotations": TEXTS, "health": "ok",
    }  # fmt: skip


def recorded(number):
    return {"type": "recording", "name": f"r{number}", "query": f"r{number + 1} + r{number + 2}", "health": "ok"}


def few(path, asked, now):
    """What a small Prometheus answers."""
    instance = {**LABELS, "job": "j", "instance": "i0"}
    if path == "/api/v1/alerts":
        return {"alerts": [alert(number) for number in range(3)]}
    if path == "/api/v1/rules":
        return {"groups": [{"name": "g", "interval": 1, "rules": [trigger()]}]}
    if path == "/api/v1/targets":
        return {"activeTargets": [{"labels": {"job": "j", "instance": "i0"}, "scrapeInterval": "5s"}]}
    if path == "/api/v1/query_range":
        values = [[float(asked["start"]), "0.3"], [float(asked["end"]), "0.3"]]
        return {"resultType": "matrix", "result": [{"metric": instance, "values": values}]}
    if asked["query"] == "time()":
        return {"resultType": "scalar", "result": [now, str(now)]}
    return {"resultType": "vector", "result": [{"metric": instance, "value": [now, "0.3"]}]}


def points(series):
    """Series of a thousand points each."""
    values = [[number, "0.3"] for number in range(1000)]
    return {
        "resultType": "matrix",
        "result": [{"metric": {**LABELS, "i": str(number)}, "values": values} for number in range(series)],
    }


MANY = {
    "alerts of one target": ("/api/v1/alerts", lambda: {"alerts": [alert(number) for number in range(45_000)]}),
    "alerts of nobody": (
        "/api/v1/alerts",
        lambda: {
            "alerts": [
                {"labels": {"alertname": "X", "n": str(n)}, "state": "firing", "activeAt": SINCE, "value": "1"}
                for n in range(110_000)
            ]
        },
    ),
    "series of one target": (
        "/api/v1/query",
        lambda: {
            "resultType": "vector",
            "result": [{"metric": {**LABELS, "instance": f"i{n}"}, "value": [1, "0.5"]} for n in range(10_000)],
        },
    ),
    "more series than are read": (
        "/api/v1/query",
        lambda: {
            "resultType": "vector",
            "result": [{"metric": {"i": str(n)}, "value": [1, "0.5"]} for n in range(180_000)],
        },
    ),
    "points of a range": ("/api/v1/query_range", lambda: points(190)),
    "more points than are read": ("/api/v1/query_range", lambda: points(880)),
    "scraped instances": (
        "/api/v1/targets",
        lambda: {
            "activeTargets": [
                {"labels": {"job": "j", "instance": f"i{n}"}, "scrapeInterval": "5s"} for n in range(100_000)
            ]
        },
    ),
}  # fmt: skip


@contextlib.asynccontextmanager
async def prometheus(**big):
    """The address of a Prometheus with big answers by path, and whether so many polls have ended."""
    asked = Counter()

    async def answer(request):
        fields = dict(await request.post()) if request.method == "POST" else {}
        if request.path in big and fields.get("query") != "time()":
            asked["big"] += 1
            return web.Response(body=big[request.path], content_type="application/json")
        asked[fields.get("query", "")] += 1
        return web.Response(body=body(few(request.path, fields, time.time())), content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        # every poll begins with the question what time it is; the first question of all asks so, too
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", lambda polls: asked["time()"] > polls + 1 and asked["big"]
    finally:
        await runner.cleanup()


def body(data):
    return json.dumps({"status": "success", "data": data}).encode()


async def longest_stand_still(done):
    """The most processor time that this process took between two turns of the loop, until `done`.

    Other processes on a busy machine take none of it.
    """
    longest, deadline = 0.0, time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline
        began = time.process_time()
        await asyncio.sleep(0.005)
        longest = max(longest, time.process_time() - began)
    return longest


@pytest.mark.soak
@pytest.mark.timeout(480)
@pytest.mark.parametrize("kind", MANY)
async def test_the_event_loop_goes_on_while_a_big_answer_is_read_and_used(tmp_path, kind):
    path, make = MANY[kind]
    big = body(make())
    assert len(big) < 16 * 1024 * 1024
    async with prometheus(**{path: big}) as (url, ended), hosted(tmp_path, text=TEXT, prometheus=url):
        assert await longest_stand_still(lambda: ended(1)) < LONGEST


async def test_a_big_answer_is_read_beside_the_event_loop():
    """However long the reading takes."""
    reads = threading.Event()

    def slowly(_document):
        reads.set()
        assert goes_on.wait(20), "the loop stood still"

    async def the_rest():
        await asyncio.to_thread(reads.wait, 20)
        goes_on.set()

    goes_on = threading.Event()
    async with prometheus(**{"/api/v1/query": body("x" * 512 * 1024)}) as (url, _):
        edge = Prometheus(PrometheusSettings((url,)))
        await asyncio.gather(edge.ask("POST", "/api/v1/query", {"query": "up"}, slowly), the_rest())
        await edge.close()


async def test_a_leader_on_postgresql_keeps_its_lease_over_many_alerts_and_rules(tmp_path):
    alerts = {"alerts": [alert(number) for number in range(20_000)]}
    rules = {"groups": [{"name": "g", "interval": 1, "rules": [trigger(), *map(recorded, range(10_000))]}]}
    with postgres.running() as server:
        journal = await PostgresJournal.open(await server.database())
        big = {"/api/v1/alerts": body(alerts), "/api/v1/rules": body(rules)}
        async with (
            prometheus(**big) as (url, ended),
            hosted(tmp_path, text=TEXT, prometheus=url, journal=journal),
        ):
            longest = await longest_stand_still(lambda: ended(2))
            epochs = [row["epoch"] for row in await journal._connections.rows("select epoch from lease")]
    assert longest < LONGEST
    assert epochs == [1]
