"""Could a target be rolled back? The pure part: the way back, the sentences, and the alert of a drill."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rearguard_controller import json_views
from rearguard_controller.intake.drill_alert import drill_alert, drill_labels, drills_in, is_of_a_drill
from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import Check, Drill, ReasonCode, checks
from rearguard_controller.watching.readiness import pause
from rearguard_controller.watching.readiness_rules import deploy, destination, set_back
from unit.controller.factories import (
    DEPLOYED,
    HOUR,
    MATCH,
    NOW,
    alert,
    facts,
    good,
    policy,
    release,
    serving,
    state,
    target,
)

ROOT = Path(__file__).parents[3]


def test_the_way_back_leads_to_the_newest_version_that_earned_trust():
    found = destination(target(), facts())
    assert (found.name, found.holds) == ("destination", True)
    assert found.detail == "A rollback would go from v2 to v1."


def test_a_version_that_serves_and_is_trusted_is_the_next_releases_way_back():
    alone = facts(now=DEPLOYED + 3 * HOUR, releases=(serving("v2", known_good_at=DEPLOYED),), activatable=frozenset())
    found = destination(target(), alone)
    assert found.holds is True
    assert "v2 serves and is known good" in found.detail


def test_a_trusted_version_that_may_still_be_blamed_needs_another_one_to_go_back_to():
    young = facts(releases=(serving("v2", known_good_at=DEPLOYED),), activatable=None)
    found = destination(target(), young)
    assert found.holds is False
    assert "v2 may still be blamed for 2h after its release" in found.detail
    assert destination(target(), replace(young, now=DEPLOYED + 3 * HOUR)).holds is True


@pytest.mark.parametrize("label", ["", "x", "d1", "x\x00", "x\ud800", "x" * 200])
def test_a_label_that_can_be_no_drill_of_ours_is_none_and_still_marks_its_alert(label):
    forged = replace(alert(), labels={**alert().labels, "rearguard_drill": label})
    assert drills_in([forged]) == ()
    assert is_of_a_drill(forged) is bool(label)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ((), ""),
        ((good("v1", bad_at=NOW),), "v1: it is marked bad"),
        ((release("v1"),), "v1: it has not earned trust"),
    ],
)
def test_without_a_way_back_the_sentence_says_what_to_do(others, why):
    found = destination(target(), facts(releases=(*others, serving("v2")), activatable=None))
    assert found.holds is False
    assert why in found.detail
    assert "rearguard release checkout VERSION --good" in found.detail
    assert "known_good_after" in found.detail


def test_a_trusted_version_that_serves_again_although_it_is_bad_is_no_way_back():
    found = destination(target(), facts(releases=(serving("v2", known_good_at=DEPLOYED, bad_at=NOW),)))
    assert found.holds is False


@pytest.mark.parametrize(
    ("began", "holds", "part"),
    [
        (None, True, "No deployment is announced as running."),
        (NOW - 5, True, "A deployment was announced 5s ago"),
        (NOW - 0.5 * HOUR, True, "A deployment was announced 30m ago"),
        (NOW - 0.5 * HOUR - 1, False, "30m1s ago and has not been announced as finished, so that nothing is rolled"),
        (NOW - 50 * HOUR, False, "run `rearguard release checkout VERSION --phase finished`"),
    ],
)
def test_a_deployment_that_was_announced_half_an_hour_ago_and_never_ended_is_told_with_what_to_do(began, holds, part):
    found = deploy(target(), facts(state=state(deploy_started_at=began)))
    assert (found.name, found.holds) == ("deploy", holds)
    assert part in found.detail


def test_a_release_that_lies_ahead_of_a_clock_that_was_set_back_is_told_by_check_and_decision():
    """By the journal it began to serve an hour from now: until then it is not blamed, and somebody must know."""
    ahead = state(serving_since=NOW + HOUR)
    check = set_back("v2", ahead, NOW)
    assert (check.name, check.holds) == ("current", False)
    assert "1h ahead of the controller's clock, which was set back" in check.detail
    assert "rearguard rollback checkout" in check.detail
    assert set_back("v2", ahead, NOW + HOUR) is None
    assert set_back("v2", state(serving_since=NOW + 1), NOW) is None
    assert set_back(None, ahead, NOW) is None
    decision = decide("d1", alert(), target(), facts(state=ahead))
    reason = next(each for each in decision.reasons if each.code is ReasonCode.RECENT_RELEASE)
    assert reason.holds is False
    assert reason.detail == "v2 began to serve 1h ahead of the clock, which was set back since."
    assert "A person can go back" in reason.remedy


def test_what_serves_unknown_leaves_the_way_back_unknown():
    assert destination(target(), facts(serving_version=None)).holds is None


def test_a_drills_alert_has_the_labels_of_a_trigger_and_its_own_which_none_can_take_away():
    labels = drill_labels(target(policy=policy(alerts={"action": "rollback", "rearguard_drill": "no"})), "x1")
    assert labels == {"alertname": "RearguardDrill", "action": "rollback", **MATCH, "rearguard_drill": "x1"}
    made = drill_alert(target(), labels, NOW)
    assert drills_in([alert(), made, made]) == ("x1",)
    assert "nothing is wrong" in made.annotations["summary"]


def test_a_policy_and_a_match_that_contradict_each_other_have_no_alert_to_send():
    assert drill_labels(target(policy=policy(alerts={"service_name": "other"})), "x1") is None


def test_a_target_owns_no_alert_of_a_drill_whatever_else_it_carries():
    assert target().owns(alert().labels)
    assert not target().owns({**alert().labels, "rearguard_drill": "x1"})
    assert target().owns({**alert().labels, "rearguard_drill": ""})  # to Prometheus a label that is empty is none


@pytest.mark.parametrize(
    ("holds", "ok"),
    [((True, True), True), ((True, None), None), ((None, False), False), ((True, False), False), ((), None)],
)
def test_a_drill_is_good_when_all_holds_and_not_good_when_anything_fails(holds, ok):
    found = tuple(Check(f"c{number}", each, "") for number, each in enumerate(holds))
    assert Drill("x1", "checkout", NOW, "ann", checks=found).ok is ok


def test_every_check_that_is_made_all_the_time_is_made_by_a_drill_too():
    assert set(checks.READY_CHECKS) < set(checks.DRILL_CHECKS)
    assert len(set(checks.DRILL_CHECKS)) == len(checks.DRILL_CHECKS)


def test_looks_at_many_targets_are_spread_over_two_minutes_around_five():
    pauses = [pause(f"shop-{number}") for number in range(100)]
    assert 240 <= min(pauses) < 260
    assert 340 < max(pauses) <= 360
    assert pause("checkout") == pause("checkout")


@pytest.mark.parametrize(("age", "state"), [(None, "never"), (0.0, "fresh"), (300.0, "fresh"), (300.1, "late")])
def test_a_heartbeat_is_fresh_late_or_never_came(age, state):
    assert json_views.heartbeat(age) == {"age_s": age, "state": state}


def test_the_alert_on_a_lost_heartbeat_knows_the_same_limit():
    rules = (ROOT / "rules/controller.yml").read_text()
    (limit,) = re.findall(r"rearguard_watchdog_age_seconds\) > (\d+)", rules)
    assert float(limit) == json_views.HEARTBEAT_LATE
