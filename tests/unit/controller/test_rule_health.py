"""Which error of a rule counts against which target, and what is said of it."""

import pytest

from rearguard_controller.adapters.prometheus import AlertingRule
from rearguard_controller.watching import rule_health
from unit.controller.factories import target

# As Prometheus 2.42 words it.
DOUBLED = (
    'found duplicate series for the match group {deployment_environment_name="production", service_name="search"} on '
    'the right hand-side of the operation: [{deployment_environment_name="production", service_name="search", '
    'team="sre"}, {deployment_environment_name="production", service_name="search", team="core"}];many-to-many '
    "matching not allowed: matching labels must be unique on one side"
)
SHOP = target(match=({"service_name": "shop", "deployment_environment_name": "production"},))
SEARCH = target(match=({"service_name": "search", "deployment_environment_name": "production"},))


def rule(name, error="", health=None):
    health = health or ("err" if error else "ok")
    return AlertingRule(name, "x > 1", {}, {}, 0.0, health, error, "group", interval=5.0)


RULES = (rule("HighErrorRate", DOUBLED), rule("ReleaseDown"))


def test_an_error_about_another_service_is_named_and_does_not_count():
    found = rule_health.check(SHOP, RULES)
    assert found.holds is True
    assert "HighErrorRate is not evaluated: found duplicate series" in found.detail


def test_an_error_about_the_target_counts_and_names_rule_and_error():
    found = rule_health.check(SEARCH, RULES)
    assert found.holds is False
    assert "HighErrorRate is not evaluated: found duplicate series" in found.detail
    assert 'service_name="search"' in found.detail


@pytest.mark.parametrize(
    "error",
    [
        "vector contains metrics with the same labelset after applying alert labels",
        "query timed out in expression evaluation",
        'found duplicate series for the match group {team="sre"} on the right hand-side',
        "found duplicate series for the match group {} on the left hand-side",
    ],
)
def test_an_error_that_names_no_service_counts_for_everybody(error):
    assert rule_health.check(SHOP, (rule("Own", error), rule("ReleaseDown"))).holds is False


def test_a_target_of_which_no_rule_is_evaluated_is_not_ready_whoever_is_to_blame():
    assert rule_health.check(SHOP, (rule("HighErrorRate", DOUBLED),)).holds is False


@pytest.mark.parametrize(
    ("rules", "holds"),
    [
        ((), False),
        ((rule("A"), rule("B")), True),
        ((rule("A", health="unknown"),), None),
        ((rule("A", DOUBLED), rule("B", health="unknown")), None),
    ],
)
def test_rules_that_are_absent_evaluated_or_not_evaluated_yet(rules, holds):
    assert rule_health.check(SHOP, rules).holds is holds
