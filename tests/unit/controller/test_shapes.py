"""The model as JSON: the promised fields, times in UTC, nothing secret."""

from __future__ import annotations

import json

import pytest

from rearguard_controller import json_views, wording
from rearguard_controller.model import (
    AfterCrash,
    Alert,
    Budget,
    CommandAction,
    CommandRelease,
    Decision,
    HealthCheck,
    HttpAction,
    Mode,
    OnFailure,
    Outcome,
    Phase,
    Policy,
    Reason,
    ReasonCode,
    Release,
    Rollback,
    Step,
    StepKind,
    StepState,
    Target,
    TargetState,
    Trigger,
    Verdict,
    observations,
)

COMMAND = CommandAction(("./release", "activate", "{to_version}"), 5, "/srv", {"API_KEY": "hidden"}, ("HOME",))
HTTP = HttpAction("POST", "http://shop/clear", 5, {"X-Key": "hidden"}, "/etc/hidden", "hidden")
POLICY = Policy("standard", Mode.ACT, {"action": "rollback"}, 7200, 900, 300, Budget(3, 86400))
TARGET = Target(
    "checkout", ({"service_name": "checkout"},), "production", {}, POLICY, CommandRelease(COMMAND, COMMAND)
)
ALERT = Alert("Bad", {"alertname": "Bad"}, starts_at=0.0, source="webhook")


NOTHING_KNOWN = {
    "releases": (), "open_rollback": None, "firing": (), "checks": {},
    "not_ready": (), "armed_by": None, "last_drill": None, "figures": (), "traffic": (), "logged": (),
}  # fmt: skip


def step(action, **more):
    return Step(0, StepKind.BEFORE_HOOK, "drain", action, 5, OnFailure.STOP, AfterCrash.NEVER_REDO, **more)


def rollback(**more):
    given = {"phase": Phase.RUNNING, "steps": (step(COMMAND, state=StepState.DONE, output="secret-free"),), **more}
    return Rollback("r1", "d1", "checkout", Trigger.ALERT, "why", "v2", "v1", opened_at=1_000_000_000.25, **given)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_000_000_000.25, "2001-09-09T01:46:40.250Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(seconds, text):
    assert wording.moment(seconds) == text


def test_a_rollback_has_the_promised_fields_and_no_outcome_while_open():
    shape = json_views.rollback(rollback())
    assert {
        "id", "target", "trigger", "reason", "from_version", "to_version", "phase", "outcome",
        "started_at", "closed_at", "decision_id", "steps",
    } <= set(shape)  # fmt: skip
    assert (shape["outcome"], shape["closed_at"], shape["started_at"]) == (None, None, "2001-09-09T01:46:40.250Z")
    closed = json_views.rollback(rollback(phase=Phase.CLOSED, outcome=Outcome.RECOVERED, closed_at=1_000_000_001))
    assert (closed["phase"], closed["outcome"]) == ("closed", "recovered")


def test_outputs_of_steps_are_shown_only_where_asked_for():
    assert "output" not in json_views.rollback(rollback())["steps"][0]
    assert json_views.rollback(rollback(), outputs=True)["steps"][0]["output"] == "secret-free"


IN_WORDS = CommandAction(("./put", "--from=https://bot:hidden@registry/v2?key=hidden#hidden", "now"), 5, "/srv")
IN_ADDRESS = HttpAction("POST", "https://bot:hidden@shop/clear?key=hidden", 5)


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        (IN_WORDS, {"command": ["./put", "--from=https://registry/v2", "now"]}),
        (CommandRelease(COMMAND, IN_WORDS), {"command": ["./put", "--from=https://registry/v2", "now"]}),
        (IN_ADDRESS, {"http": {"method": "POST", "url": "https://shop/clear"}}),
        (
            HealthCheck("https://bot:hidden@shop/healthz?key=hidden", 3, 2, 120),
            {"health": {"url": "https://shop/healthz", "successes": 3}},
        ),
    ],
)
def test_addresses_of_an_action_are_shown_without_what_may_be_secret(action, shown):
    assert json_views.action(action) == shown


@pytest.mark.parametrize(
    "action", [COMMAND, HTTP, HealthCheck("http://shop/healthz", 3, 2, 120), TARGET.release, None]
)
def test_actions_are_shown_without_headers_bodies_and_environment(action):
    assert "hidden" not in json.dumps(json_views.step(step(action), output=True))


def test_a_decision_keeps_its_reasons_in_order_with_unknown_as_null():
    reasons = (
        Reason(ReasonCode.TARGET_KNOWN, True, "yes"),
        Reason(ReasonCode.ARMED, False, "no"),
        Reason(ReasonCode.ALERT_CONFIRMED, None, "who knows"),
        Reason(ReasonCode.COOLDOWN_OVER, None, "not asked", unknown_blocks=False),
    )
    decision = Decision("d1", "checkout", Verdict.LEAVE, Verdict.ROLL_BACK, 0, Trigger.ALERT, reasons, alert=ALERT)
    shape = json_views.decision(decision)
    assert (shape["verdict"], shape["would"], shape["alert"]["name"]) == ("leave", "roll_back", "Bad")
    assert [(each["code"], each["holds"], each["blocks"]) for each in shape["reasons"]] == [
        ("target_known", True, False),
        ("armed", False, True),
        ("alert_confirmed", None, True),
        ("cooldown_over", None, False),
    ]


@pytest.mark.parametrize(
    ("state", "opened", "expected"),
    [
        (TargetState("checkout"), None, ("steady", True)),
        (TargetState("checkout", armed=False), None, ("disarmed", False)),
        (TargetState("checkout", armed=False, disarmed_until=101.0), None, ("disarmed", False)),
        (TargetState("checkout", armed=False, disarmed_until=100.0), None, ("steady", True)),
        (TargetState("checkout", armed=False), rollback(), ("running", False)),
        (TargetState("checkout"), rollback(phase=Phase.WAITING), ("waiting", True)),
    ],
)
def test_the_state_of_a_target(state, opened, expected):
    shape = json_views.target(TARGET, state, now=100.0, **{**NOTHING_KNOWN, "open_rollback": opened})
    assert (shape["state"], shape["armed"]) == expected


@pytest.mark.parametrize(
    ("checks", "ready"),
    [({}, False), ({"a": True}, True), ({"a": True, "b": None}, False), ({"a": False}, False)],
)
def test_a_target_is_ready_only_when_every_check_is_known_and_holds(checks, ready):
    given = {**NOTHING_KNOWN, "now": 0, "firing": (ALERT,), "checks": checks}
    shape = json_views.target(TARGET, TargetState("checkout"), **given)
    assert shape["ready"] is ready
    assert [alert["name"] for alert in shape["firing"]] == ["Bad"]


def test_the_last_known_good_served_most_recently_and_is_not_distrusted():
    def release(version, last_seen, **more):
        return Release("checkout", version, first_seen=0, last_seen=last_seen, **more)

    known = [
        release("v1", 1, known_good_at=1),
        release("v2", 2, known_good_at=2),
        release("v3", 3, known_good_at=3, bad_at=4),
        release("v4", 4, known_good_at=3, suspect_at=4),
        release("v5", 5),
    ]
    assert observations.last_known_good(known).version == "v2"
    assert observations.last_known_good([]) is None


def test_the_worst_of_states():
    assert json_views.worst([]) == "steady"
    assert json_views.worst(["steady", "running", "waiting"]) == "running"
    assert json_views.worst(["disarmed", "running"]) == "disarmed"
