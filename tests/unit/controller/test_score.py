"""The running score: what would have been done against what people did, each release once."""

import re
from dataclasses import replace

import pytest

from rearguard_controller.cli.show import score_told
from rearguard_controller.json_views import targets as shown
from rearguard_controller.judgement import score
from rearguard_controller.model import Phase, Score, Trigger, Verdict
from unit.controller.factories import DEPLOYED, HOUR, MINUTE, NOW, decision, good, release, rollback, serving, state

WINDOW = 2 * HOUR
SAID = NOW - 4 * MINUTE  # when the controller first said that it would go back from v2


def said():
    return score.said(state(), "v2", SAID)


def counts(after):
    return after.score.agreed, after.score.only_we, after.score.only_people


def test_people_who_go_back_after_it_was_said_agree_and_the_lead_is_the_time_between():
    after = score.went_back(said(), "v2", NOW, window=WINDOW)
    assert counts(after) == (1, 0, 0)
    assert after.score.mean_lead == 4 * MINUTE
    assert after.score.version is None


def test_people_who_go_back_from_a_young_release_unasked_are_counted_as_alone():
    assert counts(score.went_back(state(), "v2", NOW, window=WINDOW)) == (0, 0, 1)
    assert Score().mean_lead is None


@pytest.mark.parametrize(
    "fields",
    [
        {"serving_since": NOW - 3 * HOUR},  # no release that could have been blamed
        {"is_release": False},
        {"serving_version": "v3"},
    ],
)
def test_going_back_from_what_could_not_have_been_blamed_is_not_held_against_the_controller(fields):
    assert counts(score.went_back(state(**fields), "v2", NOW, window=WINDOW)) == (0, 0, 0)


def test_a_release_is_counted_once_however_often_it_is_said_and_gone_back_from():
    after = score.went_back(said(), "v2", NOW, window=WINDOW)
    again = score.went_back(score.said(after, "v2", NOW), "v2", NOW + 1, window=WINDOW)
    assert again == after
    assert score.said(said(), "v2", NOW).score.said_at == SAID  # the first time counts
    assert score.stayed(after, "v2") == after


def test_what_is_said_of_another_version_than_the_one_that_serves_is_not_kept():
    assert score.said(state(), "v1", NOW) == state()
    assert score.said(state(), None, NOW) == state()


def test_nobody_who_goes_back_until_it_earned_trust_or_the_window_is_over_leaves_the_controller_alone():
    v2 = serving()
    assert score.passed(said(), v2, DEPLOYED + WINDOW, window=WINDOW) == said()
    assert counts(score.passed(said(), v2, DEPLOYED + WINDOW + 5 * HOUR, window=WINDOW)) == (0, 1, 0)
    assert counts(score.passed(said(), replace(v2, known_good_at=SAID + 1), NOW, window=WINDOW)) == (0, 1, 0)
    assert score.passed(said(), replace(v2, known_good_at=SAID - 1), NOW, window=WINDOW) == said()


def test_a_newer_version_in_place_of_going_back_leaves_the_controller_alone():
    assert counts(score.stayed(said(), "v2")) == (0, 1, 0)
    assert score.stayed(state(), "v2") == state()


def test_what_the_controller_did_itself_is_compared_with_nobody():
    after = score.acted(said(), "v2")
    assert counts(after) == (0, 0, 0)
    assert after.score.version is None
    assert score.went_back(after, "v2", NOW, window=WINDOW) == after


def test_back_is_a_version_that_served_or_was_trusted_before_the_one_that_is_left():
    v2 = serving()
    assert score.is_back(v2, good("v1"))
    assert score.is_back(v2, release("v1"))
    assert not score.is_back(v2, serving("v3", served_at=NOW))
    assert not score.is_back(v2, release("v3", served_at=None))
    assert score.is_back(v2, release("v0", served_at=None, known_good_at=DEPLOYED - 1))
    assert not score.is_back(None, good("v1"))


@pytest.mark.parametrize(
    ("fields", "phase", "expected"),
    [
        ({"would": Verdict.ROLL_BACK}, None, True),
        ({"would": Verdict.ASK}, None, True),
        ({"would": Verdict.LEAVE}, None, False),
        ({"would": Verdict.ROLL_BACK, "trigger": Trigger.MANUAL}, None, False),
        ({"would": Verdict.ASK, "verdict": Verdict.ASK}, Phase.WAITING, True),  # for an approval
        ({"would": Verdict.ROLL_BACK, "verdict": Verdict.ROLL_BACK}, Phase.WAITING, True),  # for a veto
        ({"would": Verdict.ROLL_BACK, "verdict": Verdict.ROLL_BACK}, Phase.RUNNING, False),
    ],
)
def test_said_is_what_mode_environment_arming_or_a_person_may_keep_from_being_done(fields, phase, expected):
    opened = None if phase is None else replace(rollback(), phase=phase)
    assert score.is_said(decision(**fields), opened) is expected


def told(after):
    return score_told("checkout", shown.score(after.score))


def test_the_sentence_says_that_people_were_later_where_the_controller_said_it_first():
    after = score.went_back(said(), "v2", SAID + 35, window=WINDOW)
    assert told(after) == (
        "checkout would have been rolled back once: people did the same once, 35s later on average"
    )


def test_the_sentence_says_that_people_acted_alone_where_they_were_first():
    after = score.said(score.went_back(state(), "v2", SAID - 35, window=WINDOW), "v2", SAID)
    assert told(after) == "checkout was rolled back once by people alone"


@pytest.mark.parametrize("agreed", [0, 1, 3])
@pytest.mark.parametrize("only_we", [0, 1, 3])
@pytest.mark.parametrize("only_people", [0, 1, 3])
@pytest.mark.parametrize("is_open", [False, True])
def test_the_sentence_counts_no_zeros(agreed, only_we, only_people, is_open):
    counts = {"agreed": agreed, "only_we": only_we, "only_people": only_people, "open": is_open}
    sentence = score_told("checkout", {**counts, "lead_s": 35.0 if agreed else None})
    assert not re.search(r"\b0\b", sentence)
    assert sentence.count(": ") <= 1
    assert bool(sentence) is any(counts.values())


def test_there_is_no_sentence_where_nothing_happened_or_the_controller_acted_itself():
    assert told(state()) == ""
    assert told(score.acted(said(), "v2")) == ""


def test_the_controllers_own_rollback_is_nobodys_whatever_was_said_before():
    v2 = serving()
    after = score.left(said(), v2, good("v1"), NOW, window=WINDOW, by_us=True)
    assert counts(after) == (0, 0, 0)
    assert counts(score.left(state(), v2, good("v1"), NOW, window=WINDOW, by_us=True)) == (0, 0, 0)
    assert counts(score.left(said(), v2, good("v1"), NOW, window=WINDOW, by_us=False)) == (1, 0, 0)
    assert counts(score.left(said(), v2, serving("v3", served_at=NOW), NOW, window=WINDOW, by_us=False)) == (0, 1, 0)
