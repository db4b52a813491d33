"""History finds a release that is put back within half a minute on the same address, wherever its samples lie."""

import json
import time
from datetime import UTC, datetime

from real.controller.past import Past, remembered
from real.controller.test_backtest_ends import RULES
from rearguard_controller.cli import main

START = float(int(time.time() / 60) * 60 - 6 * 3600)  # a whole minute, so that the phases below are those of points
APART = 600.0  # seconds between the releases of two targets: no storm
SERVED = 23.0  # seconds between the first and the last sample of the bad version
FIRES, BACK, LASTS = 25.0, 32.0, 90.0  # seconds after the first sample of the bad version
PHASES = range(15)  # seconds after a quarter of a minute
HEAD = """
environment: production
journal: sqlite://{folder}/none/journal.db
prometheus: {{url: "{address}", poll_interval: 5s}}
policies: {{acting: {{mode: act}}}}
targets:
"""
TARGET = """
  - name: shop{number}
    match: {{service_name: shop{number}}}
    policy: acting
    release: {{command: {{current: [touch, {folder}/ran], rollback: [touch, {folder}/ran]}}}}
"""


def written(folder):
    past = Past(folder, every=1.0)
    for number in PHASES:
        own = {"service_name": f"shop{number}"}
        bad = START + (number + 2) * APART + number
        for version, ratio, start, end in (
            ("v1", 0.01, START, bad - 5),
            ("v2", 0.4, bad, bad + SERVED),
            ("v1", 0.01, bad + BACK, bad + APART),
        ):
            past.version(own, version, start, end)
            past.add("version:errors:ratio", {**own, "service_version": version}, start, end, ratio)
        past.fires("ReleaseErrorRate", {**own, "service_version": "v2"}, bad + 5, bad + FIRES, bad + LASTS)
    return past


def test_a_bad_version_between_two_appearances_of_the_good_one_is_rolled_back_in_history_too(tmp_path, capsys):
    with remembered(written(tmp_path), RULES) as address:
        targets = "".join(TARGET.format(number=number, folder=tmp_path) for number in PHASES)
        (tmp_path / "rearguard.yaml").write_text(HEAD.format(folder=tmp_path, address=address) + targets)
        span = [START - 60, START + (len(PHASES) + 4) * APART]
        since, until = (datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") for at in span)
        words = ["--config", str(tmp_path / "rearguard.yaml"), "--since", since, "--until", until, "--json"]
        assert main(["backtest", *words]) == 0
        found = json.loads(capsys.readouterr().out)["rollbacks"]
    told = {each["target"]: (each["from_version"], each["to_version"], each["verdict"]) for each in found}
    assert told == {f"shop{number}": ("v2", "v1", "roll_back") for number in PHASES}
    assert all(each["people"]["to_version"] == "v1" for each in found)
