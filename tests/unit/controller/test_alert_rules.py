"""Which rules an alert comes from, and which of its labels it has from the series of their expression."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, Rules, Series, figures
from rearguard_controller.adapters.prometheus.alert_rules import can_raise, from_series, rules_of, worn
from rearguard_controller.backtest.curves import Curves, condition_of
from rearguard_controller.backtest.nouns import AlertHistory, Curve, Stretch
from rearguard_controller.model import AlertState, Condition
from rearguard_controller.model.observations import EXISTS
from unit.controller.factories import MATCH, NOW, target

KUBE = {"namespace": "shop", "deployment": "shop"}


def rule(query: str = "q", name: str = "A", /, **labels: str) -> AlertingRule:
    return AlertingRule(name, query, labels, {}, 0.0, "ok", "", "g", 5.0)


def listing(one: AlertingRule, **labels: str) -> AlertingRule:
    return replace(one, alerts=frozenset({frozenset({"alertname": one.name, **labels}.items())}))


def queries(labels: dict[str, str], *rules: AlertingRule) -> list[str]:
    return [each.query for each in rules_of({"alertname": "A", **labels}, Rules(alerting=rules))]


def test_the_rule_that_lists_the_alert_is_meant_whatever_others_of_its_name_say():
    one, other = rule("one", team="a"), listing(rule("other", team="{{ $labels.owner }}"), team="a")
    assert queries({"team": "a"}, one, other) == ["other"]


@pytest.mark.parametrize(
    ("rules", "labels", "found"),
    [
        ([rule(team="{{ $labels.owner }}")], {"team": "a"}, ["q"]),
        ([rule(cluster="eu-1")], {"team": "a"}, ["q"]),  # only a querier adds it
        ([rule(team="")], {"pod": "x"}, ["q"]),  # an empty label is none
        ([rule(team="b")], {"team": "a"}, []),
        ([rule("one", severity="page"), rule("two")], {"severity": "page"}, ["one"]),
        ([rule("one", severity="page"), rule("two")], {"severity": "info"}, ["two"]),
        ([rule("one"), rule("two")], {}, ["one", "two"]),  # they cannot be told apart
        ([rule("one", "B")], {}, []),
    ],
    ids=["template", "querier", "empty", "another", "most labels", "no contradiction", "alike", "another name"],
)
def test_without_lists_the_rules_of_its_name_that_agree_with_it_in_most_labels_are_meant(rules, labels, found):
    assert queries(labels, *rules) == found


def test_of_rules_that_cannot_be_told_apart_the_expression_of_any_counts():
    alert = PrometheusAlert({"alertname": "A", **KUBE}, {}, AlertState.FIRING, NOW, 1.0)
    rules = Rules(alerting=(rule("x > 1 # one"), rule("rate(y[2m]) > 1")))
    found = figures.condition_of(alert, rules, target(match=(KUBE,)))
    assert (found.figure, found.settle) == ("(x > 1 # one\n) or (rate(y[2m]) > 1\n)", 120.0)


@pytest.mark.parametrize(
    ("labels", "added", "match", "own"),
    [
        ({**KUBE, "action": "rollback"}, {"action": "rollback"}, KUBE, KUBE),
        ({**KUBE, "pod": "a", "instance": "b", "service_version": "v2"}, {}, KUBE, KUBE),
        ({"instance": "a", "job": "b"}, {}, {"instance": "a"}, {"instance": "a", "job": "b"}),
        ({"pod": "a", "s": "a"}, {"s": "{{ $labels.pod }}"}, {"s": "a"}, {"pod": "a"}),
        ({"pod": "a", "s": "a"}, {"s": "{{ .Labels.app }}"}, {"s": "a"}, {}),
        ({"pod": "a", "s": "a"}, {"s": '{{ query "x" }}'}, {"s": "a"}, {"pod": "a"}),
        ({"pod": "a", "s": "a"}, {"s": "a"}, {"s": "a"}, {}),
    ],
    ids=[
        "static",
        "of an instance",
        "matched by it",
        "template of it",
        "template of others",
        "unknown",
        "the rule's",
    ],
)
def test_labels_of_one_instance_stay_only_if_the_alert_belongs_to_its_target_by_them(labels, added, match, own):
    assert from_series({"alertname": "A", **labels}, [rule(**added)], [match]) == own


def test_the_alert_of_a_series_has_the_labels_of_its_rule_with_simple_templates_filled_in():
    series = {"__name__": "up", "app": "shop", "pod": "x", "team": "y"}
    made = worn(rule(service="{{ $labels.app }}", pod="", team='{{ query "x" }}'), series)
    assert made == {"alertname": "A", "app": "shop", "service": "shop"}


def test_a_rule_can_raise_a_trigger_by_a_template_too():
    assert can_raise(rule(action="{{ $labels.action }}"), {"action": "rollback"})
    assert can_raise(rule(action="rollback"), {"action": "rollback", "alertname": "A"})
    assert not can_raise(rule(action="page"), {"action": "rollback"})
    assert not can_raise(rule(), {"action": "rollback"})


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ({**KUBE, "job": "ksm"}, True),
        ({"namespace": "shop"}, True),  # it contradicts nothing
        ({**KUBE, "deployment": "basket"}, False),
        ({**MATCH, "service_version": "v1", **KUBE}, False),  # of another version than asked for
    ],
)
def test_without_a_figure_a_value_counts_unless_it_contradicts_the_labels_of_the_alert(labels, counts):
    of = Condition("A", "q", EXISTS, MATCH, labels=KUBE)
    assert figures.is_about(labels, of, "v2") is counts


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (MATCH, True),
        (KUBE, True),  # the map of `match` that the alert carries
        ({**KUBE, "deployment_environment": "staging"}, False),  # it contradicts telemetry, by the older name
        ({"namespace": "shop"}, False),
    ],
)
def test_a_figure_may_carry_the_labels_of_telemetry_or_those_by_which_the_alert_belongs(labels, counts):
    assert figures.is_about(labels, Condition("A", "q", "> 1", MATCH, labels=KUBE), None) is counts


def test_a_back_test_measures_an_alert_without_figure_by_its_own_labels_and_finds_its_rule_by_a_template():
    history = AlertHistory({"alertname": "A", "service": "shop", **KUBE}, (), (Stretch(NOW - 60, NOW),))
    it = target(match=({"service": "shop"},))
    of = condition_of(history, Rules(alerting=(rule(service="{{ $labels.deployment }}"), rule("x", "B"))), it)
    assert (of.figure, of.labels) == ("q", KUBE)
    other = Series({**KUBE, "deployment": "basket"}, ((NOW - 600.0, 1.0),))
    curve = Curve(of, NOW - 600, NOW, 5.0, (Series(KUBE, ((NOW - 60.0, 1.0), (NOW, 1.0))), other))
    assert Curves([curve]).now(NOW, "v2", present=True).past is True
    assert Curves([replace(curve, values=(other,))]).now(NOW - 600, "v2", present=True).past is False
