"""A back-test that needs no file: the services that Prometheus shows are judged, by raw counters if need be."""

import json
import time

import pytest

from real.controller.past import Past, remembered
from rearguard_controller.cli import main

NOW = float(int(time.time() / 60) * 60)
MINUTE = 60.0
BAD, BACK = NOW - 90 * MINUTE, NOW - 60 * MINUTE  # v2 came, and people put v1 back
AHEAD = 20 * MINUTE  # the past reaches into the future: tests may have to wait
EVERY = 15.0
COUNT = "http_server_request_duration_seconds_count"


def counted(past, service, start, end, share):
    """Two requests a second, of which a share fails, counted from 0 by one process."""
    own = {"job": "shop", "instance": f"{service}:1"}
    for number in range(int((end - start) / EVERY) + 1):
        at, requests = start + number * EVERY, 2 * number * EVERY
        for code, part in (("200", 1 - share), ("500", share)):
            past.add(COUNT, {**own, "http_response_status_code": code}, at, at, requests * part)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    past = Past(tmp_path_factory.mktemp("past"), every=EVERY)
    shop = {"service_name": "checkout", "deployment_environment_name": "production"}
    for version, start, end, share in (
        ("v1", NOW - 240 * MINUTE, BAD - EVERY, 0.0),
        ("v2", BAD, BACK - EVERY, 0.3),
        ("v1", BACK, NOW + AHEAD, 0.0),
    ):
        past.version(shop, version, start, end)
        counted(past, "checkout", start, end, share)
    nameless = {"service_name": "nover", "deployment_environment_name": "production"}
    past.add("target_info", {**nameless, "job": "shop", "instance": "nover:1"}, NOW - 60 * MINUTE, NOW + AHEAD)
    with remembered(past, "groups: []\n") as found:
        yield found


def test_the_services_found_are_judged_by_raw_counters_and_compared_with_people(
    address, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["backtest", "--prometheus", address, "--since", "4h", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["targets"]] == ["checkout"]
    (only,) = found["rollbacks"]
    assert (only["target"], only["from_version"], only["to_version"]) == ("checkout", "v2", "v1")
    assert only["people"]["to_version"] == "v1"
    assert 20 * MINUTE < found["score"]["median_earlier_s"] < 30 * MINUTE  # evidence, or an alert that holds a minute
    assert any("nover" in each for each in found["notes"])
    assert any("raw counters were judged" in each for each in found["notes"])
    assert list(tmp_path.iterdir()) == []


def test_the_result_is_one_screen_and_ends_with_a_sentence(address, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["backtest", "--prometheus", address, "--since", "4h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    said = "Of 2 changes of version 1 would have been rolled back. People rolled it back, too, a median of 2"
    assert lines[-1].startswith(said)


def test_without_a_file_and_without_prometheus_both_ways_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["backtest"]) == 1
    assert "rearguard backtest --prometheus URL" in capsys.readouterr().err
