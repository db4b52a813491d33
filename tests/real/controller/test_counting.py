"""Raw counters in a real Prometheus, without any rule of ours: what is counted of each version is what was sent."""

import time

import pytest

from real.controller.past import REQUESTS, Counters, remembered
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config.configuration import PrometheusSettings
from rearguard_controller.facts import counting
from rearguard_controller.judgement import evidence, worse
from rearguard_controller.model import Caution, TargetFacts
from unit.controller.factories import MATCH, release, state

NOW = float(int(time.time()) // 300 * 300 - 600)
RELEASED = NOW - 240.0
NO_RULES = "groups: []\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    shop = Counters(tmp_path_factory.mktemp("past"))
    gap = {RELEASED + 100.0 + 5.0 * n for n in range(4)}
    shop.serves(MATCH, "1.0", "a:1", NOW - 5000, RELEASED - 5, requests=100.0, failures=lambda _: 1.0)
    shop.serves(MATCH, "1.0", "b:1", NOW - 5000, NOW, requests=40.0, failures=lambda _: 0.0)
    bad = RELEASED + 120.0
    shop.serves(  # on the same address as the version before it, and with a gap between scrapes
        MATCH, "2.0", "a:1", RELEASED, NOW, requests=100.0, failures=lambda at: 30.0 if at > bad else 0.0, skips=gap
    )
    shop.add("target_info", {"service_name": "other", "job": "shop (1)", "instance": "c:1"}, NOW - 5000, NOW)
    with remembered(shop, NO_RULES) as found:
        yield found


def known():
    versions = (
        release("v1", service_version="1.0", served_at=NOW - 5000),
        release("v2", service_version="2.0", served_at=RELEASED, first_seen=RELEASED),
    )
    of = state(serving_since=RELEASED, looked_at=None)
    return TargetFacts(serving_version="v2", state=of, releases=versions)


async def counted(address):
    prometheus = Prometheus(PrometheusSettings((address,)))
    try:
        return await counting.count(prometheus, MATCH, known(), NOW)
    finally:
        await prometheus.close()


async def test_what_is_counted_of_each_version_is_what_it_was_asked_and_failed(address):
    found = await counted(address)
    assert (found.version, found.older) == ("2.0", "1.0")
    lately = [each for each in found.own if each.at > NOW - 60]
    assert [(each.requests, each.failures) for each in lately] == [(100.0, 30.0)] * 12
    assert {(each.requests, each.failures) for each in found.beside if each.at > RELEASED + 5} == {(40.0, 0.0)}
    steady = [each for each in found.before if each.at > RELEASED - 3000]
    assert {(each.requests, each.failures) for each in steady[1:-1]} == {(420.0, 3.0)}


async def test_a_gap_between_scrapes_is_no_burst_and_a_restart_counts_from_zero(address):
    found = await counted(address)
    whole = sum(each.requests for each in found.own)
    steps = (NOW - RELEASED) / 5 + 1
    assert whole == pytest.approx(100.0 * steps + 1.0, abs=201.0)  # what the first scrape of it had, and no more
    assert max(each.requests for each in found.own) <= 501.0  # four missed scrapes come with the fifth
    assert sum(each.failures for each in found.own) == 30.0 * 24


async def test_the_sentence_is_what_a_person_can_count_again(address):
    found = await counted(address)
    weighed = evidence.weigh(found, Caution.STANDARD)
    assert worse.words(found, weighed).endswith(
        "2.0 failed 90 of 300 requests in 15s (30 %); after 1.0, 1.427 % is allowed."
        " Were it no worse, so many would be luck at most 1 in 1 000 000 000."
    )


@pytest.mark.parametrize("nonsense", ["NaN", "+Inf", "-Inf"])
async def test_failures_that_are_no_number_for_a_moment_are_no_burst_afterwards(tmp_path, nonsense):
    """Every second scrape of 500 old failures is no number: what the counter grew by is not known, and not 500."""
    shop = Counters(tmp_path)
    shop.serves(MATCH, "1.0", "a:1", NOW - 1000, RELEASED - 5, requests=100.0, failures=lambda _: 0.0, job="shop")
    place = {"job": "shop", "instance": "b:1"}
    for number in range(int((NOW - RELEASED) / 5) + 1):
        at = RELEASED + 5.0 * number
        shop.add("target_info", {**MATCH, **place, "service_version": "2.0"}, at, at)
        shop.add(REQUESTS, {**place, "http_response_status_code": "200"}, at, at, 100.0 * number)
        failed = nonsense if number % 2 else 500.0
        shop.add(REQUESTS, {**place, "http_response_status_code": "500"}, at, at, failed)
    with remembered(shop, NO_RULES) as address:
        found = await counted(address)
    assert sum(each.failures for each in found.own if each.at > RELEASED + 5) == 0
