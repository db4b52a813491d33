"""Targets that get bad releases, and a stand-in for Prometheus that tells their figures.

Here: one folder for each target (the program in it is real/crash/target.py), its deployments, and the HTTP answers
that follow from them: every version but v1 is bad from the moment it serves, and so are its figure and its alert.
Never here: controllers, expectations.
"""

import contextlib
import json
import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import orjson
from aiohttp import web

from real.crash import world
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import AlertsSeen, Release

PROGRAM = world.HERE / "target.py"
FIGURE = "version:error_ratio"
GOOD, BAD = "v1", "v2"
ANNOTATIONS = {"figure": FIGURE, "threshold": "> 0.1", "summary": "Too many errors."}
_SERVICE = re.compile(r'service_name="([^"]+)"')


class Shop:
    """One target."""

    def __init__(self, folder, name):
        self.folder, self.name = folder / name, name
        self.labels = {"service_name": name, "deployment_environment_name": "production"}
        self.deployed_at = None  # when the bad version came
        for each in ("knobs", "busy"):
            (self.folder / each).mkdir(parents=True)
        (self.folder / "current").write_text(GOOD + "\n")
        (self.folder / "effects.log").touch()

    def configuration(self, url):
        """Its entry in the controllers' configuration."""
        program, cwd = [sys.executable, "-I", "-S", str(PROGRAM)], str(self.folder)
        return {
            "name": self.name,
            "match": self.labels,
            "policy": "standard",
            "release": {
                "command": {
                    "current": ["cat", "current"],
                    "rollback": [*program, "activate", "{to_version}"],
                    "timeout": "30s",
                    "cwd": cwd,
                }
            },
            "hooks": {
                "before": [
                    {
                        "name": "drain",
                        "command": [*program, "hook", "drain"],
                        "cwd": cwd,
                        "undo": {"command": [*program, "hook", "restore"], "cwd": cwd},
                        "timeout": "30s",
                    }
                ]
            },
            "verify": {
                "health": {"url": f"{url}/healthz", "successes": 2, "interval": "100ms", "timeout": "20s"},
                "recovery": {"within": "60s"},
            },
        }

    @property
    def version(self):
        return (self.folder / "current").read_text().strip()

    @property
    def drained(self):
        return (self.folder / "drained").exists()

    @property
    def is_bad(self):
        return self.version == BAD

    def slow(self, name, seconds):
        """Let a command of the target take this long before its change, and again after it."""
        (self.folder / "knobs" / f"slow.{name}").write_text(str(seconds))

    def deploy(self):
        """Bring the bad version."""
        self.deployed_at = time.time()
        fresh = self.folder / "current.new"
        fresh.write_text(BAD + "\n")
        fresh.replace(self.folder / "current")

    def effects(self):
        """The lines of the target's own log."""
        return [json.loads(line) for line in (self.folder / "effects.log").read_text().splitlines()]

    def began(self, name):
        return sum(each["what"] == "began" and each["name"] == name for each in self.effects())

    @property
    def changes(self):
        return [each for each in self.effects() if each["what"] == "changed"]

    def alert(self):
        """The labels of its trigger alert."""
        return {"alertname": "ReleaseErrorRate", "action": "rollback", "service_version": BAD, **self.labels}

    def end_commands(self):
        """End what still runs of it."""
        for pid in {each["pid"] for each in self.effects()}:
            with contextlib.suppress(OSError):
                if PROGRAM.name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


class Shops:
    """All targets, and what Prometheus would say of them."""

    def __init__(self, folder, names):
        self.all = {name: Shop(folder, name) for name in names}
        self.url = ""

    async def remember(self, journal_address):
        """A journal in which v1 has earned trust everywhere."""
        journal, now = await open_journal(journal_address), time.time()
        for name in self.all:
            release = Release(
                name, GOOD, now - 86400, now, now - 86400, service_version=GOOD, known_good_at=now - 80000
            )
            await journal.change_release(name, GOOD, lambda _known, release=release: release)
            await journal.change_target(name, lambda state: _serves(state, now))
        await journal.close()

    def firing(self):
        """The labels of all trigger alerts that fire now."""
        return [shop.alert() for shop in self.all.values() if shop.is_bad]

    @contextlib.asynccontextmanager
    async def running(self):
        """Serve the answers; at the end no command of a target is left."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/api/v1/alerts", self._alerts),
                web.get("/api/v1/rules", self._rules),
                web.get("/api/v1/targets", self._targets),
                web.post("/api/v1/query", self._query),
                web.post("/api/v1/query_range", self._query_range),
                web.get("/healthz", self._health),
            ]
        )
        server = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{server.addresses[0][1]}"
        try:
            yield self
        finally:
            for shop in self.all.values():
                shop.end_commands()
            await server.cleanup()

    # --- answers

    async def _alerts(self, _request):
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        common = {"annotations": ANNOTATIONS, "state": "firing", "activeAt": began, "value": "1"}
        return _data({"alerts": [{"labels": labels, **common} for labels in self.firing()]})

    async def _rules(self, _request):
        rule = {
            "type": "alerting", "name": "ReleaseErrorRate", "query": f"{FIGURE} > 0.1", "duration": 0,
            "labels": {"action": "rollback"}, "annotations": ANNOTATIONS, "health": "ok",
        }  # fmt: skip
        return _data({"groups": [{"name": "release", "interval": 1, "rules": [rule]}]})

    async def _targets(self, _request):
        labels = [{"job": name, "instance": f"{name}:1"} for name in self.all]
        return _data({"activeTargets": [{"labels": each, "scrapeInterval": "1s"} for each in labels]})

    async def _query(self, request):
        query, now = (await request.post())["query"], time.time()
        if query == "time()":
            return _data({"resultType": "scalar", "result": [now, str(now)]})
        named = _SERVICE.search(query)
        shops = [shop for shop in self.all.values() if named is None or shop.name == named[1]]
        return _data({"resultType": "vector", "result": [_sample(shop, query, now) for shop in shops]})

    async def _query_range(self, request):
        fields = await request.post()
        start, end = float(fields["start"]), float(fields["end"])
        moments = [start + 5 * n for n in range(int(min(end - start, 5000) // 5) + 1)] + [end]
        series = []
        for shop in self.all.values():
            bad = [(moment, "0.3") for moment in moments if shop.deployed_at and moment > shop.deployed_at]
            series += [
                {"metric": {**shop.labels, "service_version": GOOD}, "values": [(moment, "0") for moment in moments]},
                {"metric": {**shop.labels, "service_version": BAD}, "values": bad},
            ]
        return _data({"resultType": "matrix", "result": series})

    async def _health(self, _request):
        return web.Response(text="ok")


def _sample(shop, query, now):
    metric = {**shop.labels, "service_version": shop.version, "job": shop.name, "instance": f"{shop.name}:1"}
    value = 0.3 if shop.is_bad else 0.0
    if query != FIGURE:
        value = now if query.startswith("timestamp") else 1.0
    return {"metric": metric, "value": [now, str(value)]}


def _serves(state, now):
    return replace(state, serving_version=GOOD, serving_since=now - 80000, looked_at=now, alerts=AlertsSeen(now))


def _data(data):
    return web.Response(body=orjson.dumps({"status": "success", "data": data}), content_type="application/json")
