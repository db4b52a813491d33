"""Addresses that stand for several processes: which counts are those of workers, and what a target is told."""

import random

import pytest

from rearguard_controller.model import Sample
from rearguard_controller.watching.one_process import LOOK, Shared, check, read, take_turns
from unit.controller.factories import target

NOW = 1_700_000_000.0
SHOP = target(match=({"service_name": "shop"},))
UP = [("shop", "a:80")]


def scrapes(every, value):
    """What a recorded series shows in ten minutes: the newest scrape, every 5 s."""
    shown = {}
    for number in range(int(LOOK / every) + 1):
        shown[NOW - LOOK + number * every] = value(number * every)
    moments = sorted(shown)
    points = []
    for at in range(int(NOW - LOOK), int(NOW) + 1, 5):
        newest = max(moment for moment in moments if moment <= at)
        points.append((float(at), shown[newest]))
    return points


@pytest.mark.parametrize("every", [5, 15])
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_workers_behind_one_port_are_seen_soon(workers, every):
    seen = 0
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311 - which worker answers
        started = [chance.uniform(0, 5000) for _ in range(workers)]
        counts = scrapes(every, lambda at: 3.0 * at + chance.choice(started))  # noqa: B023 - called at once
        seen += take_turns(counts, NOW)
    assert seen >= (18 if every == 5 else 4)  # of 20 looks; a look follows every poll


@pytest.mark.parametrize("every", [5, 15])
@pytest.mark.parametrize("life", [7, 20, 31, 60, 90, 250])
def test_a_crash_loop_is_one_process(life, every):
    for shift in range(20):
        assert not take_turns(scrapes(every, lambda at: 3.0 * ((at + shift) % life)), NOW)  # noqa: B023


def test_a_crash_loop_of_any_rhythm_is_one_process():
    for seed in range(300):
        chance = random.Random(seed)  # noqa: S311
        last = [0.0, 0.0]

        def counted(at, chance=chance, last=last):
            if chance.random() < 0.3:
                last[1] = at - chance.uniform(0, 5)
            return (at - last[1]) * chance.uniform(1, 4)

        assert not take_turns(scrapes(5, counted), NOW)


def test_counts_of_less_than_the_whole_time_say_nothing():
    assert not take_turns([(NOW - 5, 10.0), (NOW, 5.0)], NOW)
    assert not take_turns([], NOW)


def ambiguous(*services, job="shop", instance="a:80"):
    return tuple(Sample({"job": job, "instance": instance, "service_name": name}, 1.0) for name in services)


@pytest.mark.parametrize("instances", [UP, []], ids=["its series are there", "its series are not"])
def test_an_ambiguous_instance_is_not_ready_for_each_service_that_is_shown_there(instances):
    found = check(SHOP, instances, Shared(ambiguous("cart", "shop")))
    assert found.holds is False
    assert "Instance a:80 of job shop stands for several processes: cart and shop." in found.detail


def test_instances_of_others_say_nothing_of_a_target():
    known = Shared(ambiguous("cart", "search", instance="b:80"), frozenset({("shop", "c:80")}))
    assert check(SHOP, UP, known).holds is True


def test_processes_in_turn_are_not_ready():
    found = check(SHOP, UP, Shared(in_turn=frozenset({("shop", "a:80")})))
    assert found.holds is False
    assert "Instance a:80 of job shop is answered by several processes in turn" in found.detail


@pytest.mark.parametrize(("instances", "known"), [(None, Shared()), (UP, None)])
def test_without_an_answer_of_prometheus_it_is_not_known(instances, known):
    assert check(SHOP, instances, known).holds is None


class Says:
    """A Prometheus that answers every question with the same number for an instance."""

    def __init__(self, value):
        self.value = value

    async def query(self, _expression, _time=None):
        return (Sample({"job": "shop", "instance": "a:80", "service_name": "shop"}, self.value),)

    async def query_range(self, *_question):
        return ()


@pytest.mark.parametrize(("value", "holds"), [(0.0, True), (1.0, False), (2.0, False)])
async def test_a_series_that_says_none_by_a_zero_finds_no_ambiguous_instance(value, holds):
    known = await read(Says(value), NOW)
    assert check(SHOP, UP, known).holds is holds
