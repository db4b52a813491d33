"""The controller's own metrics of thousands of targets: what is left out, and what no alert may miss."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.model import Detail, Outcome, Phase, Rollback, Score, Trigger
from rearguard_controller.model.checks import READY_CHECKS
from unit.controller.test_telemetry import TARGET, value

BAD_ENDS = {"failed", "needs_a_person", "not_recovered"}  # as rules/controller.yml counts them


def targets(many):
    return [replace(TARGET, name=f"shop-{number}") for number in range(many)]


def told(telemetry, target):
    """Every sample of a target: name and labels to value."""
    families = text_string_to_metric_families(telemetry.render(None)[0].decode())
    return {
        (sample.name, *sorted(item for item in sample.labels.items() if item[0] != "target")): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("target") == target
    }


def as_it_should_be(telemetry, name):
    telemetry.armed(name, armed=True)
    telemetry.given_up(name, given_up=False)
    telemetry.ready(name, dict.fromkeys(READY_CHECKS, True))
    telemetry.versions(name, serving="v2", last_known_good="v1")
    telemetry.observed(name, Score())


def test_in_brief_a_target_that_is_well_has_ten_series_and_the_counts_of_alerts_start_at_0():
    telemetry = Telemetry(targets(1), Detail.BRIEF)
    telemetry.leads(leading=True)
    as_it_should_be(telemetry, "shop-0")
    shown = told(telemetry, "shop-0")
    counted = {
        ("rearguard_rollbacks_total", ("outcome", outcome), ("trigger", trigger)): 0
        for outcome in BAD_ENDS
        for trigger in ("alert", "manual")
    }
    counted["rearguard_decision_reasons_total", ("holds", "false"), ("reason", "no_storm")] = 0
    states = {
        ("rearguard_target_armed",): 1,
        ("rearguard_target_version_info", ("state", "serving"), ("version", "v2")): 1,
        ("rearguard_target_version_info", ("state", "last_known_good"), ("version", "v1")): 1,
    }
    assert shown == {**counted, **states}


def test_in_brief_what_is_not_as_it_should_be_is_shown_until_it_is():
    telemetry = Telemetry(targets(1), Detail.BRIEF)
    telemetry.leads(leading=True)
    as_it_should_be(telemetry, "shop-0")
    well = told(telemetry, "shop-0")
    telemetry.armed("shop-0", armed=False, by=Outcome.FAILED)
    telemetry.given_up("shop-0", given_up=True)
    telemetry.ready("shop-0", {"thresholds": False, "prometheus": None, "replicas_agree": None})
    telemetry.versions("shop-0", serving="v2", last_known_good="v1", bad="v2")
    shown = told(telemetry, "shop-0")
    assert shown["rearguard_target_armed",] == 0
    assert shown["rearguard_target_disarmed", ("outcome", "failed")] == 1
    assert shown["rearguard_target_given_up",] == 1
    assert shown["rearguard_target_ready", ("check", "thresholds")] == 0
    assert shown["rearguard_target_ready", ("check", "prometheus")] == 0
    assert shown["rearguard_target_version_info", ("state", "bad"), ("version", "v2")] == 1
    telemetry.ready("shop-0", {"replicas_agree": True})
    as_it_should_be(telemetry, "shop-0")
    assert told(telemetry, "shop-0") == well


def not_ready(telemetry, name):
    return {labels[0][1] for family, *labels in told(telemetry, name) if family == "rearguard_target_ready"}


def test_in_brief_nothing_that_was_not_looked_at_passes_for_well():
    telemetry = Telemetry(targets(1), Detail.BRIEF)
    assert not_ready(telemetry, "shop-0") == set()  # who does not lead says nothing of any target
    telemetry.leads(leading=True)
    telemetry.know(targets(2), Detail.BRIEF)
    for name in ("shop-0", "shop-1"):
        assert not_ready(telemetry, name) == set(READY_CHECKS)
    telemetry.ready("shop-0", {"thresholds": True})
    assert not_ready(telemetry, "shop-0") == set(READY_CHECKS) - {"thresholds"}
    telemetry.leads(leading=False)
    assert not_ready(telemetry, "shop-0") == not_ready(telemetry, "shop-1") == set()


def test_in_brief_a_rollback_that_fails_is_counted_from_0_so_that_the_alert_sees_it():
    telemetry = Telemetry(targets(1), Detail.BRIEF)
    labels = {"target": "shop-0", "outcome": "failed", "trigger": "alert"}
    assert value(telemetry, "rearguard_rollbacks_total", **labels) == 0
    given = {"phase": Phase.CLOSED, "outcome": Outcome.FAILED, "opened_at": 100.0, "closed_at": 107.0, "steps": ()}
    telemetry.closed(Rollback("r", "d", "shop-0", Trigger.ALERT, "why", "v2", "v1", **given))
    assert value(telemetry, "rearguard_rollbacks_total", **labels) == 1


@pytest.mark.parametrize(
    ("many", "detail", "brief"),
    [(100, None, False), (101, None, True), (101, Detail.FULL, False), (1, Detail.BRIEF, True)],
)
def test_beyond_a_hundred_targets_little_is_told_of_each_unless_said_otherwise(many, detail, brief):
    telemetry = Telemetry(targets(many), detail)
    shown = value(telemetry, "rearguard_target_ready", target="shop-0", check="thresholds")
    assert shown == (None if brief else 0)


def test_once_there_were_many_it_stays_brief_and_no_count_of_a_target_that_stays_is_lost():
    telemetry = Telemetry(targets(101))
    telemetry.leads(leading=True)
    telemetry.know(targets(3))
    telemetry.know(targets(4))
    assert value(telemetry, "rearguard_decisions_total", target="shop-3", verdict="leave") is None
    assert told(telemetry, "shop-50") == {}
    assert value(telemetry, "rearguard_rollbacks_total", target="shop-2", outcome="failed", trigger="alert") == 0


def test_five_thousand_targets_have_some_fifty_thousand_series():
    telemetry = Telemetry(targets(5000))
    telemetry.leads(leading=True)
    for number in range(5000):
        as_it_should_be(telemetry, f"shop-{number}")
    lines = [line for line in telemetry.render(None)[0].splitlines() if b"target=" in line]
    assert len(lines) == 5000 * 10
