"""Who is in trouble: what counts as a target's trigger, from when, and for how long."""

import pytest

from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import StormLimit
from unit.controller.factories import policy, target


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 5.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def shop(name, **fields):
    return target(name=name, match=({"service_name": name},), **fields)


def trouble(clock, *targets, within=300.0):
    made = Trouble(clock)
    made.use(targets, StormLimit(3, within))
    return made


def trigger(name, **more):
    return {"alertname": "A", "service_name": name, "action": "rollback", **more}


def test_a_target_counts_from_its_first_firing_trigger_until_the_time_after_its_last(clock):
    seen = trouble(clock, shop("a"), shop("b"), within=60.0)
    assert seen.recent() == ()
    assert seen.see([trigger("a", instance="1")]) == {"a"}
    assert seen.recent() == ("a",)
    clock.now += 50
    seen.see([trigger("a")])
    clock.now += 60
    assert seen.see([]) == frozenset()
    assert seen.recent() == ("a",)
    clock.now += 0.1
    assert seen.recent() == ()


def test_in_a_storm_of_very_many_targets_none_is_asked_by_itself_until_it_is_over(clock):
    shops = [shop(f"s{number}") for number in range(33)]
    seen = trouble(clock, *shops, within=60.0)
    seen.see([trigger(each.name) for each in shops[:32]])
    assert seen.spared() == ""
    seen.see([trigger("s32")])
    assert seen.spared() == "in a storm of 33 targets none is asked by itself"
    seen.use(shops, StormLimit(33, 60.0))  # then so many are no storm
    assert seen.spared() == ""
    seen.use(shops, StormLimit(3, 60.0))
    clock.now += 61.0
    assert (seen.spared(), seen.recent()) == ("", ())


def test_who_is_in_trouble_is_counted_anew_only_when_somebody_joins_or_leaves(clock):
    """Each of 2,000 judgements counted all 2,000 targets several times."""
    seen = trouble(clock, shop("a"), shop("b"), within=60.0)
    seen.see([trigger("a")])
    before = seen.recent()
    clock.now += 30
    seen.see([trigger("a")])
    assert seen.recent() is before
    seen.see([trigger("b")])
    assert seen.recent() == ("a", "b")
    clock.now += 45
    seen.saw("b")
    clock.now += 20
    assert seen.recent() == ("b",)


def test_targets_are_named_in_the_order_in_which_their_trouble_began(clock):
    seen = trouble(clock, shop("a"), shop("b"), within=60.0)
    seen.saw("b")
    clock.now += 30
    seen.see([trigger("a"), trigger("b")])
    assert seen.recent() == ("b", "a")
    clock.now += 61
    seen.saw("a")
    seen.saw("b")
    assert seen.recent() == ("a", "b")


def test_only_triggers_count_and_a_target_may_have_several_matches(clock):
    careful = shop("b", policy=policy(alerts={"team": "b", "action": "rollback"}))
    wide = target(name="c", match=({"service_name": "c"}, {"job": "c", "namespace": "n"}))
    never = target(name="d", match=({"action": "page"},))
    seen = trouble(clock, shop("a"), careful, wide, never)
    assert seen.see([trigger("a", action="page"), trigger("b"), {"action": "page"}, {"alertname": "A"}]) == set()
    assert seen.see([trigger("b", team="b")]) == {"b"}
    assert seen.see([{"job": "c", "namespace": "n", "action": "rollback"}]) == {"c"}


def test_an_alert_of_several_targets_counts_for_none_of_them(clock):
    seen = trouble(clock, shop("a"), target(name="b", match=({"service_name": "a"}, {"job": "b"})))
    assert seen.see([trigger("a")]) == set()
    assert seen.see([trigger("", job="b")]) == {"b"}


def test_a_reload_keeps_what_was_seen_of_targets_that_stay(clock):
    seen = trouble(clock, shop("a"), shop("b"))
    seen.see([trigger("a"), trigger("b")])
    seen.use([shop("b"), shop("c")], StormLimit(1, 300.0))
    assert seen.recent() == ("b",)
    assert seen.see([trigger("a"), trigger("c")]) == {"c"}
