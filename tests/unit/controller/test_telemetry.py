"""The controller's metrics: what is exposed, from when on, and what each verb changes; and its log lines."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
from dataclasses import replace

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from rearguard_controller.adapters.telemetry import FAMILIES, OWN_FAMILIES, Span, Telemetry, step_names
from rearguard_controller.model import (
    AfterCrash,
    Budget,
    CommandAction,
    CommandRelease,
    Decision,
    Hook,
    Mode,
    OnFailure,
    Outcome,
    Phase,
    Policy,
    Reason,
    ReasonCode,
    Rollback,
    Step,
    StepKind,
    StepState,
    Target,
    Trigger,
    Verdict,
)
from rearguard_controller.service import logs

COMMAND = CommandAction(("true",), 5, "/")
POLICY = Policy("standard", Mode.ACT, {}, 7200, 900, 300, Budget(3, 86400))
DRAIN = Hook("drain", COMMAND, undo=COMMAND)
TARGET = Target("shop", ({"a": "b"},), "production", {}, POLICY, CommandRelease(COMMAND, COMMAND), before=(DRAIN,))


@pytest.fixture
def telemetry():
    made = Telemetry([TARGET])
    made.know_services(["chat"])
    return made


def value(telemetry, name, **labels):
    return telemetry.registry.get_sample_value(name, labels)


def exposed(telemetry):
    text = telemetry.render(None)[0].decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_everything_that_is_exposed_is_listed_with_its_type_and_labels():
    telemetry = Telemetry([TARGET], shards=2)
    telemetry.know_services(["chat"])
    telemetry.feed_ages(prometheus=lambda: None, watchdog=lambda: None, others={"us": lambda: None})
    for shard in range(2):
        telemetry.leads(leading=True, shard=shard)
    listed = {family.name.removesuffix("_total"): family for family in FAMILIES}
    shown = exposed(telemetry)
    assert set(shown) == set(listed)
    for name, family in shown.items():
        assert family.type == listed[name].type
        labels = set().union(*(sample.labels for sample in family.samples)) - {"le"}
        assert labels == set(listed[name].labels), name


def test_every_series_of_a_configured_target_starts_at_0(telemetry):
    of_target = {
        family.name: sum(sample.labels.get("target") == "shop" for sample in family.samples)
        for family in telemetry.registry.collect()
    }
    for family in OWN_FAMILIES:
        if "target" in family.labels:
            assert of_target[family.name.removesuffix("_total")] > 0, family.name
    own = {family.name for family in OWN_FAMILIES}
    for family in telemetry.registry.collect():
        for sample in family.samples:
            if sample.name in own and not sample.name.endswith(("age_seconds", "reload_success")):
                assert sample.value == 0, sample
    for outcome in ("recovered", "not_recovered", "failed", "needs_a_person", "completed", "superseded", "aborted"):
        for trigger in ("alert", "manual"):
            assert value(telemetry, "rearguard_rollbacks_total", target="shop", outcome=outcome, trigger=trigger) == 0
        assert value(telemetry, "rearguard_target_disarmed", target="shop", outcome=outcome) == 0
    labels = {"target": "shop", "reason": "armed", "holds": "unknown"}
    assert value(telemetry, "rearguard_decision_reasons_total", **labels) == 0
    assert value(telemetry, "rearguard_webhook_requests_total", code="503") == 0


def test_steps_are_named_as_the_plan_names_them():
    assert step_names(TARGET) == ("drain", "roll-back", "undo drain", "recovery")


def test_results_of_notices_are_counted_for_receivers_that_are_configured_and_for_no_others(telemetry):
    telemetry.notified("chat", "sent")
    telemetry.know_services(["chat", "pager"])
    telemetry.notified("gone", "failed")
    shown = {
        (sample.labels["service"], sample.labels["result"]): sample.value
        for sample in exposed(telemetry)["rearguard_notifications"].samples
    }
    assert shown == {
        (service, result): float((service, result) == ("chat", "sent"))
        for service in ("chat", "pager")
        for result in ("sent", "failed", "refused", "dropped")
    }
    telemetry.know_services(["pager"])
    assert value(telemetry, "rearguard_notifications_total", service="chat", result="sent") is None


def test_a_decision_counts_its_verdict_and_every_reason(telemetry):
    reasons = (Reason(ReasonCode.ARMED, False, ""), Reason(ReasonCode.ALERT_CONFIRMED, None, ""))
    telemetry.decided(Decision("d", "shop", Verdict.LEAVE, Verdict.LEAVE, 0, Trigger.ALERT, reasons))
    assert value(telemetry, "rearguard_decisions_total", target="shop", verdict="leave") == 1
    for reason, holds in (("armed", "false"), ("alert_confirmed", "unknown")):
        labels = {"target": "shop", "reason": reason, "holds": holds}
        assert value(telemetry, "rearguard_decision_reasons_total", **labels) == 1


def test_a_rollback_is_in_progress_until_it_is_closed(telemetry):
    given = {"phase": Phase.RUNNING, "opened_at": 100.0, "steps": ()}
    opened = Rollback("r", "d", "shop", Trigger.MANUAL, "why", "v2", "v1", **given)
    telemetry.opened(opened)
    assert value(telemetry, "rearguard_rollback_in_progress", target="shop") == 1
    with pytest.raises(ValueError, match="not closed"):
        telemetry.closed(opened)
    given |= {"phase": Phase.CLOSED, "outcome": Outcome.FAILED, "closed_at": 107.0}
    telemetry.closed(Rollback("r", "d", "shop", Trigger.MANUAL, "why", "v2", "v1", **given))
    assert value(telemetry, "rearguard_rollback_in_progress", target="shop") == 0
    assert value(telemetry, "rearguard_rollbacks_total", target="shop", outcome="failed", trigger="manual") == 1
    assert value(telemetry, "rearguard_rollback_seconds_sum", target="shop", span="total") == 7


def test_time_never_runs_backwards_in_a_span(telemetry):
    telemetry.span("shop", Span.ALERT_TO_RECEIPT, -3.0)
    assert value(telemetry, "rearguard_rollback_seconds_sum", target="shop", span="alert_to_receipt") == 0
    assert value(telemetry, "rearguard_rollback_seconds_count", target="shop", span="alert_to_receipt") == 1


def test_an_ended_step_counts_its_time_by_name_and_state(telemetry):
    given = {"state": StepState.FAILED, "started_at": 10.0, "ended_at": 12.5}
    step = Step(0, StepKind.BEFORE_HOOK, "drain", COMMAND, 5, OnFailure.STOP, AfterCrash.NEVER_REDO, **given)
    telemetry.step_ended("shop", step)
    assert value(telemetry, "rearguard_step_seconds_sum", target="shop", step="drain", state="failed") == 2.5


def running(rollback_id="r", target="shop"):
    return Rollback(
        rollback_id, "d", target, Trigger.MANUAL, "why", "v2", "v1", phase=Phase.RUNNING, opened_at=100.0, steps=()
    )


def test_a_rollback_that_is_driven_here_no_more_is_not_in_progress_here(telemetry):
    telemetry.opened(running())
    telemetry.let_go(running())
    assert value(telemetry, "rearguard_rollback_in_progress", target="shop") == 0


def test_letting_one_rollback_go_leaves_the_next_one_of_its_target_in_progress(telemetry):
    telemetry.opened(running("first"))
    telemetry.opened(running("second"))
    telemetry.let_go(running("first"))
    assert value(telemetry, "rearguard_rollback_in_progress", target="shop") == 1
    telemetry.let_go(running("second"))
    assert value(telemetry, "rearguard_rollback_in_progress", target="shop") == 0


def series_of(telemetry, target):
    return {
        sample.name
        for family in telemetry.registry.collect()
        for sample in family.samples
        if sample.labels.get("target") == target
    }


def test_a_target_that_is_configured_no_more_leaves_no_series_and_the_others_keep_theirs(telemetry):
    other = replace(TARGET, name="till")
    telemetry.know([TARGET, other])
    telemetry.leads(leading=True)
    telemetry.versions("till", serving="v1", last_known_good="v1")
    telemetry.versions("shop", serving="v1", last_known_good="v1")
    telemetry.decided(Decision("d", "shop", Verdict.LEAVE, Verdict.LEAVE, 0, Trigger.ALERT, ()))
    telemetry.know([TARGET])
    assert series_of(telemetry, "till") == set()
    assert value(telemetry, "rearguard_decisions_total", target="shop", verdict="leave") == 1
    telemetry.ready("till", {"thresholds": True})  # a look that had begun before
    telemetry.armed("till", armed=True)
    telemetry.versions("till", serving="v2", last_known_good=None)
    assert series_of(telemetry, "till") == set()
    telemetry.know([TARGET, other])
    assert value(telemetry, "rearguard_target_version_info", target="till", version="", state="serving") == 0


def test_the_series_of_a_target_that_is_gone_stay_while_it_is_rolled_back(telemetry):
    telemetry.know([TARGET, replace(TARGET, name="till")])
    telemetry.opened(running(target="till"))
    telemetry.know([TARGET])
    assert value(telemetry, "rearguard_rollback_in_progress", target="till") == 1
    telemetry.let_go(running(target="till"))
    telemetry.know([TARGET])
    assert series_of(telemetry, "till") == set()


def test_who_leads_no_more_shows_of_targets_what_it_showed_at_the_start(telemetry):
    fresh = {(sample.name, *sample.labels.items(), sample.value) for sample in of_targets(telemetry)}
    telemetry.leads(leading=True)
    telemetry.ready("shop", {"thresholds": True})
    telemetry.armed("shop", armed=True)
    telemetry.versions("shop", serving="v1", last_known_good="v1")
    assert {(sample.name, *sample.labels.items(), sample.value) for sample in of_targets(telemetry)} != fresh
    telemetry.leads(leading=False)
    telemetry.ready("shop", {"thresholds": True})  # a look that had begun before
    telemetry.armed("shop", armed=False, by=Outcome.ABORTED)
    telemetry.versions("shop", serving="v2", last_known_good="v1")
    assert {(sample.name, *sample.labels.items(), sample.value) for sample in of_targets(telemetry)} == fresh


def of_targets(telemetry):
    kinds = ("ready", "armed", "disarmed", "version_info")
    names = {f"rearguard_target_{kind}" for kind in kinds}
    return [sample for family in telemetry.registry.collect() if family.name in names for sample in family.samples]


def test_of_a_disarmed_target_only_the_outcome_of_the_rollback_that_disarmed_it_is_shown(telemetry):
    def shown():
        samples = exposed(telemetry)["rearguard_target_disarmed"].samples
        return {sample.labels["outcome"] for sample in samples if sample.value == 1}

    telemetry.leads(leading=True)
    found = []
    for armed, by in ((False, Outcome.ABORTED), (False, Outcome.COMPLETED), (False, None), (True, None)):
        telemetry.armed("shop", armed=armed, by=by)
        found.append(shown())
    assert found == [{"aborted"}, {"completed"}, set(), set()]


def test_only_the_present_versions_are_shown(telemetry):
    telemetry.leads(leading=True)
    telemetry.versions("shop", serving="v1", last_known_good="v1")
    telemetry.versions("shop", serving="v2", last_known_good="v1")
    shown = {
        (sample.labels["version"], sample.labels["state"]): sample.value
        for sample in exposed(telemetry)["rearguard_target_version_info"].samples
    }
    assert shown == {("v2", "serving"): 1, ("v1", "last_known_good"): 1, ("", "bad"): 0}


def test_a_bad_version_is_shown_while_it_serves(telemetry):
    def bad():
        samples = exposed(telemetry)["rearguard_target_version_info"].samples
        return {each.labels["version"]: each.value for each in samples if each.labels["state"] == "bad"}

    telemetry.leads(leading=True)
    telemetry.versions("shop", serving="v2", last_known_good="v1", bad="v2")
    assert bad() == {"v2": 1}
    telemetry.versions("shop", serving="v1", last_known_good="v1", bad=None)
    assert bad() == {"": 0}


def test_an_unknown_check_is_not_ready(telemetry):
    telemetry.leads(leading=True)
    telemetry.ready("shop", {"thresholds": True, "trigger_rules": None})
    assert value(telemetry, "rearguard_target_ready", target="shop", check="thresholds") == 1
    assert value(telemetry, "rearguard_target_ready", target="shop", check="trigger_rules") == 0


def test_a_replica_of_prometheus_that_is_away_alerts_for_no_target(telemetry):
    telemetry.leads(leading=True)
    telemetry.ready("shop", {"replicas_agree": None})
    assert math.isnan(value(telemetry, "rearguard_target_ready", target="shop", check="replicas_agree"))
    telemetry.ready("shop", {"replicas_agree": False})
    assert value(telemetry, "rearguard_target_ready", target="shop", check="replicas_agree") == 0


def test_an_age_is_read_at_the_scrape_and_grows_from_the_start_when_nothing_was_ever_seen(telemetry):
    telemetry.feed_ages(prometheus=lambda: 42.0, watchdog=lambda: None)
    assert value(telemetry, "rearguard_prometheus_age_seconds") == 42
    first = value(telemetry, "rearguard_watchdog_age_seconds")
    assert 0 <= first < 5
    telemetry.feed_ages(prometheus=lambda: 42.0, watchdog=lambda: None)  # as a reload does
    assert value(telemetry, "rearguard_watchdog_age_seconds") > first


# --- logs ------------------------------------------------------------------------------------------------------


def fail(password):
    raise ValueError(len(password))


@pytest.fixture
def lines():
    before = logging.getLogger().handlers[:], logging.getLogger().level, structlog.get_config()
    stream = io.StringIO()
    yield stream
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])
    structlog.configure(**before[2])


def test_a_line_carries_ecs_names_ids_and_no_secret(lines):
    logs.configure(stream=lines)
    structlog.get_logger("rearguard").warning("step_failed", rollback="r1", operator_token="abc", error="no")
    line = json.loads(lines.getvalue())
    assert line["message"] == "step_failed"
    assert (line["log.level"], line["rearguard.rollback"], line["error.message"]) == ("warning", "r1", "no")
    assert "@timestamp" in line
    assert "abc" not in lines.getvalue()


def test_lines_of_libraries_look_the_same_and_tracebacks_hide_local_variables(lines):
    logs.configure(stream=lines)
    try:
        fail("hunter2")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("broken")
    line = json.loads(lines.getvalue())
    assert (line["message"], line["log.logger"]) == ("broken", "aiohttp.server")
    assert "ValueError: 7" in line["error.stack_trace"]
    assert "password =" not in lines.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_no_line_of_the_log_controls_a_terminal_or_begins_a_second_line(lines, as_json):
    logs.configure(stream=lines, as_json=as_json)
    evil = "\x1b]0;t\x07\x9b31m\u202e\u2028\x85\x7f\r\nFAKE"
    structlog.get_logger("rearguard").warning("step" + evil, rollback=evil, labels=[evil, {evil: evil}])
    logging.getLogger("asyncio").warning("foreign %s", evil)
    assert len(lines.getvalue().splitlines()) == 2
    structlog.get_logger("rearguard").error("broken", exc_info=ValueError(evil))
    text = lines.getvalue()
    assert {each for each in text if not each.isprintable()} == {"\n"}
    assert "FAKE" in text


class Full(io.StringIO):
    """A stream whose disk is full."""

    def write(self, _text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_nobody_takes_is_no_fault_of_whoever_logs(lines):
    logs.configure(stream=Full())
    structlog.get_logger("rearguard").warning("lost")
    logs.configure(stream=lines)
    structlog.get_logger("rearguard").warning("kept")
    assert json.loads(lines.getvalue())["message"] == "kept"
    lines_of_a_closed_stream = io.StringIO()
    logs.configure(stream=lines_of_a_closed_stream)
    lines_of_a_closed_stream.close()
    structlog.get_logger("rearguard").warning("lost")


def test_lines_below_the_level_are_not_written(lines):
    logs.configure(stream=lines, level="warning")
    structlog.get_logger("rearguard").info("quiet")
    logging.getLogger("asyncio").info("quiet")
    structlog.get_logger("rearguard").warning("loud")
    assert [json.loads(line)["message"] for line in lines.getvalue().splitlines()] == ["loud"]


def test_a_terminal_gets_text_without_local_variables(lines):
    logs.configure(stream=lines, as_json=False)
    try:
        fail("hunter2")
    except ValueError:
        structlog.get_logger("rearguard").exception("broken", target="shop")
    assert "target=shop" in lines.getvalue()
    assert "ValueError: 7" in lines.getvalue()
    assert "password =" not in lines.getvalue()
