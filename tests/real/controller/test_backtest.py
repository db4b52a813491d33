"""The back-test against a real Prometheus whose past was written by hand: what it prints is what was written."""

import json
import re
import sys
import time
from datetime import UTC, datetime

import pytest

from real.controller.past import Past, remembered
from rearguard_controller.cli import main
from unit.controller.terminal_kit import on_a_terminal

MINUTE, HOUR = 60.0, 3600.0
START = float(int(time.time()) - int(30 * HOUR))
END = START + 6 * HOUR
RULES = """
groups:
  - name: shop
    interval: 15s
    rules:
      - alert: ReleaseErrorRate
        expr: version:errors:ratio > on (service_name) group_left () service:errors:threshold
        for: 1m
        labels: {severity: critical, action: rollback}
        annotations: {figure: "version:errors:ratio", threshold: "> service:errors:threshold"}
      - alert: CartAbandoned
        expr: cart_abandoned_ratio > 0.5
        for: 2m
        labels: {severity: critical, action: rollback}
        annotations: {figure: "cart_abandoned_ratio", threshold: "> 0.5"}
"""
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/none/journal.db
prometheus: {{url: "{address}"}}
alertmanager: {{url: "http://127.0.0.1:1"}}
policies: {{acting: {{mode: act}}, watching: {{mode: observe}}}}
targets:
  - name: checkout
    match: {{service_name: checkout}}
    policy: acting
    release: &r {{command: {{current: &t [touch, {folder}/ran], versions: *t, check: *t, rollback: *t}}}}
  - {{name: search, match: {{service_name: search}}, policy: acting, release: *r}}
  - {{name: cart, match: {{service_name: cart}}, policy: watching, release: *r}}
"""


def shop(name, version=None):
    return {"service_name": name} | ({} if version is None else {"service_version": version})


def written(folder):
    """Checkout: v2 is bad, people go back 20 min after it came. Search: people go back without any alert.

    Cart: v2 is bad by a rule that was not loaded then; people leave it until v3 comes.
    """
    past = Past(folder)
    for name in ("checkout", "search", "cart"):
        past.add("service:errors:threshold", shop(name), START, END, 0.1)
    past.version(shop("checkout"), "v1", START, START + 2 * HOUR)
    past.version(shop("checkout"), "v2", START + 2 * HOUR + 15, START + 2 * HOUR + 20 * MINUTE)
    past.version(shop("checkout"), "v1", START + 2 * HOUR + 20 * MINUTE + 15, END)
    past.add("version:errors:ratio", shop("checkout", "v1"), START, START + 2 * HOUR, 0.0)
    past.add(
        "version:errors:ratio", shop("checkout", "v2"), START + 2 * HOUR + 60, START + 2 * HOUR + 20 * MINUTE, 0.3
    )
    past.fires(
        "ReleaseErrorRate",
        shop("checkout", "v2"),
        START + 2 * HOUR + 60,
        START + 2 * HOUR + 120,
        START + 2 * HOUR + 20 * MINUTE,
    )
    past.version(shop("search"), "v1", START, START + 3 * HOUR)
    past.version(shop("search"), "v2", START + 3 * HOUR + 15, START + 4 * HOUR)
    past.version(shop("search"), "v1", START + 4 * HOUR + 15, END)
    past.version(shop("cart"), "v1", START, START + HOUR)
    past.version(shop("cart"), "v2", START + HOUR + 15, START + 5 * HOUR)
    past.version(shop("cart"), "v3", START + 5 * HOUR + 15, END)
    past.add("cart_abandoned_ratio", shop("cart", "v1"), START, START + HOUR, 0.1)
    past.add("cart_abandoned_ratio", shop("cart", "v2"), START + HOUR + 15, START + HOUR + 10 * MINUTE, 0.1)
    past.add("cart_abandoned_ratio", shop("cart", "v2"), START + HOUR + 10 * MINUTE + 15, START + 5 * HOUR, 0.9)
    past.add("cart_abandoned_ratio", shop("cart", "v3"), START + 5 * HOUR + 15, END, 0.1)
    return past


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    with remembered(written(folder), RULES) as address:
        (folder / "rearguard.yaml").write_text(CONFIGURATION.format(folder=folder, address=address))
        yield folder


def backtest(scene, *words):
    return main(["backtest", "--config", str(scene / "rearguard.yaml"), "--since", "40h", *words])


def at(seconds):
    return datetime.fromtimestamp(START + seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(moment):
    return datetime.fromisoformat(moment).timestamp() - START


def test_what_is_printed_is_what_was_written(scene, capsys):
    assert backtest(scene, "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    begun = {each["target"]: each for each in found["rollbacks"]}
    assert set(begun) == {"checkout", "cart"}

    checkout = begun["checkout"]
    assert (checkout["from_version"], checkout["to_version"], checkout["verdict"]) == ("v2", "v1", "roll_back")
    assert checkout["decided_at"] == at(2 * HOUR + 120)
    assert checkout["people"]["at"] == at(2 * HOUR + 20 * MINUTE + 15)
    assert checkout["earlier_s"] == 18 * MINUTE + 15
    holds = {reason["code"]: reason["holds"] for reason in checkout["reasons"]}
    assert holds.pop("not_silenced") is None  # history holds no silences
    assert holds.pop("evidence_suffices") is holds.pop("not_a_blip") is None  # its figure is no share of requests
    assert set(holds.values()) == {True}

    cart = begun["cart"]  # no ALERTS of it: the expression held from 1h10m15s on, for two minutes
    assert (cart["from_version"], cart["to_version"]) == ("v2", "v1")
    assert (cart["verdict"], cart["would"], cart["people"]) == ("leave", "roll_back", None)
    assert abs(seconds(cart["decided_at"]) - (HOUR + 12 * MINUTE + 15)) <= 15
    assert cart["next_change"] == {"at": at(5 * HOUR + 15), "version": "v3"}

    (search,) = found["only_people"]
    assert (search["target"], search["from_version"], search["to_version"]) == ("search", "v2", "v1")
    assert search["at"] == at(4 * HOUR + 15)
    assert search["why"] == "No trigger alert of the target fired while v2 served."
    assert found["score"] == {
        "agreed": 1,
        "only_rearguard": 1,
        "only_people": 1,
        "median_earlier_s": 18 * MINUTE + 15,
    }
    assert [each["data_from"] for each in found["targets"]] == [at(0)] * 3
    assert any(note.startswith(f"Data begins only at {at(0)}, ") for note in found["notes"])


def test_neither_a_journal_nor_a_command_of_a_target_is_touched(scene, capsys):
    assert backtest(scene) == 0
    assert not (scene / "ran").exists()
    assert not (scene / "none").exists()


def test_the_table_says_what_would_have_been_done_and_what_people_did(scene, capsys):
    assert backtest(scene, "--until", at(6 * HOUR)) == 0
    told = capsys.readouterr()
    rows = [re.split(r"  +", line) for line in told.out.splitlines()]
    assert ["cart", "v2", "v1", "CartAbandoned", "roll_back", "leave (mode_allows)"] in [row[1:7] for row in rows]
    checkout = ["checkout", "v2", "v1", "ReleaseErrorRate", "roll_back", "roll_back", "the same, to v1, 18m15s later"]
    assert checkout in [row[1:] for row in rows]
    assert "The targets' own commands were not run" in told.out
    assert "2 would have been rolled back. People rolled back 1 of them, too, a median of 18m15s later." in told.out


def test_one_target_is_told_of_alone(scene, capsys):
    assert backtest(scene, "--target", "search", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["targets"]] == ["search"]
    assert (found["rollbacks"], len(found["only_people"])) == ([], 1)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--since", "yesterday"], 2, "--since: 'yesterday' is neither a duration nor a time."),
        (["--until", "60h"], 2, "none that can be judged"),
        (["--until", "2999-01-01T00:00:00Z"], 2, "none that can be judged"),
        (["--target", "nobody"], 1, "There is no target 'nobody'."),
        (["--prometheus", "prometheus:9090"], 2, "'prometheus:9090' is no address."),
        (
            ["--prometheus", "http://ann:s3cret@prometheus:9090"],
            2,
            "User and password do not belong into an address.",
        ),
        (["--prometheus", "http://127.0.0.1:9"], 1, "Prometheus at http://127.0.0.1:9 cannot be asked"),
        (["--since", "10h"], 1, "Prometheus has no target_info with a service_version of any target in this time."),
    ],
)
def test_what_cannot_be_judged_is_said_in_a_sentence_with_a_hint(scene, capsys, words, code, sentence):
    assert backtest(scene, *words) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert "hint: " in told.err
    assert "Traceback" not in told.err


def test_on_a_terminal_progress_is_shown_and_wiped_and_never_stands_in_the_json(scene):
    words = ["backtest", "--config", str(scene / "rearguard.yaml"), "--since", "40h", "--json"]
    shown, answer, code = on_a_terminal([sys.executable, "-m", "rearguard_controller", *words])
    assert code == 0
    assert json.loads(answer)["score"]["agreed"] == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"reading versions .* 1/1", plain)
    assert "reading figures around releases" in plain
    assert "\x1b[2K" in shown[-200:]  # what was drawn is cleared
