"""A controller served in this process over a real socket: real journal, real commands, for the tests of the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from real.controller import documented
from real.controller.journal_kit import opened
from real.prometheus import running
from rearguard_controller import config
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import Phase
from rearguard_controller.service import controller as app

SENDER, VIEWER, OPERATOR = "Bearer send-1", "Bearer read-1", "Bearer act-1"
BASE = "/api/monitoring"
NOWHERE = "http://127.0.0.1:9"

RELEASE = """#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
  current) cat current ;;
  list) printf 'v3\\nv2\\nv1\\n' ;;
  activate) while [ -e hold ]; do sleep 0.05; done; echo "$2" > current; echo "activated $2" ;;
esac
"""
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 1h}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act}}}}
targets:
  - name: checkout
    match: {{service_name: checkout, deployment_environment_name: production}}
    release:
      command:
        current: [./release, current]
        versions: [./release, list]
        rollback: [./release, activate, "{{to_version}}"]
  - name: search
    match: {{service_name: search, deployment_environment_name: production}}
    release: {{command: {{current: [./release, current], rollback: [./release, activate, "{{to_version}}"]}}}}
"""

FIGURE = """
groups:
  - name: g
    interval: 1s
    rules:
      - record: figure
        expr: vector(0.3)
        labels: {service_name: checkout, deployment_environment_name: production, service_version: "2.0"}
"""  # rules of Prometheus, to which a test adds its own


@contextlib.contextmanager
def evaluating(folder, rules):
    """The address of a real Prometheus with these rules, whose files lie in a folder that is made."""
    folder.mkdir()
    (folder / "rules.yml").write_text(rules)
    (folder / "prometheus.yml").write_text("rule_files: [rules.yml]\nscrape_configs: []\n")
    with running(folder) as address:
        yield address


def alerts(*names, **labels):
    return {
        "version": "4",
        "status": "firing",
        "alerts": [
            {"status": "firing", "labels": {"alertname": name, "severity": "critical", **labels}, "annotations": {}}
            for name in names
        ],
    }


@dataclass
class Service:
    url: str
    folder: Path
    controller: app.Controller
    session: aiohttp.ClientSession

    async def ask(self, method, path, token=None, **more):
        """Status, body and headers of an answer, which must be exactly as the OpenAPI document says."""
        headers = {**({"Authorization": token} if token else {}), **more.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            body = await response.read()
            assert response.headers["Content-Type"].startswith("application/json"), body[:200]
            value = json.loads(body)
            documented.check(method, path, response.status, value)
            return response.status, value, response.headers

    async def get(self, path, token=VIEWER, **more):
        status, body, _ = await self.ask("GET", path, token, **more)
        return status, body

    async def post(self, path, body, token=OPERATOR, **more):
        status, answer, _ = await self.ask("POST", path, token, json=body, **more)
        return status, answer

    async def shown(self, rollback_id, number):
        """Which notices about a rollback did not arrive, once there are so many."""
        deadline = time.monotonic() + 10
        while True:
            _, found = await self.get(f"/api/monitoring/rollback/{rollback_id}")
            told = sorted(each["reason"] for each in found["actions"] if each["action"] == "notify")
            if len(told) >= number:
                return told
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.02)

    async def closed(self, rollback_id):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            _, rollback = await self.get(f"{BASE}/rollback/{rollback_id}")
            if rollback["phase"] == "closed":
                return rollback
            await asyncio.sleep(0.02)
        raise AssertionError(f"{rollback_id} did not close")


@contextlib.asynccontextmanager
async def serving(
    tmp_path, prometheus=NOWHERE, more="", of_checkout="", configuration=CONFIGURATION, logged=None, journal=None
):
    """Serve a controller whose files lie in `tmp_path`; it polls once at the start, and then not for an hour.

    `more` is added to its configuration, `of_checkout` to that of its first target. `logged` is what its
    log warned of. `journal` stands for the one of the configuration.
    """
    release = tmp_path / "release"
    release.write_text(RELEASE)
    release.chmod(0o755)
    (tmp_path / "current").write_text("v2\n")
    (tmp_path / "sender").write_text("send-1\nsend-2\n")
    (tmp_path / "viewer").write_text("dora:read-1\n")
    (tmp_path / "operator").write_text("ann:act-1\n")
    file = tmp_path / "rearguard.yaml"
    text = configuration.format(folder=tmp_path, prometheus=prometheus)
    file.write_text(text.replace("  - name: search\n", f"{of_checkout}  - name: search\n") + more)
    configuration = config.load(file)
    journal = journal or SqliteJournal.open(configuration.journal)
    controller = app.Controller(file, configuration, journal, insecure=False, logged=logged)
    server = web.AppRunner(controller.web, access_log=None, shutdown_timeout=1)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    port = server.addresses[0][1]
    running = asyncio.create_task(controller.run())
    async with aiohttp.ClientSession(trust_env=False) as session:
        try:
            yield Service(f"http://127.0.0.1:{port}", tmp_path, controller, session)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await server.cleanup()
            await controller.close()


async def metrics(service):
    async with service.session.get(service.url + "/metrics", headers={"Authorization": VIEWER}) as response:
        assert response.status == 200
        text = await response.text()
    return {family.name: family for family in text_string_to_metric_families(text)}


@contextlib.asynccontextmanager
async def listening(firing, *, groups=(), targets=(), samples=()):
    """A Prometheus with these alerts that remembers what it is asked; its address and the questions.

    `groups` are of its rules, `targets` what it scrapes; `samples` is its answer to every instant query.
    """
    asked = []

    async def answer(request):
        fields = await request.post() if request.method == "POST" else request.query
        if fields.get("query") == "time()":
            now = time.time()
            scalar = {"resultType": "scalar", "result": [now, str(now)]}
            return web.json_response({"status": "success", "data": scalar})
        asked.append(fields.get("query", request.path))
        found = {
            "alerts": {"alerts": firing},
            "rules": {"groups": [*groups]},
            "targets": {"activeTargets": [*targets]},
        }
        is_range = request.path.endswith("query_range")
        empty = {"resultType": "matrix", "result": []} if is_range else {"resultType": "vector", "result": [*samples]}
        return web.json_response({"status": "success", "data": found.get(request.path.split("/")[3], empty)})

    application = web.Application()
    application.router.add_route("*", "/api/v1/{what:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def until(look, seconds=20):
    """What `look` answers as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.05)
    return found


async def waiting(service, name, **fields):
    """A rollback that waits for a person, as an alert would have opened it."""
    now = time.time()
    more = {"phase": Phase.WAITING, "opened_at": now, "wait_until": now + 300, "decision_id": f"d-{name}", **fields}
    await opened(service.controller.journal, name, **more)
