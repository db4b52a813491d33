"""POST -> command start: from sending an alert to the first hook's main(), against adnanh/webhook in the same run.

Here: each alert is the first for its target; and what stands between the two, timed on its
own: a commit, a question to Prometheus, a command that says which version serves. Needs a C compiler.
Never here: a shortcut; every read before the first hook is made as in life.
"""

import asyncio
import http.client
import json
import os
import subprocess
import time

import programs
from place import HERE, Place, free_port, until_looked
from report import quantile
from stand_in import ANNOTATIONS, labels
from storm import fire

from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Alert

TARGETS = 20
BRIEF = {"TARGETS": 2, "TIMES": 1}
TIMES = 3  # with a controller and a journal of its own each
PAUSE = 0.8  # seconds between rounds, so that the rollback before is done: one alert at a time
COMMITS = 5  # accept, two for the version that was read, the decision with its rollback, the hook's intent
HEADERS = {"Content-Type": "application/json"}


def run(report):
    report.title(f"POST -> command start, {TARGETS} targets, {TIMES} times, interleaved with adnanh/webhook, SQLite")
    took = {"rearguard": [], "adnanh/webhook": []}
    for last in [False] * (TIMES - 1) + [True]:
        with Place(TARGETS) as place:
            stamp, pipe = place.folder / "stamp", place.folder / "stamps"
            subprocess.run(["gcc", "-O1", "-static", "-o", stamp, HERE / "stamp.c"], check=True)
            os.mkfifo(pipe)
            stamps = os.open(pipe, os.O_RDWR)
            ours, peer, prometheus = _start(place, stamp)
            for number in range(TARGETS):
                alert = {"status": "firing", "labels": labels(number, TARGETS), "annotations": ANNOTATIONS}
                body = json.dumps({"version": "4", "status": "firing", "alerts": [alert]})
                took["adnanh/webhook"].append(_once(peer, "/hooks/run", body, stamps))
                took["rearguard"].append(_once(ours, "/webhook/alertmanager", body, stamps))
                time.sleep(PAUSE)
            os.close(stamps)
            if last:
                _tell(report, took, asyncio.run(_parts(place, prometheus)))


def _start(place, stamp):
    journal, prometheus = str(place.folder / "journal.db"), place.prometheus()
    place.remember(journal)
    file, port = place.configure(journal, prometheus, hook=stamp, poll="1h")
    place.controller(file, port)
    until_looked(port, TARGETS)  # it shall learn of them by webhook
    asyncio.run(fire(prometheus, TARGETS))
    hooks, peer = place.folder / "hooks.json", free_port()
    hooks.write_text(
        json.dumps([{"id": "run", "execute-command": str(stamp), "command-working-directory": str(place.folder)}])
    )
    place.start(programs.find("webhook"), "-hooks", hooks, "-ip", "127.0.0.1", "-port", peer, listens=peer)
    return port, peer, prometheus


def _once(port, path, body, stamps):
    """Milliseconds from sending to the command's main()."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    began = time.monotonic_ns()
    connection.request("POST", path, body, HEADERS)
    assert connection.getresponse().status < 300
    stamp = int.from_bytes(os.read(stamps, 8), "little")
    connection.close()
    return (stamp - began) / 1e6


async def _parts(place, prometheus):
    """Each part on its own, p50 in ms."""
    journal = await open_journal(str(place.folder / "parts.db"))
    alert = Alert("Alone", {"alertname": "Alone"}, {}, firing=True, starts_at=None, fingerprint="", source="webhook")

    async def cat():
        process = await asyncio.create_subprocess_exec(
            "cat", "current-0", stdout=asyncio.subprocess.PIPE, cwd=place.folder
        )
        await process.communicate()

    source = Prometheus(PrometheusSettings((prometheus,)))
    asked = {
        "commit": lambda: journal.accept([alert], time.time()),
        "command": cat,
        "query": lambda: source.query("x"),
        "look back 20 min": lambda: source.query_range("x", time.time() - 1200, time.time(), 5),
        "look back 10 min": lambda: source.query_range("x", time.time() - 600, time.time(), 5),
        "alerts and rules": lambda: asyncio.gather(source.alerts(), source.rules()),
    }
    parts = {name: await _p50(ask) for name, ask in asked.items()}
    await source.close()
    await journal.close()
    return parts


async def _p50(ask):
    took = []
    for _ in range(30):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    return quantile(took, 0.5)


def _tell(report, took, parts):
    for name, times in took.items():
        report.note(f"{name:15} p50 {quantile(times, 0.5):7.2f} ms  p99 {quantile(times, 0.99):7.2f} ms")
    report.note("alone, p50: " + ", ".join(f"{name} {value:.2f} ms" for name, value in parts.items()))
    # The commands: current and versions before the judgement, current again before the hook.
    reads = 3 * parts["command"] + parts["alerts and rules"] + 3 * parts["query"]
    reads += parts["look back 20 min"] + parts["look back 10 min"]
    allowed = 2 * quantile(took["adnanh/webhook"], 0.5) + COMMITS * parts["commit"] + reads
    report.note(f"allowed: 2 x peer + {COMMITS} commits + reads ({reads:.1f} ms) = {allowed:.1f} ms")
    report.goal("p50 against what is allowed", quantile(took["rearguard"], 0.5) / allowed, 1, unit=" x")
