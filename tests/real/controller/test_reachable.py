"""A trigger rule that is said to speak of a target leads to a decision about it, whatever `match` and rules say.

Asked of a real Prometheus that remembers a time when all was well, and one with a fault.
"""

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from real.controller.past import Past, remembered
from rearguard_controller.adapters.prometheus import (
    AlertingRule,
    Prometheus,
    PrometheusAlert,
    Rules,
    figures,
    possible,
)
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.model import AlertState
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.coverage import Coverage
from rearguard_controller.watching.current_figures import threshold_in
from unit.controller.factories import policy, target

END = time.time() // 15 * 15 - 600
WELL, FAULT = END - 600, END  # two moments

ORDERS = {"service_name": "orders", "deployment_environment_name": "production", "job": "orders"}
OLDER = {"service_name": "basket", "deployment_environment": "production", "job": "basket"}
PLAIN = {"job": "plain", "namespace": "shop"}
MATCHES = {
    "service_name": ["orders", "basket", "order", ""],
    "deployment_environment_name": ["production", "prod"],
    "deployment_environment": ["production", "staging"],
    "job": ["orders", "plain", "kube"],
    "namespace": ["shop", "till"],
    "team": ["web", "data"],
    "app": ["orders", "cellar"],
    "alertname": ["Rule3", "Other"],
}
BY_SERVICE = "service_name, deployment_environment_name, service_version"
RULES = [  # expression, figure, threshold, labels
    ("errors > 0.1", "", "", {}),
    (f"max by ({BY_SERVICE}) (errors) > 0.1", f"max by ({BY_SERVICE}) (errors)", "> 0.1", {}),
    ("max by (job) (errors) > 0.1", "", "", {}),
    ("sum by (namespace) (errors) >= 0.2 and on () vector(1) == 1", "", "", {"team": "web"}),
    ("errors > on (service_name) group_left () limits", "errors", "> limits", {}),
    ("errors > 0.1 unless on (job) repaired", "", "", {"app": "{{ $labels.service_name }}"}),
    ('failures{code="500"} / ignoring (code) requests > 0.1', "", "", {}),
    ('absent(beats{job="kube", namespace="shop"})', "", "", {}),
    ("max(errors) > 0.1", "max(errors)", "> 0.1", {"service_name": "orders"}),
    ("max by (job) (errors) > 0.1", "max by (service_name) (errors)", "> 0.1", {}),
    ("errors > 0.1 and on (job) young", "errors", "> 0.1", {}),
    ("up == 0", "", "", {}),
    ("misspelt > 0.1", "errors", "> 0.1", {}),
    ('failures{status="500"} / ignoring (status, code) requests > 0.1', "", "", {}),
    ('errors{service_name="orders"} > 0.1 and on () (misspelt or on () young)', "errors", "> 0.1", {}),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    past = Past(tmp_path_factory.mktemp("past"), every=15)
    for number, labels in enumerate((ORDERS, OLDER, PLAIN)):
        own = {**labels, "instance": f"10.0.0.{number}:80"}
        version = {} if labels is PLAIN else {"service_version": "v1"}
        for start, value in ((WELL - 300, 0.0), (FAULT - 300, 0.5)):
            past.add("errors", {**own, **version}, start, start + 300, value)
            past.add("requests", own, start, start + 300, 1.0)
            past.add("up", own, start, start + 300, 1.0)
        past.add("failures", {**own, "code": "200"}, WELL - 300, FAULT, 1.0)
        past.add("failures", {**own, "code": "500"}, FAULT - 300, FAULT, 0.5)
    past.add("limits", {"service_name": "orders"}, WELL - 300, FAULT, 0.1)
    for labels in (ORDERS, OLDER, PLAIN):  # a release of each
        past.add("young", {"job": labels["job"]}, FAULT - 300, FAULT, 1.0)
    past.add("beats", {"job": "kube", "namespace": "shop"}, WELL - 300, WELL, 1.0)
    with remembered(past, "groups: []\n") as found:
        yield found


class At:
    """Prometheus, asked about one moment."""

    def __init__(self, prometheus, moment):
        self._prometheus, self._moment = prometheus, moment

    async def query(self, expression, _time=None):
        return await self._prometheus.query(expression, self._moment)


def rule(number):
    query, figure, threshold, labels = RULES[number]
    annotations = {"figure": figure, "threshold": threshold} if figure else {}
    worn = {"action": "rollback", **labels}
    return AlertingRule(f"Rule{number}", query, worn, annotations, 0.0, "ok", "", "shop", interval=15.0)


matches = st.dictionaries(st.sampled_from(sorted(MATCHES)), st.integers(0, 3), min_size=1, max_size=3).map(
    lambda found: {name: MATCHES[name][number % len(MATCHES[name])] for name, number in found.items()}
)
telemetries = st.none() | st.sampled_from([ORDERS, {"service_name": "orders"}, {"job": "plain"}])


async def spoken(address, it, rules):
    """The rules that are said to speak of a target while all is well."""
    prometheus = Prometheus(PrometheusSettings(urls=(address,)))
    try:
        well = At(prometheus, WELL)
        coverage = Coverage(well, [it], time.monotonic)
        table = await current_figures.tabulate(well, rules.alerting)
        coverage.hear(it, await coverage.ask(rules.alerting, rules, table))
        rows = {each.name: current_figures.rows_of(table, [each]) for each in rules.alerting}
        lacking = {name for name, of in rows.items() if any(threshold_in(row, it.telemetry) is None for row in of)}
        return tuple(name for name in coverage.names(it.name) if name not in lacking)  # the check `thresholds`
    finally:
        await prometheus.close()


async def decided(address, it, rules, name):
    """Whether an alert of this rule belongs to the target when there is a fault, and its condition is confirmed."""
    prometheus = Prometheus(PrometheusSettings(urls=(address,)))
    fault = At(prometheus, FAULT)
    try:
        found = next(each for each in rules.alerting if each.name == name)
        for sample in await fault.query(found.query):
            labels, _ = possible.alert_labels(found, sample.labels)
            alert = PrometheusAlert(labels, found.annotations, AlertState.FIRING, FAULT, sample.value)
            condition = figures.condition_of(alert, rules, it)
            if it.owns(labels) and condition is not None and (await figures.measure(fault, condition)).past:
                return True
        return False
    finally:
        await prometheus.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    match=st.lists(matches, min_size=1, max_size=2),
    telemetry=telemetries,
    chosen=st.sets(st.integers(0, len(RULES) - 1), min_size=1, max_size=4),
)
def test_a_rule_that_is_said_to_speak_of_a_target_leads_to_a_decision_about_it(address, match, telemetry, chosen):
    it = target(match=tuple(match), telemetry=telemetry or match[0], policy=policy())
    rules = Rules(alerting=tuple(rule(number) for number in sorted(chosen)))
    for name in asyncio.run(spoken(address, it, rules)):
        assert asyncio.run(decided(address, it, rules, name)), (name, match, telemetry)


@pytest.mark.parametrize(
    ("match", "number"),
    [
        ({"service_name": "orders", "deployment_environment_name": "production"}, 1),
        ({"service_name": "basket", "deployment_environment_name": "production"}, 0),  # of the older name
        ({"service_name": "orders", "deployment_environment": "production"}, 1),
        ({"job": "plain"}, 2),
        ({"namespace": "shop", "team": "web"}, 3),
        ({"service_name": "orders", "job": "orders"}, 4),
        ({"app": "orders"}, 5),
        ({"job": "plain"}, 6),  # no failure was ever counted while all was well
        ({"job": "kube", "namespace": "shop"}, 7),
        ({"service_name": "orders", "job": "orders"}, 10),  # nothing is young yet
        ({"service_name": "orders"}, 14),
    ],
)
def test_a_rule_of_each_kind_speaks_of_its_target_while_all_is_well(address, match, number):
    it, rules = target(match=(match,), telemetry=match, policy=policy()), Rules(alerting=(rule(number),))
    assert asyncio.run(spoken(address, it, rules)) == (f"Rule{number}",)


@pytest.mark.parametrize(
    ("match", "number"),
    [
        ({"job": "orders"}, 1),
        ({"service_name": "orders", "namespace": "shop"}, 0),
        ({"service_name": "order"}, 1),
        ({"service_name": "orders", "deployment_environment_name": "prod"}, 1),
        ({"service_name": "orders"}, 9),  # its figure could be measured, and no alert of it belongs to the target
        ({"job": "orders"}, 11),  # `up` alone
        ({"service_name": "orders"}, 12),  # its figure has a value, and its expression reads what nobody shows
        ({"service_name": "orders"}, 13),  # nobody has the label by which it tells failures
        ({"service_name": "basket"}, 14),  # compared is another service alone
    ],
)
def test_a_rule_whose_alerts_lack_a_label_does_not_speak_of_the_target(address, match, number):
    it, rules = target(match=(match,), telemetry=match, policy=policy()), Rules(alerting=(rule(number),))
    assert asyncio.run(spoken(address, it, rules)) == ()
