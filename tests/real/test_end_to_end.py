"""The whole loop on real parts: shop, HAProxy, Prometheus with the shipped rules, Alertmanager, controller."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from local_stack.ask import Asker
from local_stack.load import LoadThread
from local_stack.process import wait_until
from local_stack.stack import Stack

pytestmark = pytest.mark.timeout(300)

# A user's own trigger that goes on firing for a minute after the fault: what makes naive receivers roll back again.
STICKY = {
    "alert": "StickyErrors",
    "expr": "version:http_error_ratio:newest > 0.1",
    "for": "5s",
    "keep_firing_for": "1m",
    "labels": {"severity": "critical", "component": "http", "action": "rollback"},
    "annotations": {
        "summary": "Too many errors, and slow to clear.",
        "figure": "version:http_error_ratio:newest",
        "threshold": "> 0.1",
    },
}
# Another, which fires as soon as there are requests, release or not.
BUSY = {
    "alert": "BusyShop",
    "expr": "version:http_requests:increase1m > 0",
    "labels": {"severity": "critical", "component": "http", "action": "rollback"},
    "annotations": {
        "summary": "There are requests.",
        "figure": "version:http_requests:increase1m",
        "threshold": "> 0",
    },
}


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path / "stack") as stack:
        yield stack


def change_yaml(path: Path, change: Callable[[Any], None]) -> None:
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def add_rule(stack: Stack, rule: dict[str, Any]) -> None:
    own = stack.layout.folder / "own-rules.yml"
    own.write_text(yaml.safe_dump({"groups": [{"name": "own", "interval": "5s", "rules": [rule]}]}))
    change_yaml(stack.layout.folder / "prometheus.yml", lambda content: content["rule_files"].append(str(own)))


def deliver_often(alertmanager: dict[str, Any]) -> None:
    for route in alertmanager["route"]["routes"]:
        route["repeat_interval"] = "10s"


def inbox(stack: Stack, name: str) -> list[dict[str, Any]]:
    """The firing deliveries of an alert that the controller has accepted, oldest first."""
    with sqlite3.connect(f"file:{stack.layout.folder}/data/journal.db?mode=ro", uri=True) as journal:
        bodies = [json.loads(row[0]) for row in journal.execute("select body from inbox order by id")]
    return [body for body in bodies if body["name"] == name and body["firing"]]


def cli(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "REARGUARD_URL": stack.layout.controller,
        "REARGUARD_TOKEN_FILE": str(stack.layout.token_file("viewer")),
    }
    return subprocess.run(
        [sys.executable, "-m", "rearguard_controller", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment,
    )


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def wait_for_known_good(asker: Asker) -> None:
    wait_until(
        lambda: asker.target().get("last_known_good") == "v1", within=90, what="v1 earned its trust", every=0.5
    )


def wait_for_close(asker: Asker, within: float = 150) -> dict[str, Any]:
    def closed() -> dict[str, Any] | None:
        return next((each for each in asker.rollbacks() if each["phase"] == "closed"), None)

    return wait_until(closed, within=within, what="the rollback is closed", every=0.5)


def client_gets(stack: Stack) -> int:
    return requests.get(f"{stack.layout.proxy}/products", timeout=30).status_code


def test_a_bad_release_is_rolled_back_once_however_often_the_alert_is_delivered(stack):
    asker = Asker(stack.layout)
    change_yaml(stack.layout.folder / "alertmanager.yml", deliver_often)
    add_rule(stack, STICKY)
    stack.start()
    with LoadThread(stack.layout.proxy):
        wait_for_known_good(asker)
        stack.release("deploy", "v2")
        rollback = wait_for_close(asker)

        assert (rollback["from_version"], rollback["to_version"]) == ("v2", "v1")
        assert rollback["outcome"] == "recovered"
        assert stack.release("current") == "v1"
        assert client_gets(stack) == 200
        names = [(step["name"], step["state"]) for step in rollback["steps"]]
        assert names == [
            ("save-state", "done"),
            ("drain", "done"),
            ("roll-back", "done"),
            ("health", "done"),
            ("undo drain", "done"),
            ("clear-cache", "done"),
            ("recovery", "done"),
        ]

        deliveries = inbox(stack, "StickyErrors")
        assert len(deliveries) >= 3, "Alertmanager was to repeat the alert, also after the rollback"

        # a late repeat: the bad version must not come back, and nothing is rolled back again
        repeated = {
            "version": "4",
            "alerts": [{"status": "firing", "labels": deliveries[0]["labels"], "annotations": {}}] * 3,
        }
        for _ in range(3):
            answer = requests.post(
                f"{stack.layout.controller}/webhook/alertmanager",
                json=repeated,
                headers={"Authorization": f"Bearer {stack.layout.token('sender')}"},
                timeout=30,
            )
            assert answer.status_code == 202
        wait_until(
            lambda: any(
                reason["code"] == "alert_confirmed" and reason["holds"] is False
                for decision in asker.decisions()
                for reason in decision["reasons"]
            ),
            within=20,
            what="the repeat is judged and left",
        )
        assert len(asker.rollbacks()) == 1
        assert stack.release("current") == "v1"

    explained = cli(stack, "explain", rollback["id"])
    assert explained.returncode == 0, explained.stderr
    for word in ("alert_confirmed", "recent_release", "known_good_exists", "v1", "v2"):
        assert word in explained.stdout

    # the same judgement over Prometheus' history finds the same rollback at the same time, without the journal
    past = cli(stack, "backtest", "--config", str(stack.layout.folder / "rearguard.yaml"), "--since", "10m", "--json")
    assert past.returncode == 0, past.stderr
    (found,) = json.loads(past.stdout)["rollbacks"]
    assert (found["from_version"], found["to_version"], found["verdict"]) == ("v2", "v1", "roll_back")
    assert abs(moment(found["decided_at"]) - moment(rollback["started_at"])) < 10
    assert found["people"]["to_version"] == "v1"  # what history shows of what the controller did


def test_an_alert_without_a_recent_release_changes_nothing_and_is_explained(stack):
    asker = Asker(stack.layout)
    add_rule(stack, BUSY)
    stack.start()
    with LoadThread(stack.layout.proxy):

        def judged() -> dict[str, Any] | None:
            about = (each for each in asker.decisions() if (each["alert"] or {}).get("name") == "BusyShop")
            confirmed = (
                each
                for each in about
                if {"code": "alert_confirmed", "holds": True}.items()
                <= next(reason for reason in each["reasons"] if reason["code"] == "alert_confirmed").items()
            )
            return next(confirmed, None)

        decision = wait_until(judged, within=60, what="the alert is judged", every=0.5)
        assert inbox(stack, "BusyShop"), "the webhook was to deliver it as well"

    holds = {reason["code"]: reason["holds"] for reason in decision["reasons"]}
    assert decision["verdict"] == "leave"
    assert holds["recent_release"] is False
    assert asker.rollbacks() == []
    assert stack.release("current") == "v1"
    explained = cli(stack, "explain", "shop")
    assert explained.returncode == 0, explained.stderr
    assert "recent_release" in explained.stdout
    assert "no release to blame" in explained.stdout


def test_after_kill_minus_nine_between_drain_and_restore_traffic_returns_and_nothing_is_done_twice(stack):
    asker = Asker(stack.layout)
    stack.start()
    with LoadThread(stack.layout.proxy):
        wait_for_known_good(asker)
        stack.release("deploy", "v2")

        def rolling_back() -> bool:
            steps = {step["name"]: step["state"] for each in asker.rollbacks() for step in each["steps"]}
            return steps.get("drain") == "done" and steps.get("roll-back") == "started"

        wait_until(rolling_back, within=90, what="the rollback command runs", every=0.05)
        stack.controller.kill()
        assert "drain" in stack.traffic("state")
        stack.controller.start()
        rollback = wait_for_close(asker)

    assert rollback["outcome"] == "recovered"
    assert len(asker.rollbacks()) == 1
    assert stack.release("current") == "v1"
    assert client_gets(stack) == 200
    attempts = {step["name"]: step["attempt"] for step in rollback["steps"]}
    assert attempts["save-state"] == 1
    assert attempts["drain"] == 1
    interrupted = [event for event in events(stack, rollback["id"]) if event == "step_interrupted"]
    assert interrupted, "the kill was to hit a step under way"


@pytest.mark.soak
def test_a_release_that_dies_at_once_on_the_same_address_is_rolled_back(stack):
    asker = Asker(stack.layout)
    stack.start()
    with LoadThread(stack.layout.proxy):
        wait_for_known_good(asker)
        stack.release("deploy", "v2")
        os.kill(json.loads(stack.supervisor.record.read_text())["pid"], signal.SIGKILL)
        assert stack.release("current") == "v2"  # the release that should serve
        rollback = wait_for_close(asker, within=240)

        assert (rollback["from_version"], rollback["to_version"]) == ("v2", "v1")
        assert rollback["reason"].startswith("ReleaseDown ")
        assert rollback["outcome"] == "recovered"
        assert stack.release("current") == "v1"
        assert client_gets(stack) == 200


def events(stack: Stack, rollback_id: str) -> list[str]:
    with sqlite3.connect(f"file:{stack.layout.folder}/data/journal.db?mode=ro", uri=True) as journal:
        rows = journal.execute("select kind from rollback_events where rollback_id = ? order by n", (rollback_id,))
        return [row[0] for row in rows]
