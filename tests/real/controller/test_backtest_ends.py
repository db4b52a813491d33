"""What a back-test finds does not depend on the moments between which it is asked: one past, asked many times."""

import json
import time
from datetime import UTC, datetime

import pytest

from real.controller.past import Past, remembered
from rearguard_controller.cli import main

MINUTE, HOUR = 60.0, 3600.0
START = float(int(time.time()) - int(30 * HOUR)) + 0.437  # no sample lies on a whole second
END = START + 6 * HOUR
RULES = """
groups:
  - name: shop
    interval: 15s
    rules:
      - alert: ReleaseErrorRate
        expr: version:errors:ratio > 0.1
        for: 30s
        labels: {severity: critical, action: rollback}
        annotations: {figure: "version:errors:ratio", threshold: "> 0.1"}
"""
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/none/journal.db
prometheus: {{url: "{address}"}}
policies: {{acting: {{mode: act}}}}
targets:
  - name: checkout
    match: {{service_name: checkout}}
    policy: acting
    release: {{command: {{current: [touch, {folder}/ran], rollback: [touch, {folder}/ran]}}}}
"""
OWN = {"service_name": "checkout"}
HICCUPS = (HOUR + 10 * MINUTE, 2 * HOUR, 2 * HOUR + 50 * MINUTE)  # the alert was pending for one sample, and no more
BREAK = 47.0  # seconds without a sample: more than three looks, whichever points of 15 s lie inside


def written(folder):
    """V2 had hiccups and earned trust. V3 is not scraped for a while just before it would have. V4 is bad."""
    past = Past(folder)
    for version, start, end in (
        ("v1", 0, HOUR - 15),
        ("v2", HOUR, 3 * HOUR - 15),
        ("v3", 3 * HOUR, 3 * HOUR + 14 * MINUTE),
        ("v3", 3 * HOUR + 14 * MINUTE + BREAK, 3 * HOUR + 25 * MINUTE),
        ("v4", 3 * HOUR + 25 * MINUTE + 15, 6 * HOUR),
    ):
        past.version(OWN, version, START + start, START + end)
        past.add("version:errors:ratio", {**OWN, "service_version": version}, START + start, START + end, 0.01)
    bad = START + 3 * HOUR + 35 * MINUTE
    past.add("version:errors:ratio", {**OWN, "service_version": "v4", "zone": "b"}, bad, bad + 40 * MINUTE, 0.4)
    for at in HICCUPS:
        past.fires("ReleaseErrorRate", OWN, START + at, START + at + 15, START + at)
    past.fires("ReleaseErrorRate", OWN, bad, bad + 30, bad + 40 * MINUTE)
    return past


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    with remembered(written(folder), RULES) as address:
        (folder / "rearguard.yaml").write_text(CONFIGURATION.format(folder=folder, address=address))
        yield folder


def moment(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_what_is_found_does_not_depend_on_where_the_time_asked_for_begins_and_ends(scene, capsys):
    told = []
    for before, after in ((900, 600), (3.1, 601), (77.77, 606.4), (0.5, 603.25), (1, 609.8)):
        words = ["--since", moment(START - before), "--until", moment(END + after), "--json"]
        assert main(["backtest", "--config", str(scene / "rearguard.yaml"), *words]) == 0
        found = json.loads(capsys.readouterr().out)
        told.append({name: found[name] for name in ("rollbacks", "left", "only_people", "targets", "notes")})
    assert told == [told[0]] * 5
    (begun,) = told[0]["rollbacks"]
    assert (begun["from_version"], begun["to_version"]) == (
        "v4",
        "v2",
    )  # v3's service was broken, so v2 is the last good
    assert begun["decided_at"] == moment(START + 3 * HOUR + 35 * MINUTE + 30).replace("000+00:00", "Z")
    assert told[0]["left"] == []
