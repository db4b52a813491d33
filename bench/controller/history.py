"""A journal of a million events: start of the controller, then status and history pages over HTTP.

Here: the questions. The journal's content is the one of the journal's own campaign (tests).
Never here: other sizes.
"""

import statistics
import time
import urllib.request
from pathlib import Path

from place import Place

from real.controller.test_journal_upkeep import EVENTS_OF_ONE, ROLLBACKS, fill

ASKED = {"status": "rollback/status", "history page": "rollback/history?limit=50", "dashboard": "dashboard"}
TIMES = 15
BRIEF = {"ROLLBACKS": 1000, "TIMES": 3}


def run(report):
    report.title(f"a journal of {ROLLBACKS * EVENTS_OF_ONE} events, SQLite")
    with Place() as place:
        journal = str(place.folder / "journal.db")
        place.remember(journal)
        file, port = place.configure(journal, place.prometheus(), mode="observe")
        alone = [_start(place, file, port) for _ in range(3)]
        fill(journal, ROLLBACKS)
        full = [_start(place, file, port, stay=last) for last in (False, False, True)]
        size = Path(journal).stat().st_size / 1e6
        report.note(f"journal of {size:.0f} MB; start with an empty one {statistics.median(alone):.2f} s")
        report.goal("start until it listens", statistics.median(full), 2, unit=" s")
        for name, path in ASKED.items():
            report.goal(f"{name}, median", _ask(f"http://127.0.0.1:{port}/api/monitoring/{path}"), 50, unit=" ms")


def _start(place, file, port, *, stay=False):
    began = time.monotonic()
    process = place.controller(file, port)
    took = time.monotonic() - began
    if not stay:
        process.terminate()
        assert process.wait(30) == 0
    return took


def _ask(url):
    took = []
    for _ in range(TIMES):
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  # our own loopback address
            answer.read()
        took.append((time.monotonic() - began) * 1000)
    return statistics.median(took)
