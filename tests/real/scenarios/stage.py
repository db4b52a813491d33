"""The stage of the scenarios: one real Prometheus, one real controller, and targets whose numbers are scripted.

Here: files, the shipped rules (the slow alerts with a shorter `for`), history from before the start, and questions
to the controller. Which version a target serves is a file: its release command writes it, the exporter follows it.
Never here: what happens to a target, and what should come of it (stories.py).
"""

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests
import yaml

from local_stack import binaries
from local_stack.process import Program, free_ports, wait_until
from local_stack.settings import RULES
from real.scenarios.exporter import ENVIRONMENT, Exporter, Instance, Numbers
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Release

POLL = "3s"
KNOWN_GOOD_AFTER = "25s"  # a version counts as young only if another was seen 20 s before it
SOONER = {"HighErrorRate": "45s", "CriticalMemoryUsage": "30s"}  # alerts whose minutes would only be waiting
RELEASE = """#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
  current) cat current ;;
  list) printf 'v3\\nv2\\nv1\\n' ;;
  activate) echo "$2" > current.new && mv current.new current; echo "$2" >> activated ;;
  drain) touch drained ;;
  restore) rm -f drained ;;
esac
"""


@dataclass
class Service:
    """A target, as a scenario plays with it."""

    folder: Path
    name: str
    versions: dict[str, Numbers] = field(default_factory=dict)  # what is not named does well
    beside: str | None = None  # a second instance that keeps this version
    settings: dict[str, Any] = field(default_factory=dict)  # of the target
    policy: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return (self.folder / "current").read_text().strip()

    @property
    def activated(self) -> list[str]:
        """The versions that the controller's command activated, in order."""
        file = self.folder / "activated"
        return file.read_text().split() if file.exists() else []

    @property
    def drained(self) -> bool:
        return (self.folder / "drained").exists()

    def deploy(self, version: str) -> None:
        fresh = self.folder / "fresh"
        fresh.write_text(f"{version}\n")
        fresh.replace(self.folder / "current")

    def does(self, version: str, **numbers: float) -> None:
        self.versions[version] = Numbers(**numbers)

    def instances(self) -> list[Instance]:
        numbers = lambda version: self.versions.get(version, Numbers())  # noqa: E731  # shared by two
        made = [Instance(self.name, "one", lambda: self.version, numbers)]
        if self.beside is not None:
            made.append(Instance(self.name, "two", lambda: str(self.beside), numbers))
        return made


class Stage:
    """Everything that runs; start it, play, stop it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.exporter = Exporter()
        self.services: dict[str, Service] = {}
        self.past: list[str] = []  # lines of OpenMetrics from before the start
        self.releases: list[Release] = []  # that the journal knows from before the start
        self.served_since: dict[str, tuple[str, str, float]] = {}  # service -> version, the one before, since when
        prometheus, controller = free_ports(2)
        self.prometheus_url, self.url = f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{controller}"
        self.prometheus = self._program(
            "prometheus",
            [
                binaries.find("prometheus"),
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                f"--web.listen-address=127.0.0.1:{prometheus}",
            ],
            f"{self.prometheus_url}/-/ready",
        )
        self.controller = self._program(
            "controller",
            [sys.executable, "-m", "rearguard_controller", "serve", "--insecure", "--config", "rearguard.yaml"],
            f"{self.url}/healthz",
        )

    def _program(self, name, command, ready_url):
        return Program(
            name, command, folder=self.folder, log=self.folder / f"{name}.log", ready_url=ready_url,
            environment=binaries.environment(),
        )  # fmt: skip

    def add(self, name: str, *, serving: str = "v1", **fields: Any) -> Service:
        folder = self.folder / "services" / name
        folder.mkdir(parents=True)
        release = folder / "release"
        release.write_text(RELEASE)
        release.chmod(0o755)
        service = self.services[name] = Service(folder, name, **fields)
        service.deploy(serving)
        for instance in service.instances():
            self.exporter.add(instance)
        return service

    def start(self) -> None:
        self._write("rearguard.yaml", self.controller_settings())
        asyncio.run(self._remember())
        self.start_prometheus()
        self.controller.start()

    def start_prometheus(self) -> None:
        """What is scraped, and who scrapes it."""
        self._write_rules()
        self._write("prometheus.yml", self._prometheus_settings())
        if self.past:
            self._make_history()
        self.exporter.start()
        self.prometheus.start()

    def stop(self) -> None:
        for stop in (self.controller.stop, self.prometheus.stop, self.exporter.stop):
            stop()

    # --- files

    def _write(self, name, content):
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def _write_rules(self):
        (self.folder / "rules").mkdir()
        for file in RULES.glob("*.yml"):
            content = yaml.safe_load(file.read_text())
            for rule in (rule for group in content["groups"] for rule in group["rules"]):
                if rule.get("alert") in SOONER:
                    rule["for"] = SOONER[rule["alert"]]
            self._write(f"rules/{file.name}", content)

    def _prometheus_settings(self):
        jobs: dict[str, list[Any]] = {}
        for path, instance in self.exporter.instances.items():
            labels = {"instance": instance.name, "__metrics_path__": path}
            entry = {"targets": [f"127.0.0.1:{self.exporter.port}"], "labels": labels}
            jobs.setdefault(instance.service, []).append(entry)
        return {
            "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
            "rule_files": ["rules/*.yml"],
            "scrape_configs": [{"job_name": name, "static_configs": entries} for name, entries in jobs.items()],
        }

    def controller_settings(self):
        policies = {
            name: {"mode": "act", "known_good_after": KNOWN_GOOD_AFTER, "cooldown": "5s", **service.policy}
            for name, service in self.services.items()
        }
        return {
            "environment": ENVIRONMENT,
            "journal": f"sqlite://{self.folder / 'journal.db'}",
            "listen": self.url.removeprefix("http://"),
            "prometheus": {"url": self.prometheus_url, "poll_interval": POLL},
            "storm": {"targets": 50},
            "policies": policies,
            "targets": [self._target(service) for service in self.services.values()],
        }

    def _target(self, service):
        release = str(service.folder / "release")
        drain = {"command": [release, "drain"], "undo": {"command": [release, "restore"]}, "name": "drain"}
        return {
            "name": service.name,
            "match": {"service_name": service.name, "deployment_environment_name": ENVIRONMENT},
            "policy": service.name,
            "release": {
                "command": {
                    "current": [release, "current"],
                    "versions": [release, "list"],
                    "rollback": [release, "activate", "{to_version}"],
                }
            },
            "hooks": {"before": [drain]},
            "verify": {"recovery": {"within": "1m"}},
            **service.settings,
        }

    # --- the past

    async def _remember(self):
        journal = await open_journal(str(self.folder / "journal.db"))
        for release in self.releases:
            await journal.change_release(release.target, release.version, lambda _known, new=release: new)
        for name, (version, before, since) in self.served_since.items():
            await journal.change_target(
                name,
                lambda state, version=version, before=before, since=since: replace(
                    state, serving_version=version, serving_since=since, changed_after=since - 1,
                    looked_at=time.time(), previous_version=before, is_release=True,
                ),
            )  # fmt: skip
        await journal.close()

    def _make_history(self):
        file = self.folder / "past.txt"
        file.write_text("\n".join([*self.past, "# EOF", ""]))
        words = [binaries.find("promtool"), "tsdb", "create-blocks-from", "openmetrics", file, self.folder / "data"]
        subprocess.run(words, check=True, capture_output=True, env=binaries.environment(), timeout=60)

    # --- questions

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/api/monitoring/{path}", params=query, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def target(self, name: str) -> dict[str, Any]:
        return next(each for each in self.get("rollback/status")["targets"] if each["name"] == name)

    def rollbacks(self, name: str) -> list[dict[str, Any]]:
        return self.get("rollback/history", target=name)["rollbacks"]

    def closed(self, name: str, count: int = 1, *, within: float = 180.0) -> dict[str, Any]:
        """The newest rollback, once this many are closed."""

        def found():
            closed = [each for each in self.rollbacks(name) if each["phase"] == "closed"]
            return closed[0] if len(closed) >= count else None

        return wait_until(found, within=within, what=f"{count} closed rollbacks of {name}", every=1.0)

    def decisions(self, name: str, alert: str | None = None) -> list[dict[str, Any]]:
        """Decisions about an alert that fired and was confirmed, newest first."""
        found = self.get("decisions", target=name, limit=50)["decisions"]
        return [
            each
            for each in found
            if holds(each)["alert_confirmed"] is True and alert in (None, each["alert"]["name"])
        ]

    def confirmed(self, name: str, alert: str | None = None, *, within: float = 180.0) -> dict[str, Any]:
        """The newest decision about a confirmed alert, as soon as there is one."""
        found = wait_until(
            lambda: self.decisions(name, alert), within=within, what=f"a confirmed alert of {name}", every=1.0
        )
        return found[0]

    def trusted(self, name: str, version: str = "v1") -> None:
        wait_until(
            lambda: self.target(name)["last_known_good"] == version, within=90, what=f"{name} trusts {version}",
            every=1.0,
        )  # fmt: skip


def holds(decision: dict[str, Any]) -> dict[str, bool | None]:
    return {reason["code"]: reason["holds"] for reason in decision["reasons"]}


def blocking(decision: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in decision["reasons"] if reason["blocks"]}


def series(name: str, version: str, service: str, points: dict[float, float]) -> list[str]:
    """Lines of OpenMetrics of one series."""
    labels = f'service_name="{service}",deployment_environment_name="{ENVIRONMENT}",service_version="{version}"'
    return [f"{name}{{{labels}}} {value} {at:.0f}" for at, value in points.items()]
