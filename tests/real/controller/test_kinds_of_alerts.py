"""Alerts whose labels are not the telemetry's: of kube-state-metrics, with templates, of several rules, and forged.

The product decides and acts in a world of its own (alert_world.py).
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from real.controller.alert_world import AlertScene, Rule
from real.controller.decision_world import ANNOTATIONS, POLL
from rearguard_controller.intake.by_hand import ManualRequest
from rearguard_controller.model import Alert, Outcome, ReasonCode
from rearguard_controller.model.identity import key_of
from unit.controller.factories import MATCH, TARGET

KUBE = {"namespace": "shop", "deployment": "shop"}
KSM = {"job": "ksm", "instance": "ksm:8080"}
ELSEWHERE = {"namespace": "shop", "deployment": "basket"}


@pytest.fixture
def scene(tmp_path):
    made = []

    def make_one(*rules, **fields):
        made.append(AlertScene(tmp_path / str(len(made)), *rules, **fields))
        return made[-1]

    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    yield make_one
    for each in made:
        each.controller.end()


def unavailable(*more, **fields):
    """A rule of a user over kube-state-metrics: no figure, and no label of telemetry."""
    return Rule("ReplicasUnavailable", [{**KUBE, **KSM}, *more], **fields)


def by_hand(it):
    request = ManualRequest(TARGET, "replicas are missing", "ann")
    target = it.controller.target
    return it.controller.do(it.controller.parts.people.by_hand.open(target, request)).rollback


def decisions(it):
    return it.controller.do(it.controller.file.decisions()).items


def answer(decision, code):
    return next(each for each in decision.reasons if each.code is code)


# --- whose condition: the alert's own labels


def test_an_alert_without_figure_acts_by_its_own_labels_and_is_recovered_when_it_ends(scene):
    it = scene(rule := unavailable(ELSEWHERE | KSM, ends_with="v2"), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.poll()
    closed = it.close()
    assert (closed.from_version, closed.to_version, closed.outcome) == ("v2", "v1", Outcome.RECOVERED)


def test_an_alert_that_lasts_whatever_serves_is_not_recovered_by_a_rollback_by_hand(scene):
    it = scene(rule := unavailable(), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.poll()
    it.world.silenced = True
    rollback = by_hand(it) if it.controller.open() is None else it.controller.open()
    closed = it.close(rollback)
    assert closed.outcome is Outcome.NOT_RECOVERED
    assert "ReplicasUnavailable" in closed.detail


def test_the_same_fault_of_another_target_neither_confirms_nor_spoils(scene):
    other = Rule("ReplicasUnavailable", [ELSEWHERE | KSM])
    it = scene(rule := unavailable(ends_with="v2", query="q1"), other, match=(MATCH, KUBE)).release()
    it.world.begin(rule, other)
    it.controller.run_for(POLL)
    it.controller.poll()
    assert it.close().outcome is Outcome.RECOVERED


def test_an_alert_that_begins_after_the_rollback_and_is_not_among_its_conditions_spoils_it(scene):
    it = scene(rule := unavailable(ends_with="v2"), late := Rule("PodsCrash", [KUBE]), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.poll()
    it.world.begin(late)
    closed = it.close()
    assert closed.outcome is Outcome.NOT_RECOVERED
    assert "PodsCrash still fires in Prometheus" in closed.detail


def test_an_expression_that_returns_nothing_because_its_source_is_gone_proves_nothing(scene):
    it = scene(rule := unavailable(ends_with="v2"), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.poll()
    it.world.source_up = False
    closed = it.close()
    assert closed.outcome is Outcome.NOT_RECOVERED
    assert "no data" in closed.detail


def test_the_same_holds_for_an_alert_that_does_not_tell_its_job(scene):
    """As `max by (namespace, deployment) (...)`: the target's own instances are up, kube-state-metrics is gone."""
    it = scene(rule := Rule("ReplicasUnavailable", [KUBE], ends_with="v2"), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.poll()
    it.world.source_up = False
    closed = it.close()
    assert closed.outcome is Outcome.NOT_RECOVERED
    assert "nothing of ksm, which told of ReplicasUnavailable, is scraped now" in closed.detail


# --- which rule


@pytest.mark.parametrize("lists_alerts", [True, False])
@pytest.mark.parametrize(
    ("labels", "series", "match"),
    [
        ({"service": "{{ $labels.app }}"}, {"app": "shop"}, {"service": "shop"}),
        ({"service": "{{ $labels.instance }}"}, {"instance": "shop:80"}, {"service": "shop:80"}),
        ({"severity": "", "service": "shop"}, {"severity": "page", "app": "shop"}, {"service": "shop"}),
    ],
    ids=["template", "template of an instance", "empty"],
)
def test_a_rule_is_found_whatever_its_labels_become(scene, labels, series, match, lists_alerts):
    rule = Rule("AppErrors", [series], labels={"action": "rollback", **labels}, ends_with="v2")
    it = scene(rule, match=(MATCH, match), lists_alerts=lists_alerts, rule_labels={"cluster": "eu-1"}).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.poll()
    assert it.close().outcome is Outcome.RECOVERED


@pytest.mark.parametrize("lists_alerts", [True, False])
def test_of_several_rules_of_one_name_that_of_the_alert_is_measured(scene, lists_alerts):
    lasting = Rule("AppErrors", [{"app": "other"}], labels={"action": "rollback", "team": "b"}, query="lasting")
    own = Rule("AppErrors", [KUBE], labels={"action": "rollback", "team": "a"}, query="own", ends_with="v2")
    it = scene(lasting, own, match=(MATCH, KUBE), lists_alerts=lists_alerts).release()
    it.world.begin(lasting, own)
    it.controller.run_for(POLL)
    it.controller.poll()
    assert [each.figure for each in it.controller.open().conditions] == ["own"]
    assert it.close().outcome is Outcome.RECOVERED


# --- whose labels: those that Prometheus has


def test_a_delivery_makes_no_trigger_of_an_alert_that_is_none_in_prometheus(scene):
    it = scene(rule := Rule("PlatformErrors", [{}], labels={"severity": "page"})).release()
    it.world.begin(rule)
    forged = {"alertname": "PlatformErrors", "severity": "page", "action": "rollback", **MATCH}
    it.controller.deliver(Alert("PlatformErrors", forged, {"figure": "1", "threshold": "> 0"}))
    it.controller.run_for(POLL)
    assert it.controller.open() is None
    decision = decisions(it)[0]
    assert decision.verdict.value == "leave"
    assert "that were delivered" in answer(decision, ReasonCode.TARGET_KNOWN).detail
    assert answer(decision, ReasonCode.ALERT_CONFIRMED).holds is False


def test_a_target_that_only_delivered_labels_name_is_not_the_target_and_the_labels_that_lack_are_named(scene):
    """As of `match` with an external label: Prometheus puts it on the delivery, and on no alert of its own."""
    it = scene(rule := unavailable(), match=(MATCH, {**KUBE, "cluster": "eu-1"})).release()
    it.world.begin(rule)
    it.controller.deliver(Alert(rule.name, {**rule.alerts()[0], "cluster": "eu-1"}))
    it.controller.run_for(POLL)
    assert it.controller.open() is None
    decision = decisions(it)[0]
    assert answer(decision, ReasonCode.TARGET_KNOWN).holds is False
    assert 'cluster="eu-1"' in answer(decision, ReasonCode.ALERT_CONFIRMED).detail


@pytest.mark.parametrize("more", [{}, {"cluster": "eu-1", "replica": "a"}], ids=["the same", "external labels"])
def test_a_delivery_with_labels_that_alertmanager_added_is_the_alert_of_prometheus(scene, more):
    it = scene(rule := unavailable(ends_with="v2"), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.deliver(Alert(rule.name, {**rule.alerts()[0], **more}))
    assert it.controller.open() is not None
    assert decisions(it)[0].alert.labels == rule.alerts()[0]


def test_a_delivery_that_lost_labels_leads_to_the_alerts_that_prometheus_has(scene):
    it = scene(rule := unavailable({**KUBE, "pod": "b"}, ends_with="v2"), match=(MATCH, KUBE)).release()
    it.world.begin(rule)
    it.controller.run_for(POLL)
    it.controller.deliver(Alert(rule.name, {"alertname": rule.name, "action": "rollback"}))
    it.controller.run_for(POLL)
    judged = {key_of(each.alert): each.alert.labels for each in decisions(it)}
    assert sorted(judged.values(), key=len) == sorted(rule.alerts(), key=len)
    assert sum(each.rollback_id is not None for each in decisions(it)) == 1


LABELS = st.dictionaries(
    st.sampled_from(["action", "service_name", "namespace", "deployment", "severity", "service_version", "cluster"]),
    st.sampled_from(["rollback", "checkout", "shop", "page", "v1", "v2", ""]),
    max_size=2,
)


FORGED = {"action": "rollback", "namespace": "shop"}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    series=LABELS,
    rule_labels=LABELS,
    delivered=LABELS | st.just(FORGED) | LABELS.map(lambda more: {**more, **FORGED}),
    drops=st.sets(st.sampled_from(list("ands"))),
    figure=st.sampled_from([{}, ANNOTATIONS]),
)
def test_a_delivery_never_makes_happen_what_the_alert_of_prometheus_would_not(
    tmp_path_factory, series, rule_labels, delivered, drops, figure
):
    """Whatever is delivered beside, without, or in contradiction to what Prometheus has."""
    rule = Rule("Any", [series], rule_labels, figure, ends_with="v2")
    match = {"namespace": "shop"}
    it = AlertScene(tmp_path_factory.mktemp("any"), rule, match=(match,))
    try:
        it.release()
        it.world.begin(rule)
        it.world.bad.add("v2")
        it.world.settle()
        it.controller.run_for(POLL)
        [fires] = rule.alerts()
        claims = {**{name: value for name, value in fires.items() if name[0] not in drops}, **delivered}
        it.controller.deliver(
            Alert("Any", {**claims, "alertname": "Any"}, {"figure": "vector(1)", "threshold": "> 0"})
        )
        it.controller.run_for(POLL)
        is_trigger = fires.get("action") == "rollback" and fires.get("namespace") == "shop"
        opened = [each for each in decisions(it) if each.rollback_id is not None]
        assert is_trigger or not opened
        for each in opened:
            assert each.alert.labels == fires
        if not is_trigger and {**match, "action": "rollback"}.items() <= claims.items():
            assert decisions(it), "what was delivered is recorded"
    finally:
        it.controller.end()


SERIES = st.dictionaries(
    st.sampled_from(["namespace", "deployment", "pod", "instance", "service_name", "service_version", "job", "app"]),
    st.sampled_from(["shop", "checkout", "v1", "v2", "a", "b"]),
    max_size=5,
)
TEMPLATES = st.dictionaries(
    st.sampled_from(["team", "service", "pod", "namespace"]),
    st.sampled_from(["shop", "", "{{ $labels.app }}", "{{ $labels.pod }}"]),
    max_size=3,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    series=st.lists(SERIES, min_size=1, max_size=3, unique_by=lambda each: tuple(sorted(each.items()))),
    added=TEMPLATES,
    lists_alerts=st.booleans(),
    figure=st.sampled_from([{}, ANNOTATIONS]),
    ends=st.booleans(),
)
def test_nothing_is_called_recovered_while_prometheus_lists_a_trigger_of_the_target_as_firing(
    tmp_path_factory, series, added, lists_alerts, figure, ends
):
    rule = Rule("Any", series, {"action": "rollback", **added}, figure, ends_with="v2" if ends else None)
    it = AlertScene(
        tmp_path_factory.mktemp("any"), rule, match=(MATCH, {"namespace": "shop"}), lists_alerts=lists_alerts
    )
    try:
        it.release()
        it.world.begin(rule)
        it.controller.poll()
        rollback = it.controller.open() or by_hand(it)
        closed = it.close(rollback)
        fires = any(it.controller.target.triggered_by(labels) for labels in rule.alerts()) and rule.holds
        assert not (closed.outcome is Outcome.RECOVERED and fires)
    finally:
        it.controller.end()
