"""A past in which no rule of ours was ever loaded: raw counters alone say which release was bad."""

import json
import time
from contextlib import redirect_stdout
from datetime import UTC, datetime

import pytest

from real.controller.past import Counters, remembered
from rearguard_controller.cli import main

END = float(int(time.time() / 60) * 60 - 600)
START, RELEASED = END - 4800, END - 600
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/none/journal.db
prometheus: {{url: "{address}", poll_interval: 5s}}
policies: {{acting: {{mode: act}}}}
targets:
"""
TARGET = """
  - name: {name}
    match: {{service_name: {name}}}
    policy: acting
    release: {{command: {{current: [touch, "{folder}/ran"], rollback: [touch, "{folder}/ran"]}}}}
"""
# What v1 and v2 fail of 50 requests in 5 s, by the seconds since the release, and how long v1 stays beside.
STORIES = {
    "bad": (lambda _: 0.0, lambda s: 2.0 if s > 60 else 0.0, 0.0),  # 4 %, which no threshold of 10 % ever sees
    "dependency": (lambda s: 20.0 if s > 30 else 0.0, lambda s: 20.0 if s > 30 else 0.0, 120.0),
    "noisy": (lambda s: 4.0 + (s // 5) % 2, lambda s: 4.0 + (s // 5) % 2, 0.0),  # 9 % before and after
    "blip": (lambda _: 0.0, lambda s: 50.0 if 60 < s <= 70 else 0.0, 0.0),
    "caller": (lambda _: 0.0, lambda s: 2.0 if s > 65 else 0.0, 0.0),  # of bad, released at the same time
    "sooner": (lambda _: 0.0, lambda s: 2.0 if s > 55 else 0.0, 0.0),  # likewise, and scraped a step sooner
    "between": (lambda s: 2.0 if s > 60 else 0.0, lambda s: 2.0 if s > 60 else 0.0, 600.0),  # calls bad, too
    "far": (lambda _: 0.0, lambda s: 2.0 if s > 60 else 0.0, 0.0),  # calls bad through it
}
NEEDS = {
    "caller": "    depends_on: [bad]\n",
    "sooner": "    depends_on: [bad]\n",
    "between": "    depends_on: [bad]\n",
    "far": "    depends_on: [between]\n",
}


def written(folder):
    past = Counters(folder)
    for name, (before, after, beside) in STORIES.items():
        labels, of = {"service_name": name}, {"requests": 50.0, "job": name}
        past.serves(
            labels, "v1", "a:1", START, RELEASED + beside, failures=lambda at, f=before: f(at - RELEASED), **of
        )
        start = RELEASED + 5
        past.serves(labels, "v2", "b:1", start, END, failures=lambda at, f=after: f(at - RELEASED), **of)
    return past


LOADED_LATER = """
groups:
  - name: evidence
    rules:
      - alert: ReleaseWorse
        expr: version:http_error_evidence:nats > 16.2
        labels: {action: rollback}
        annotations: {figure: "version:http_error_evidence:nats", threshold: "> 16.2"}
"""


@pytest.fixture(scope="module", params=["groups: []\n", LOADED_LATER], ids=["no rules", "rules that came later"])
def found(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("past")
    with remembered(written(folder), request.param) as address:
        targets = "".join(TARGET.format(name=name, folder=folder) + NEEDS.get(name, "") for name in STORIES)
        (folder / "rearguard.yaml").write_text(CONFIGURATION.format(folder=folder, address=address) + targets)
        since, until = (datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") for at in (START, END))
        words = ["--config", str(folder / "rearguard.yaml"), "--since", since, "--until", until, "--json"]
        with (folder / "answer.json").open("w") as file, redirect_stdout(file):
            assert main(["backtest", *words]) == 0
        yield json.loads((folder / "answer.json").read_text())


def test_a_small_fault_of_a_release_is_found_without_any_rule_and_innocent_releases_are_left_alone(found):
    assert [(each["target"], each["from_version"], each["to_version"]) for each in found["rollbacks"]] == [
        ("bad", "v2", "v1")
    ]
    (decision,) = found["rollbacks"]
    assert decision["alert"]["name"] == "ReleaseWorse"
    began = datetime.fromisoformat(decision["decided_at"]).timestamp() - RELEASED
    assert 60 < began <= 60 + 120
    assert any("worked out from the raw counters" in note for note in found["notes"])
