"""A small world around a controller that is to be stopped in the middle: target, hooks, a stand-in for Prometheus.

Here: files, the HTTP server that the hooks, the health check and the questions to Prometheus reach, starting and
ending controllers, and waiting for what they do. Prometheus is a stand-in that answers from what the target serves
(the real one is in test_end_to_end.py). Its alert fires while v2 serves, and again once the rollback is closed, as if
its rule looked far back.
Never here: expectations (checks.py).
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from aiohttp import web

from deadline import in_time
from local_stack.process import free_ports
from real.controller.journal_kit import Store
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Release
from rearguard_controller.model.observations import FRESH_ATTEMPTS

HERE = Path(__file__).parent
DEADLINE = 60.0  # seconds within which what is waited for must happen
TARGET = "checkout"
LABELS = {"service_name": "checkout", "deployment_environment_name": "production"}
FIGURE = "version:error_ratio"
POLL = "1s"
REQUESTS = frozenset({"save", "pause", "health", "go-on", "clear", "figure"})  # what reaches the stand-in
CONFIGURATION = """
environment: production
journal: {journal}
listen: 127.0.0.1:{port}
prometheus: {{url: "{url}", poll_interval: {poll}}}
policies:
  standard:
    {{mode: {mode}, alerts: {{action: rollback}}, cooldown: {cooldown}, budget: {{rollbacks: 100}}, watch_window: 2h}}
targets:
  - name: checkout
    match: {{service_name: checkout, deployment_environment_name: production}}
    policy: standard
    release:
      command:
        current: [{program}, current]
        versions: [{program}, versions]
        rollback: [{program}, activate, "{{to_version}}"]
        timeout: {limit}
    hooks:
      before:
        - {{name: save, http: {{url: "{url}/hook/save"}}, timeout: 5s, after_crash: redo}}
        - {{name: pause, http: {{url: "{url}/hook/pause"}}, timeout: 5s, undo: {{http: {{url: "{url}/hook/go-on"}}}}}}
        - name: drain
          command: [{program}, hook, drain]
          undo: {{command: [{program}, hook, restore]}}
          timeout: {limit}
        - {{name: announce, command: [{program}, hook, announce], on_failure: stop, timeout: {limit}}}
      after:
        - {{name: warm, command: [{program}, hook, warm], before_restore: true, after_crash: redo, timeout: {limit}}}
        - {{name: clear, http: {{url: "{url}/hook/clear"}}, timeout: 5s}}
        - {{name: tell, command: [{program}, hook, tell], timeout: {limit}}}
    verify:
      health: {{url: "{url}/healthz", successes: 2, interval: 100ms, timeout: 20s}}
      recovery: {{within: 60s}}
"""


@dataclass(frozen=True)
class Sharded:
    """A PostgreSQL server whose controllers lead targets shard by shard."""

    server: object
    shards: int

    async def database(self):
        return await self.server.database()


class World:
    """One target, its stand-in for Prometheus, and the controllers that look after it."""

    text = CONFIGURATION

    def __init__(self, folder, store, *, limit="20s"):
        self.folder, self.store, self.limit = folder, store, limit
        self.requests = []  # names of the hooks that were asked for over HTTP, in order
        self.polls = 0  # how often the alerts were read
        self.fires = True  # whether the alert does, while v2 serves
        self.fires_on = False  # whether it does whatever serves
        self.at_request = {}  # name of a request -> what to call while it is under way
        self.controllers = []
        self.url = ""
        self.more = ""  # of every configuration

    # --- before anything runs

    async def prepare(self, *, slow=None, idempotent=False, fails=()):
        """Files and a journal in which v1 earned trust and v2 came ten minutes ago."""
        for name in ("knobs", "busy"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "current").write_text("v2\n")
        (self.folder / "effects.log").touch()
        for name, seconds in (slow or {}).items():
            (self.folder / "knobs" / f"slow.{name}").write_text(str(seconds))
        for name in (*(f"fail.{each}" for each in fails), *(["idempotent"] if idempotent else [])):
            (self.folder / "knobs" / name).touch()
        journal = await open_journal(self.store.address)
        await released(journal, TARGET)
        await journal.close()
        return self

    def configure(self, **changes):
        """Write a configuration file; each controller has one of its own, for its port."""
        words = {"program": f"{sys.executable}, -I, -S, {HERE / 'target.py'}", "limit": self.limit, "poll": POLL}
        words |= {"mode": "act", "cooldown": "0s"}
        address = self.store.address if self.store.kind == "postgres" else f"sqlite://{self.store.address}"
        file = self.folder / f"rearguard-{len(self.controllers)}.yaml"
        port = free_ports(1)[0]
        file.write_text(
            self.text.format(**{**words, "journal": address, "port": port, "url": self.url, **changes}) + self.more
        )
        return file

    def newest_configuration(self):
        """The file of the controller that was started last."""
        return self.folder / f"rearguard-{len(self.controllers) - 1}.yaml"

    # --- controllers

    async def serve(self, *before, env=None, **changes):
        """The controller as users start it; `before` stands before it on the command line."""
        words = ("-m", "rearguard_controller", "serve", "--insecure", "--config", self.configure(**changes))
        return await self._start(*before, sys.executable, *words, env=env)

    async def serve_deadly(self, when, kind, seq, number=signal.SIGKILL, **changes):
        """The controller that gets a signal at a point of its journal."""
        words = (HERE / "controller.py", self.configure(**changes), when, kind, seq, signal.Signals(number).name)
        return await self._start(sys.executable, *words)

    async def serve_hasty(self, well_for, **changes):
        """The controller to which a fault is over after these seconds; nothing stops it."""
        words = (HERE / "controller.py", self.configure(**changes), "never", "", "", "SIGKILL", well_for)
        return await self._start(sys.executable, *words)

    async def _start(self, *words, env=None):
        with (self.folder / f"controller-{len(self.controllers)}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, words), stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(env or {})}
            )
        self.controllers.append(process)
        return process

    async def end(self, process, number=signal.SIGKILL):
        """Send a controller a signal and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await in_time(process.wait(), DEADLINE)

    def logs(self):
        return "\n".join(each.read_text() for each in sorted(self.folder.glob("controller-*.log")))

    # --- what happens

    def is_stopped(self, process):
        """Whether a controller was stopped with SIGSTOP."""
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def effects(self):
        """The lines of the target's log."""
        return [json.loads(line) for line in (self.folder / "effects.log").read_text().splitlines()]

    def began(self, name):
        return sum(each["what"] == "began" and each["name"] == name for each in self.effects())

    @property
    def version(self):
        return (self.folder / "current").read_text().strip()

    async def outcome(self):
        """The outcome of the last rollback; None while it is open, or a fresh attempt follows, or there is none."""
        rows = [outcome for (outcome,) in await self.store.rows("select outcome from rollbacks order by seq")]
        assert set(rows[:-1]) <= {"interrupted"}, rows
        follows = rows[-1:] == ["interrupted"] and len(rows) <= FRESH_ATTEMPTS
        return None if follows or not rows else rows[-1]

    async def until(self, condition, *, every=0.02, what="", within=DEADLINE):
        """Poll a condition, plain or async, with a deadline."""
        deadline = time.monotonic() + within
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, f"not in time: {what}\n{self.logs()[-4000:]}"
            await asyncio.sleep(every)

    async def close_of_rollback(self):
        """Wait until the rollback is closed and the alert, which then fires on, was judged twice more."""
        await self.until(self.outcome, every=0.1, what="the rollback closes")
        self.fires_on = True
        polls = self.polls
        await self.until(lambda: self.polls >= polls + 3, what="more polls")

    # --- the stand-in

    async def _alerts(self, _request):
        self.polls += 1
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
        labels = {"alertname": "ReleaseErrorRate", "action": "rollback", "service_version": "v2", **LABELS}
        alert = {"labels": labels, "annotations": _ANNOTATIONS, "state": "firing", "activeAt": began, "value": "1"}
        fires = self.fires and (self.fires_on or self.version == "v2")
        return _data({"alerts": [alert] if fires else []})

    async def _rules(self, _request):
        rule = {
            "type": "alerting", "name": "ReleaseErrorRate", "query": f"{FIGURE} > 0.1", "duration": 30,
            "labels": {"action": "rollback"}, "annotations": _ANNOTATIONS, "health": "ok",
        }  # fmt: skip
        return _data({"groups": [{"name": "release", "interval": 1, "rules": [rule]}]})

    async def _targets(self, _request):
        labels = {"job": "shop", "instance": "shop:1"}
        return _data({"activeTargets": [{"labels": labels, "scrapeInterval": "1s"}]})

    async def _query(self, request):
        query, now, version = (await request.post())["query"], time.time(), self.version
        if query == "time()":
            return _data({"resultType": "scalar", "result": [now, str(now)]})
        metric = {**LABELS, "service_version": version, "job": "shop", "instance": "shop:1"}
        value = now if query.startswith("timestamp") else 0.3 if version == "v2" else 0.0
        value = 1.0 if query.startswith("target_info") else value
        if query == FIGURE and self.began("tell"):  # the proof of recovery comes after the last hook
            await self._reached("figure")
        return _data({"resultType": "vector", "result": [{"metric": metric, "value": [now, str(value)]}]})

    async def _query_range(self, request):
        fields = await request.post()
        start, end = float(fields["start"]), float(fields["end"])
        moments = [start + 5 * n for n in range(int(min(end - start, 5000) // 5) + 1)]
        bad = [(moment, "0.3") for moment in moments if moment > start + 610]
        series = [
            {"metric": {**LABELS, "service_version": "v1"}, "values": [(moment, "0") for moment in moments]},
            {"metric": {**LABELS, "service_version": "v2"}, "values": bad},
        ]
        return _data({"resultType": "matrix", "result": series})

    async def _hook(self, request):
        name = request.match_info["name"]
        self.requests.append(name)
        await self._reached(name)
        return web.json_response({"done": name})

    async def _health(self, _request):
        await self._reached("health")
        return web.Response(text="ok")

    async def _reached(self, name):
        call = self.at_request.get(name)
        if call is not None:
            await call()

    @contextlib.asynccontextmanager
    async def running(self):
        """Serve; at the end no process that was started here is left."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/api/v1/alerts", self._alerts),
                web.get("/api/v1/rules", self._rules),
                web.get("/api/v1/targets", self._targets),
                web.post("/api/v1/query", self._query),
                web.post("/api/v1/query_range", self._query_range),
                web.post("/hook/{name}", self._hook),
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
            for process in self.controllers:
                if process.returncode is None:
                    await self.end(process)
            for pid in {each["pid"] for each in self.effects()}:
                _end_command(pid)
            await server.cleanup()


_ANNOTATIONS = {"figure": FIGURE, "threshold": "> 0.1", "summary": "Too many errors."}


async def released(journal, target):
    """Let v1 of a target have earned trust, and v2 have come ten minutes ago."""
    now = time.time()
    good = Release(target, "v1", now - 86400, now - 600, now - 86400, service_version="v1", known_good_at=now - 80000)
    for release in (good, Release(target, "v2", now - 600, now, service_version="v2")):
        await journal.change_release(target, release.version, lambda _known, release=release: release)
    await journal.change_target(target, lambda state: _deployed(state, now))


def _deployed(state, now):
    return replace(
        state, serving_version="v2", serving_since=now - 600, changed_after=now - 601, looked_at=now,
        previous_version="v1", is_release=True,
    )  # fmt: skip


def _end_command(pid):
    """End a command of the target, if it is still that."""
    with contextlib.suppress(OSError):
        if b"target.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def _data(data):
    return web.Response(body=orjson.dumps({"status": "success", "data": data}), content_type="application/json")


@contextlib.asynccontextmanager
async def world(folder, server=None, **settings):
    """A world whose journal is in SQLite, or in a new database of the PostgreSQL server."""
    prepared = {key: settings.pop(key) for key in ("slow", "idempotent", "fails") if key in settings}
    folder.mkdir(parents=True, exist_ok=True)
    address = str(folder / "journal.db") if server is None else await server.database()
    made = World(folder, Store(address), **settings)
    if isinstance(server, Sharded):
        made.more = f"sharding: {{shards: {server.shards}}}\n"
    async with made.running():
        yield await made.prepare(**prepared)
