"""A rollout of which `current` prints either version, as a load balancer sends it: one release, left by nobody."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.journal import codec
from rearguard_controller.judgement import already_firing, cause, score
from rearguard_controller.judgement.case import Case
from rearguard_controller.model import AlertsSeen, AlertState, SeenAlert, TargetFacts, TargetState
from rearguard_controller.releases.rollout import alternates, is_beside
from rearguard_controller.releases.trust import serves, with_alerts
from rearguard_controller.watching.readiness_rules import in_turn
from unit.controller.factories import HOUR, MINUTE, NOW, TARGET, alert, facts, good, release, target

POLL = 15.0
OLD = good("v1", first_seen=NOW - HOUR, served_at=NOW - HOUR)
NEW = release("v2", first_seen=NOW, served_at=NOW)
FAILING = (SeenAlert("Errors", AlertState.PENDING),)  # names no version


class Polls:
    """A target's state, poll by poll. The alert is pending from a moment on."""

    def __init__(self, *, alert_from=float("inf"), failing=FAILING):
        self.now, self.alert_from, self.failing = NOW - POLL, alert_from, failing
        self.state = TargetState(TARGET)
        self.read("v1")
        self.now = NOW

    def read(self, version):
        state, now = self.state, self.now
        if state.serving_version not in (None, version) and not is_beside(state, version, now):
            before, to = (OLD, NEW) if version == "v2" else (NEW, OLD)
            after = serves(state, version, now, trusted=version == "v1")
            counted = score.left(state, before, to, now, window=2 * HOUR, by_us=False)
            state = score.once_it_lasts(after, state.score, counted.score)
        elif state.serving_version in (None, version):
            state = serves(state, version, now, trusted=version == "v1")
        state = score.lasted(state, now)
        seen = self.failing if now >= self.alert_from else ()
        self.state = with_alerts(state, AlertsSeen(now, seen))
        self.now += POLL

    def read_all(self, versions):
        for version in versions:
            self.read(version)
        return self.state


def began_with(known, since):
    """What is answered of a condition that began at a moment."""
    base = facts()
    judged = replace(base, target=known, measured=replace(base.measured, since=since))
    return cause.began_after_release(Case(alert("Errors"), target(), judged, OLD))


def counts(state):
    return state.score.agreed, state.score.only_we, state.score.only_people


def test_a_release_that_is_read_in_turn_with_the_version_before_begins_at_its_first_sight():
    state = Polls().read_all(["v2", "v1", "v2", "v2", "v1", "v2"])
    assert (state.serving_version, state.serving_since, state.previous_version) == ("v2", NOW, "v1")
    assert state.is_release
    assert state.changed_after == NOW - POLL


def test_an_alert_that_came_while_both_were_read_was_not_there_before_the_release():
    """The alert names no version, so that the snapshot alone tells; it is that of the first sight."""
    state = Polls(alert_from=NOW + POLL).read_all(["v2", "v1", "v2", "v1", "v2"])
    assert state.alerts_before.alerts == ()
    known = TargetFacts(serving_version="v2", state=state, releases=(OLD, NEW))
    assert already_firing.already("Errors", known) is None


@pytest.mark.parametrize(
    ("seconds", "came_with_it"),
    [(5, True), (40, True), (MINUTE + POLL, True), (MINUTE + POLL + 1, False), (HOUR, False)],
)
def test_an_alert_that_began_right_before_the_first_sight_of_a_rollout_in_turn_may_have_come_with_it(
    seconds, came_with_it
):
    """A load balancer may have hidden the release for some polls; the alert names no version."""
    polls = Polls(alert_from=NOW - HOUR, failing=(replace(FAILING[0], since=NOW - seconds),))
    state = polls.read_all(["v2", "v1", "v2"])
    known = TargetFacts(serving_version="v2", state=state, releases=(OLD, NEW))
    assert (already_firing.already("Errors", known) is None) is came_with_it
    assert already_firing.stood_long("Errors", known) is (seconds > 5 * MINUTE)
    began = began_with(known, since=NOW - seconds)
    assert began.holds is came_with_it
    if came_with_it:
        assert "in turn" in began.detail


def test_without_turns_an_alert_that_was_pending_before_the_first_sight_is_not_blamed_on_the_release():
    polls = Polls(alert_from=NOW - HOUR, failing=(replace(FAILING[0], since=NOW - POLL - 5),))
    state = polls.read_all(["v2", "v2"])
    known = TargetFacts(serving_version="v2", state=state, releases=(OLD, NEW))
    assert already_firing.already("Errors", known)[0] is False
    assert not already_firing.stood_long("Errors", known)  # but it denies trust, too


def test_turns_with_another_version_than_the_one_before_excuse_nothing_that_was_there_before():
    """v2 failed, v3 came, somebody went back to v1 and forth to v3: what v2 had begun is not v3's fault."""
    polls = Polls(alert_from=NOW, failing=(replace(FAILING[0], since=NOW + 1),))
    state = polls.read_all(["v2", "v2", "v2", "v3", "v1", "v3"])
    assert (state.serving_version, state.previous_version, state.alternation.other) == ("v3", "v2", "v1")
    third = replace(NEW, version="v3", service_version="3.0")
    known = TargetFacts(serving_version="v3", state=state, releases=(OLD, NEW, third))
    assert already_firing.already("Errors", known)[0] is False
    assert began_with(replace(known, state=replace(state, alerts_before=None)), since=NOW + 1).holds is False


def test_an_alert_that_was_there_before_the_first_sight_stays_before_it():
    polls = Polls(alert_from=NOW - POLL)
    assert polls.read_all(["v2", "v1", "v2"]).alerts_before.alerts == FAILING


def test_once_two_versions_were_read_in_turn_the_release_counts_as_serving_until_a_minute_without_it():
    polls = Polls()
    polls.read_all(["v2", "v1", "v2"])
    last = polls.now - POLL
    while polls.now - last <= MINUTE:
        assert polls.read_all(["v1"]).serving_version == "v2"
    assert polls.read_all(["v1"]).serving_version == "v1"


@given(st.lists(st.sampled_from(["v1", "v2"]), max_size=60))
def test_whatever_a_load_balancer_shows_a_rollout_that_ends_is_one_release_that_nobody_left(shown):
    polls = Polls(alert_from=NOW + 1)
    state = polls.read_all(["v2", *_without_long_absence(shown), "v2", "v2"])
    assert (state.serving_version, state.serving_since, counts(state)) == ("v2", NOW, (0, 0, 0))
    assert state.alerts_before.alerts == ()


def _without_long_absence(shown):
    """At most four minutes without v2."""
    kept, absent = [], 0
    for version in shown:
        absent = absent + 1 if version == "v1" else 0
        kept.append("v2" if absent >= 16 else version)
        absent = 0 if kept[-1] == "v2" else absent
    return kept


def test_a_release_that_people_take_back_for_good_is_counted_once_it_stays_away():
    polls = Polls()
    polls.read_all(["v2", "v2"])
    assert counts(polls.read_all(["v1"])) == (0, 0, 0)
    assert counts(polls.read_all(["v1", "v1"])) == (0, 0, 1)
    assert polls.state.serving_version == "v1"


def test_a_count_of_a_release_that_comes_back_within_minutes_is_taken_back():
    polls = Polls()
    polls.read_all(["v2", "v1", "v1", "v1", "v1"])
    assert counts(polls.state) == (0, 0, 1)
    assert counts(polls.read_all(["v2"])) == (0, 0, 0)


def test_what_was_said_of_a_release_stays_open_while_it_is_read_in_turn():
    polls = Polls()
    polls.read_all(["v2"])
    polls.state = score.said(polls.state, "v2", polls.now)
    state = polls.read_all(["v1", "v2", "v1", "v2", "v1"])
    assert (state.score.version, counts(state)) == ("v2", (0, 0, 0))


def test_a_release_that_comes_back_later_is_another_one():
    polls = Polls()
    polls.read_all(["v2"])
    polls.read_all(["v1"] * 22)
    state = polls.read_all(["v2"])
    assert state.serving_since == polls.now - POLL
    assert state.alternation is None


def test_taking_a_release_back_once_is_no_turn():
    polls = Polls()
    assert not alternates(polls.read_all(["v2", "v1"]), polls.now)
    assert in_turn("v1", polls.state, polls.now) is None


def test_the_check_of_current_says_that_two_versions_are_read_in_turn_and_what_to_do():
    polls = Polls()
    state = polls.read_all(["v2", "v1", "v2", "v1"])
    found = in_turn("v2", state, polls.now)
    assert found.holds is False
    assert "`current` has printed v2 and v1 in turn since" in found.detail
    assert "load balancer" in found.detail
    assert in_turn("v2", state, polls.now + 2 * MINUTE) is None


def test_what_is_remembered_of_a_rollout_survives_the_journal_and_an_old_record_has_none():
    state = Polls().read_all(["v2", "v1", "v2", "v1"])
    assert codec.load(TargetState, codec.dump(state)) == state
    old = codec.load(TargetState, '{"target": "checkout", "serving_version": "v1"}')
    assert (old.left, old.alternation) == (None, None)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_release_that_earned_trust_meanwhile_is_none_when_it_is_read_again(trusted):
    polls = Polls()
    polls.read_all(["v2", "v1"])
    after = serves(polls.state, "v2", polls.now, trusted=trusted)
    assert after.is_release is not trusted
