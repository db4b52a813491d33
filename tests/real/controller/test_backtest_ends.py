"""What a back-test finds does not depend on the moments between which it is asked: one past, asked many times."""

import json
import time
from datetime import UTC, datetime

import pytest

from real.controller.past import Past, remembered
from rearguard_controller.cli import main

MINUTE, HOUR = 60.0, 3600.0
START = float(int(time.time()) - int(30 * HOUR)) + 0.437  # no sample lies on a whole second
END = START + 3 * HOUR
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
HICCUPS = (59 * MINUTE, 90 * MINUTE)  # an alert was pending for one sample, and no more
SHORT, LONG = 44.9, 47.0  # seconds without a sample: less and more than three looks
BAD = 2 * HOUR  # v4 is, from then on for forty minutes


def written(folder):
    """V2 earns trust, in spite of a short break, and hiccups before and after. V3, with a longer break, does not."""
    past = Past(folder)
    for version, start, end in (
        ("v1", 0, 60 * MINUTE - 15),
        ("v2", 60 * MINUTE, 72 * MINUTE),
        ("v2", 72 * MINUTE + SHORT, 85 * MINUTE - 15),
        ("v3", 85 * MINUTE, 99 * MINUTE),
        ("v3", 99 * MINUTE + LONG, 110 * MINUTE),
        ("v4", 110 * MINUTE + 15, END - START),
    ):
        past.version(OWN, version, START + start, START + end)
        past.add("version:errors:ratio", {**OWN, "service_version": version}, START + start, START + end, 0.01)
    past.add(
        "version:errors:ratio",
        {**OWN, "service_version": "v4", "zone": "b"},
        START + BAD,
        START + BAD + 40 * MINUTE,
        0.4,
    )
    past.fires("ReleaseErrorRate", OWN, START + BAD, START + BAD + 30, START + BAD + 40 * MINUTE)
    for at in HICCUPS:
        past.fires("ReleaseErrorRate", OWN, START + at, START + at + 15, START + at)
        past.fires("ReleaseLatency", OWN, START + at, START + at + 15, START + at)
    return past


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    with remembered(written(folder), RULES) as address:
        (folder / "rearguard.yaml").write_text(CONFIGURATION.format(folder=folder, address=address))
        yield folder


def moment(seconds):
    return datetime.fromtimestamp(START + seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
def backtested(scene, capsys):
    def asked(since, until):
        words = ["--since", moment(since), "--until", moment(until), "--json"]
        assert main(["backtest", "--config", str(scene / "rearguard.yaml"), *words]) == 0
        return json.loads(capsys.readouterr().out)

    return asked


def test_what_is_found_does_not_depend_on_where_the_time_asked_for_begins_and_ends(backtested):
    told = []
    for before, after in ((900, 600), (3.1, 601), (77.77, 606.4), (0.5, 603.25), (1, 609.8)):
        found = backtested(-before, END - START + after)
        told.append({name: found[name] for name in ("rollbacks", "left", "only_people", "targets", "notes")})
    assert told == [told[0]] * 5
    (begun,) = told[0]["rollbacks"]
    assert (begun["from_version"], begun["to_version"], begun["decided_at"]) == ("v4", "v2", moment(BAD + 30))
    assert told[0]["left"] == []


def test_what_came_after_the_time_asked_for_is_not_told(backtested):
    assert len(backtested(0, BAD + 30)["rollbacks"]) == 1
    earlier = backtested(0, BAD + 29)
    assert (earlier["rollbacks"], earlier["left"]) == ([], [])
