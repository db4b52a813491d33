"""The pre-release snapshot: what was pending or firing before a release is never blamed on it."""

from dataclasses import replace

import pytest

from rearguard_controller.adapters.prometheus import PrometheusAlert
from rearguard_controller.journal import codec
from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import AlertsSeen, AlertState, Facts, SeenAlert, TargetFacts, TargetState, Verdict
from rearguard_controller.model.observations import OF_CLUSTER
from rearguard_controller.releases.past import as_seen
from rearguard_controller.releases.trust import serves, with_alerts
from unit.controller.factories import DEPLOYED, HOUR, MINUTE, NOW, TARGET, alert, facts, good, serving, state, target

POLL = 15.0
HIGH = "HighErrorRate"
PENDING, FIRING = AlertState.PENDING, AlertState.FIRING


def seen(*alerts: SeenAlert, at: float = DEPLOYED - 20, **fields) -> AlertsSeen:
    return AlertsSeen(at, alerts, **fields)


def began(snapshot: AlertsSeen | None, name: str = HIGH, **fields):
    """The answer of `began_after_release` about an alert, with the condition begun a minute after the release."""
    the_facts = facts(**{"state": state(alerts_before=snapshot), **fields})
    decision = decide("d1", alert(name, service_version="2.0"), target(), the_facts)
    return next(each for each in decision.reasons if each.code == "began_after_release"), decision.verdict


# --- what it says


@pytest.mark.parametrize("held", [PENDING, FIRING])
def test_an_alert_that_was_there_before_the_release_is_not_blamed_on_it(held):
    reason, verdict = began(seen(SeenAlert(HIGH, held)))
    assert (reason.holds, verdict) == (False, Verdict.LEAVE)
    assert reason.detail == f"{HIGH} was already {held.value} 20s before v2 began to serve."


def test_an_alert_about_the_version_before_counts_as_the_same_alert():
    assert began(seen(SeenAlert(HIGH, PENDING, "1.0")))[0].holds is False


def test_another_alert_of_the_target_says_nothing():
    assert began(seen(SeenAlert("SlowResponses", FIRING, "1.0"))) == began(None)
    assert began(None)[0].holds is True


def test_an_alert_that_named_the_new_release_before_current_did_came_with_it():
    # a rolling deployment: instances of 2.0 fail while `current` still prints v1
    assert began(seen(SeenAlert(HIGH, FIRING, "2.0")))[0].holds is True
    assert began(seen(SeenAlert(HIGH, FIRING, "2.0"), SeenAlert(HIGH, PENDING, "1.0")))[0].holds is False
    assert began(seen(SeenAlert(HIGH, FIRING)))[0].holds is False


@pytest.mark.parametrize(
    ("before", "after", "named", "holds"),
    [
        ("dev", "dev", "dev", False),  # both show the same label: it may be about either
        (None, "2.0", "2.0", False),  # the version before may have shown the same one
        (None, None, "v2", True),  # the release's own name
        ("1.0", None, "2.0", False),  # not learned yet, and judged again once it is
        ("1.0", None, "v2", True),
    ],
)
def test_a_version_is_the_releases_own_only_where_the_version_before_shows_another(before, after, named, holds):
    releases = (good("v1", service_version=before), serving("v2", service_version=after))
    assert began(seen(SeenAlert(HIGH, FIRING, named)), releases=releases)[0].holds is holds


def test_what_lingers_of_a_version_that_was_rolled_away_from_is_its_own_fault():
    bad = serving("v0", service_version="0.9", bad_at=DEPLOYED - HOUR)
    releases = (good("v1", service_version="1.0"), bad, serving("v2", service_version="2.0"))
    assert began(seen(SeenAlert(HIGH, FIRING, "0.9")), releases=releases)[0].holds is True
    unmarked = (releases[0], replace(bad, bad_at=None), releases[2])
    assert began(seen(SeenAlert(HIGH, FIRING, "0.9")), releases=unmarked)[0].holds is False


def test_what_is_not_known_of_the_time_before_stands_in_the_way_and_says_so():
    reason, verdict = began(seen(unknown="Prometheus has no data"))
    assert (reason.holds, verdict) == (None, Verdict.LEAVE)
    assert reason.detail == "It is not known what was pending or firing before the release: Prometheus has no data."


def test_an_alert_seen_while_nobody_read_the_version_is_unknown_and_others_are_not():
    away = seen(between=(SeenAlert(HIGH, PENDING, "1.0"),), at=DEPLOYED - HOUR)
    assert began(away)[0].holds is None
    assert "not read for 1h, and HighErrorRate was pending or firing" in began(away)[0].detail
    assert began(away, "SlowResponses")[0].holds is True


def test_a_condition_that_only_the_releases_own_figures_showed_before_current_named_it_came_with_it():
    early: dict = {"condition_since": DEPLOYED - 80, "state": state(changed_after=DEPLOYED - POLL)}
    assert began(None, **early)[0].holds is False
    reason, verdict = began(None, condition_own=("2.0",), **early)
    assert (reason.holds, verdict) == (True, Verdict.ROLL_BACK)
    assert "began 1m20s before v2 was first seen serving, but only in figures of service_version 2.0" in reason.detail


# --- how it is taken


def test_what_kubernetes_tells_of_the_new_pods_needs_no_word_of_the_time_before():
    snapshot = seen(unknown="Prometheus has no data of that time")
    assert began(snapshot, "KubernetesCrashLoop")[0].holds is None
    of_cluster = replace(alert("KubernetesCrashLoop"), source=OF_CLUSTER)
    decision = decide("d1", of_cluster, target(), facts(state=state(alerts_before=snapshot)))
    (found,) = [each for each in decision.reasons if each.code.value == "began_after_release"]
    assert found.holds is True, found


def polled(current: TargetState, at: float, *alerts: SeenAlert, version: str = "v1") -> TargetState:
    """A poll: alerts are read, and then `current`."""
    after = serves(current, version, at + 1, trusted=False)
    return with_alerts(after, AlertsSeen(at, alerts)) if after.serving_version == current.serving_version else after


def test_the_snapshot_is_of_the_last_poll_that_found_the_version_before():
    before = polled(serves(TargetState(TARGET), "v1", NOW, trusted=False), NOW, SeenAlert("Old", FIRING))
    before = polled(before, NOW + POLL, SeenAlert(HIGH, PENDING, "1.0"))
    after = polled(before, NOW + 2 * POLL, SeenAlert("ReleaseErrorRate", PENDING, "2.0"), version="v2")
    assert after.alerts_before == AlertsSeen(NOW + POLL, (SeenAlert(HIGH, PENDING, "1.0"),))
    later = polled(after, NOW + 3 * POLL, SeenAlert("ReleaseErrorRate", FIRING, "2.0"), version="v2")
    assert later.alerts_before == after.alerts_before


@pytest.mark.parametrize(("age", "known"), [(300.0, True), (301.0, False), (HOUR, False), (-60.0, False)])
def test_a_reading_too_old_to_be_of_the_moment_before_is_no_snapshot(age, known):
    before = state(serving_version="v1", looked_at=NOW - age, alerts=AlertsSeen(NOW - age))
    snapshot = serves(before, "v2", NOW, trusted=False).alerts_before
    assert (snapshot.unknown == "", snapshot.asked) == (known, False)


def test_a_version_that_came_before_any_alert_was_read_has_no_snapshot_but_an_unknown_one():
    snapshot = serves(state(looked_at=NOW - MINUTE), "v3", NOW, trusted=False).alerts_before
    assert (snapshot.at, bool(snapshot.unknown)) == (NOW - MINUTE, True)


def test_the_first_version_ever_seen_has_nothing_before_it():
    assert serves(TargetState(TARGET), "v1", NOW, trusted=False).alerts_before is None


def test_a_snapshot_survives_the_journal_and_an_old_record_has_none():
    whole = state(
        alerts_before=seen(SeenAlert(HIGH, PENDING, "1.0"), between=(SeenAlert("A", FIRING),)), alerts=seen()
    )
    assert codec.load(TargetState, codec.dump(whole)) == whole
    old = codec.load(TargetState, '{"type":"TargetState","target":"checkout","serving_version":"v1"}')
    assert (old.alerts, old.alerts_before) == (None, None)
    assert began(old.alerts_before)[0].holds is True


def test_facts_know_of_no_snapshot_where_nothing_was_released():
    known = TargetFacts("v2", state=state(is_release=False, alerts_before=seen(SeenAlert(HIGH, FIRING))))
    quiet = Facts(NOW, known)
    reason = next(
        each for each in decide("d", alert(HIGH), target(), quiet).reasons if each.code == "began_after_release"
    )
    assert "already" not in reason.detail


def listed(name: str, state: AlertState, **labels: str) -> PrometheusAlert:
    return PrometheusAlert({"alertname": name, **labels}, {}, state, NOW, 1.0)


def test_a_snapshot_keeps_each_alert_once_by_name_and_version_whatever_the_instance():
    found = [
        listed(HIGH, PENDING, service_version="1.0", instance="a"),
        listed(HIGH, FIRING, service_version="1.0", instance="b"),
        listed(HIGH, PENDING, service_version="1.0", instance="c"),
        listed("Down", PENDING, pod="x"),
    ]
    assert as_seen(found) == (SeenAlert("Down", PENDING, since=NOW), SeenAlert(HIGH, FIRING, "1.0", since=NOW))


def test_a_flood_of_versions_does_not_flood_the_snapshot_and_then_counts_whatever_it_names():
    flood = [listed(HIGH, PENDING, service_version=str(number)) for number in range(201)]
    assert len(as_seen(flood[:200])) == 200
    assert as_seen(flood) == (SeenAlert(HIGH, PENDING, since=NOW),)
