"""Whose an alert is, looked up for all targets at once: the same as asking every target by itself."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.facts.owners import Owners
from rearguard_controller.model import is_subset
from unit.controller.factories import target

NAMES = ("service_name", "deployment_environment_name", "deployment_environment", "team", "rearguard_drill")
SETS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("", "a", "b")), max_size=4)
MATCHES = st.lists(SETS.filter(lambda labels: labels and "rearguard_drill" not in labels), min_size=1, max_size=3)
TARGETS = st.lists(MATCHES, max_size=4).map(
    lambda matches: [replace(target(name=f"t{n}"), match=tuple(each)) for n, each in enumerate(matches)]
)


@given(TARGETS, SETS)
def test_the_owners_of_an_alert_are_the_targets_that_say_so_in_their_order(targets, labels):
    assert list(Owners(targets).of(labels)) == [each for each in targets if each.owns(labels)]


@given(TARGETS, SETS, SETS)
def test_triggers_are_known_as_the_policies_of_the_targets_say(targets, labels, wanted):
    targets = [replace(each, policy=replace(each.policy, alerts=wanted)) for each in targets]
    assert Owners(targets).are_triggered_by(labels) == any(each.triggered_by(labels) for each in targets)
    assert Owners(targets).may_trigger(labels) == any(is_subset(each.policy.alerts, labels) for each in targets)
