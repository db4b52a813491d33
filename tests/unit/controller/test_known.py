"""What is known of a target, in sentences: what people read in `status`, on the page and in the API."""

from dataclasses import dataclass, replace

import pytest

from rearguard_controller.json_views.known import known_of
from rearguard_controller.model import Mode, Phase, Release, Traffic, Trust
from unit.controller.factories import MINUTE, policy, rollback, state, target

NOW = 1_795_615_200.0  # 2026-11-25T14:00:00Z
SERVED = NOW - 7 * MINUTE
OBSERVED = target(policy=policy(mode=Mode.OBSERVE, known_good_after=20 * MINUTE))
ACTING = replace(OBSERVED, policy=replace(OBSERVED.policy, mode=Mode.ACT))
V1 = Release("checkout", "v1", first_seen=SERVED, last_seen=NOW, service_version="1.0")
V0 = Release("checkout", "v0", first_seen=SERVED - 9999, last_seen=SERVED, known_good_at=SERVED - 1)


@dataclass(frozen=True)
class Figure:
    alert: str
    value: float | None
    threshold: float | None
    operator: str = ">"
    version: str | None = "1.0"


def serving(**fields):
    given = {"serving_version": "v1", "serving_since": SERVED, "clean_since": None, "figure_at": None, **fields}
    return state(**given)


def told(it=OBSERVED, now_state=None, releases=(V1,), figures=(), opened=None, traffic=()):
    return known_of(it, now_state or serving(), releases, figures, traffic, opened, NOW)


def test_the_version_and_since_when_come_first_and_a_version_that_is_not_known_is_all_that_is_said():
    assert told()[0] == "v1 serves since 2026-11-25T13:53:00Z."
    assert told(now_state=serving(serving_version=None)) == [
        "Which version serves is not known yet, so nothing is judged."
    ]


def test_figures_stand_against_their_thresholds_the_nearest_first_and_only_those_of_the_version_that_serves():
    figures = (
        Figure("HighErrorRate", 0.002, 0.1),
        Figure("SlowResponses", 4.0, 5.0),
        Figure("SlowResponses", 9.0, 5.0, version="0.9"),
        Figure("DatabaseConnectionFailures", 0.0, 5.0, version=None),
        Figure("NoData", None, 1.0),
        Figure("NoThreshold", 1.0, None),
    )
    assert told(figures=figures)[1] == (
        "Measured now: SlowResponses 4 (threshold > 5, 80 % of it), HighErrorRate 0.002 (threshold > 0.1, 2 % of it),"
        " DatabaseConnectionFailures 0 (threshold > 5, 0 % of it)."
    )
    assert told()[1] == "No trigger rule has a value for it now: without requests there is none."


def test_what_the_serving_version_answers_is_told_with_its_errors_and_its_mean_time():
    answered = (Traffic("0.9", 90.0, 0.5, 2.0), Traffic("1.0", 12.4, 0.0011, 0.0301))
    assert told(traffic=answered)[1] == "It answers 12.4 requests/s, 0.11 % of them fail, 0.0301 s each on average."
    assert told(traffic=(Traffic(None, 0.0),))[1] == "It answers 0 requests/s."
    assert told(traffic=answered[:1]) == told()


@pytest.mark.parametrize(
    ("fields", "release", "sentence"),
    [
        ({"clean_since": SERVED, "figure_at": NOW}, V1, "v1 is trusted in 13m, if it goes on serving well."),
        (
            {"clean_since": NOW - 19.5 * MINUTE, "figure_at": NOW},
            V1,
            "v1 is trusted in less than a minute, if it goes on serving well.",
        ),
        ({"clean_since": SERVED}, V1, "v1 is trusted 20m after a trigger rule has a first value for it."),
        ({}, V1, "v1 earns no trust at the moment: see what fires, and what is not ready."),
        ({}, replace(V1, known_good_at=SERVED), "v1 is trusted since 2026-11-25T13:53:00Z."),
        ({}, replace(V1, bad_at=SERVED), "v1 is marked as bad: a rollback led away from it."),
    ],
)
def test_trust_is_told_with_the_time_until_it_comes(fields, release, sentence):
    assert told(now_state=serving(**fields), releases=(release,))[2] == sentence


def test_of_a_version_that_is_being_rolled_away_from_the_rollback_alone_is_told():
    said = told(releases=(replace(V1, suspect_at=SERVED),), opened=rollback(phase=Phase.RUNNING))
    assert [each for each in said if "bad" in each or "led away" in each] == []
    assert said[-1].startswith("A rollback to ")


def test_trust_by_up_waits_for_no_figure():
    it = replace(OBSERVED, policy=replace(OBSERVED.policy, trust=Trust.BY_UP))
    assert told(it, serving(clean_since=SERVED))[2] == "v1 is trusted in 13m, if it goes on serving well."


@pytest.mark.parametrize(
    ("it", "releases", "sentence"),
    [
        (
            OBSERVED,
            (V1, V0),
            "A trigger alert is judged, and nothing is put back (mode observe). To change that: docs/arming.md.",
        ),
        (ACTING, (V1,), "A trigger alert puts nothing back: no version is trusted yet."),
        (
            ACTING,
            (V1, V0),
            "A trigger alert puts v0 back, if every reason holds: rearguard explain checkout.",
        ),
        (ACTING, (replace(V1, known_good_at=SERVED), V0), "The next release has v1 to go back to."),
    ],
)
def test_what_happens_next_is_told_with_what_to_type(it, releases, sentence):
    assert told(it, releases=releases)[-1] == sentence


def test_an_open_rollback_and_a_disarmed_target_come_before_what_an_alert_would_do():
    assert told(opened=rollback("r7", to_version="v0"))[-1] == "A rollback to v0 is open: rearguard show r7."
    assert told(ACTING, serving(armed=False))[-1] == (
        "Nothing is put back by itself: the target is disarmed. To arm it: rearguard arm checkout."
    )
