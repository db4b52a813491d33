"""`rearguard init` on a Prometheus with 200 services and a fortnight of releases: it is quick, and misses none."""

import json
import time

import pytest

from real.controller.past import REQUESTS, Past, remembered
from real.controller.test_cli import rearguard

SERVICES, RELEASES, DAY = 200, 7, 86_400.0
MOST_SECONDS = 5.0


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    now, every = time.time(), 240.0
    past = Past(folder, every=every)
    for number in range(SERVICES):
        labels = {"service_name": f"service-{number}", "deployment_environment_name": "production"}
        began = now - (2 * RELEASES - 1) * DAY
        for release in range(RELEASES):
            start = began + 2 * DAY * release
            past.version(labels, f"v{release + 1}", start, start + 2 * DAY - every if release < RELEASES - 1 else now)
        past.add(REQUESTS, {"job": "shop", "instance": f"service-{number}:1"}, now - 900.0, now)
        past.add(
            "target_info",
            {**labels, "service_version": f"v{RELEASES}", "job": "shop", "instance": f"service-{number}:1"},
            now,
            now,
        )
    with remembered(past, "groups: []") as found:
        yield found


@pytest.mark.soak
@pytest.mark.alone
def test_two_hundred_services_are_told_within_five_seconds_with_all_their_releases(address, tmp_path):
    took = []
    for turn in range(3):
        began = time.monotonic()
        done = rearguard("init", "--prometheus", address, "--to", str(tmp_path / str(turn)), "--json")
        took.append(time.monotonic() - began)
        assert done.returncode == 0, done.stderr
        services = json.loads(done.stdout)["services"]
        assert len(services) == SERVICES
        assert {each["releases"] for each in services} == {RELEASES - 1}  # the first was there before anybody looked
    assert min(took) <= MOST_SECONDS, took
