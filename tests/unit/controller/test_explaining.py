"""How a decision reads on the command line: verdict, reasons, what would have to change, evidence."""

import pytest

from rearguard_controller import json_views
from rearguard_controller.cli import main
from rearguard_controller.cli.explain import one_decision
from rearguard_controller.judgement.policy import Wish, decide, decide_by_hand
from rearguard_controller.model import Evidence, EvidenceSource, Mode, ReasonCode, Sample
from unit.controller.factories import NOW, alert, facts, policy, target

PROMETHEUS = EvidenceSource.PROMETHEUS
EVIDENCE = (
    Evidence(
        PROMETHEUS,
        "version:http_error_ratio:newest",
        "0.31",
        NOW - 1,
        (ReasonCode.ALERT_CONFIRMED, ReasonCode.PREVIOUS_VERSION_HEALTHY),
        (Sample({"service_version": "2.0"}, 0.3125),),
    ),
    Evidence(PROMETHEUS, "errors", "no data", NOW, (ReasonCode.BEGAN_AFTER_RELEASE,), start=NOW - 600, step=5.0),
    Evidence(EvidenceSource.TARGET, "./release current", "v2", NOW, (ReasonCode.KNOWN_GOOD_EXISTS,)),
)


@pytest.fixture
def told(capsys, monkeypatch):
    """What is printed of a decision on a terminal of so many columns."""

    def of(decision, columns=100):
        monkeypatch.setenv("COLUMNS", str(columns))
        one_decision(json_views.decision(decision))
        return capsys.readouterr().out

    return of


def observed(**fields):
    of = target(policy=policy(mode=Mode.OBSERVE))
    return decide("d1", alert(service_version="2.0"), of, facts(evidence=EVIDENCE, **fields))


def test_a_decision_is_told_from_the_verdict_to_the_evidence(told):
    lines = told(observed(last_action_at=NOW - 60)).splitlines()
    assert "verdict   leave" in lines
    assert "versions  v2 -> v1" in lines
    assert "2 of 25 answers would have to differ: mode_allows, cooldown_over." in lines
    start = lines.index("What would have to change")
    assert lines[start + 2 : start + 4] == [
        "mode_allows    Set mode: act (or ask) in policy standard.",
        "cooldown_over  The cooldown ends at 1970-01-12T13:50:40Z, in 4m.",
    ]
    assert lines[lines.index("Evidence") + 1 :] == [
        "prometheus at 1970-01-12T13:46:39.000Z, for alert_confirmed, previous_version_healthy",
        "  version:http_error_ratio:newest",
        '  = 0.31; {service_version="2.0"} 0.3125',
        "prometheus from 1970-01-12T13:36:40.000Z to 1970-01-12T13:46:40.000Z every 5s, for",
        "  began_after_release",
        "  errors",
        "  = no data",
        "target at 1970-01-12T13:46:40.000Z, for known_good_exists",
        "  ./release current",
        "  = v2",
    ]


@pytest.mark.parametrize("columns", [80, 100, 118])
def test_nothing_is_wider_than_the_terminal_and_the_reasons_stand_in_their_order(told, columns):
    lines = told(observed(), columns).splitlines()
    assert max(map(len, lines)) <= columns
    codes = [code.value for code in ReasonCode]
    named = [line.split()[0] for line in lines[: lines.index("Evidence")] if line.split()[:1] and line[0] != " "]
    assert [word for word in named if word in codes] == [*codes, "mode_allows"]


def test_a_decision_that_acts_has_nothing_to_change(told):
    out = told(decide("d1", alert(service_version="2.0"), target(), facts()))
    assert "None of 25 answers stands in the way." in out
    assert "What would have to change" not in out
    assert "Evidence" not in out


def test_of_a_request_by_hand_only_what_was_asked_is_told(told):
    out = told(decide_by_hand("d1", Wish(note="v2 is slow"), target(), facts(open_rollback="r0", evidence=EVIDENCE)))
    assert "1 of 3 answers would have to differ: no_open_rollback." in out
    assert "cooldown_over" not in out
    assert "alert_confirmed" not in out
    assert "./release current" in out
    assert "asked by a person  v2 is slow" in out


def test_what_came_from_outside_does_not_steer_the_terminal(told):
    evil = (Evidence(PROMETHEUS, "x\x1b[31m", "\x1b]0;t\x07", NOW, (ReasonCode.ALERT_CONFIRMED,)),)
    out = told(decide("d1", alert("E\x1b[2J"), target(), facts(evidence=evil)))
    assert "\x1b" not in out
    assert "x\\x1b[31m" in out


@pytest.mark.parametrize("words", [[], ["one", "--alert", "two"]])
def test_to_explain_nothing_or_two_things_is_wrong_use(words, capsys):
    try:
        code = main(["explain", *words])
    except SystemExit as ended:  # as argparse says it
        code = ended.code
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err
