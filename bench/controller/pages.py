"""The page: how fast it is, and what 200 open pages cost the leader, intake and a rollback.

Here: the same load with and without open pages (plain sockets in a process of their own, see open_pages.py); the
page in a real Chromium.
Never here: what the page shows.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request

from accept import BODY
from place import HERE, Place, processor, until_calm
from report import quantile

from real.controller.page_browser import chromium
from real.controller.test_page_numbers import MEASURED, WATCH

PAGES, TARGETS, MANY = 200, 20, 1000
SECONDS = 20
TIMES = 12
BRIEF = {"PAGES": 5, "TARGETS": 8, "MANY": 20, "SECONDS": 2, "TIMES": 2}
API, READY = "/api/monitoring", "/readyz"


def run(report):
    report.title(f"overview of {MANY} targets, SQLite")
    with Place(MANY) as place:
        port = _start(place, poll="10m")
        took = [_ask(port, f"/?page={number % 20 + 1}&q=")[0] for number in range(TIMES)]
        report.goal("overview, median until the last byte", statistics.median(took), 150, unit=" ms")
    report.title(
        f"{PAGES} open pages on {TARGETS} targets; an alert each 0.2 s, somebody acts each 5 s; {SECONDS} s each"
    )
    with Place(TARGETS) as place:
        port = _start(place, poll="15s")
        leader = place.leader
        alone = _load(leader, port, 0)
        open_pages = subprocess.Popen(
            [sys.executable, HERE / "open_pages.py", str(port), str(PAGES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert int(open_pages.stdout.readline()) == PAGES
            beside = _load(leader, port, TARGETS // 2)
            said, _ = open_pages.communicate("", timeout=30)
        finally:
            open_pages.kill()
        report.note(f"least events on a page, looks of all, errors: {said.strip()}")
        for name, found in (("no page", alone), ("pages", beside)):
            told = f"{100 * found['cpu']:.1f} % of a core, webhook p99 {found['p99']:.1f} ms"
            report.note(f"{name:8} {told}, a rollback by hand {found['rollback'] * 1000:.0f} ms")
        report.goal("what open pages cost", 100 * (beside["cpu"] - alone["cpu"]), 5, unit=" %")
        report.goal("webhook p99, later by", max(0.0, beside["p99"] - alone["p99"]), 50, unit=" ms")
        later = 1000 * max(0.0, beside["rollback"] - alone["rollback"])
        report.goal("rollback by hand, later by", later, 200, unit=" ms")
        report.title("in Chromium")
        paint, shift, seen = asyncio.run(_in_chromium(port))
        report.goal("first paint, median", paint, 300, unit=" ms")
        report.goal("layout shift", shift, 0)
        report.goal("journaled until it is on the page, the slowest", seen, 1, unit=" s")


def _start(place, *, poll):
    journal = str(place.folder / "journal.db")
    place.remember(journal)
    file, port = place.configure(journal, place.prometheus(), mode="observe", poll=poll)
    place.leader = place.controller(file, port)
    until_calm(place.leader, port)
    return port


def _load(leader, port, first):
    """The leader's share of a core, the webhook's p99 and the median of rollbacks by hand under a steady load."""
    before, began, took, rollbacks = processor(leader), time.monotonic(), [], []
    acted = began
    while (now := time.monotonic()) - began < SECONDS:
        took.append(_ask(port, "/webhook/alertmanager", BODY)[0])
        if now - acted > SECONDS / 4:
            acted = now
            rollbacks.append(_roll_back(port, f"svc-{first + len(rollbacks)}"))
        time.sleep(0.2)  # the pace of the alerts
    share = (processor(leader) - before) / (time.monotonic() - began)
    return {"cpu": share, "p99": quantile(took, 0.99), "rollback": statistics.median(rollbacks)}


def _roll_back(port, target):
    """Seconds from asking to the end; each target is rolled back once."""
    body = {"target": target, "reason": "bench", "to_version": "v1", "force": True}
    began = time.monotonic()
    rollback = json.loads(_ask(port, f"{API}/rollback/trigger", json.dumps(body))[1])["rollback_id"]
    while json.loads(_ask(port, f"{API}/rollback/{rollback}")[1])["phase"] != "closed":
        assert time.monotonic() - began < 60
        time.sleep(0.02)  # between two looks, with a deadline
    return time.monotonic() - began


def _ask(port, path, body=None):
    """Milliseconds until the whole answer is there, and the answer."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", None if body is None else body.encode())
    asked.add_header("Content-Type", "application/json")
    began = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310  # our own loopback address
        found = answer.read()
    return (time.perf_counter() - began) * 1000, found


async def _in_chromium(port):
    async with chromium() as browser:
        page = await browser.new_page()
        await page.add_init_script(WATCH)
        paints = []
        for _ in range(TIMES):
            await page.goto(f"http://127.0.0.1:{port}/")
            paints.append((await page.evaluate(MEASURED))["paint"])
        await page.wait_for_selector("#link:not([hidden])")
        shift = sum(await page.evaluate("window.shifts"))
        took = []
        for number in range(TIMES):
            word, state = ("disarm", ".t-disarmed") if number % 2 == 0 else ("arm", ".targets:not(:has(.t-disarmed))")
            await asyncio.to_thread(_ask, port, f"{API}/targets/svc-2/{word}", json.dumps({"reason": "bench"}))
            began = time.perf_counter()
            await page.wait_for_selector(state)
            took.append(time.perf_counter() - began)
        return statistics.median(paints), shift, max(took)
