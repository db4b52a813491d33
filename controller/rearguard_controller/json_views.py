"""The nouns as the JSON that users meet: API answers, the command line, commands' standard input.

Here: one small function for each noun, giving a dict ready for JSON; times as RFC 3339 in UTC, unknown as null.
Never here: HTTP, the journal, clocks, or anything secret: an action is shown by what it does, without its headers,
body or environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from rearguard_controller.judgement import remedies
from rearguard_controller.judgement.score import mean_lead
from rearguard_controller.model import (
    Action,
    Alert,
    Check,
    CommandAction,
    CommandRelease,
    Condition,
    Decision,
    Drill,
    Evidence,
    HealthCheck,
    HttpAction,
    Phase,
    Reason,
    Release,
    Rollback,
    Score,
    Step,
    Target,
    TargetState,
)
from rearguard_controller.model.observations import is_armed, last_known_good
from rearguard_controller.wording import address, moment, plain

Json = dict[str, object]

HEARTBEAT_STATES = ("fresh", "late", "never")
HEARTBEAT_LATE = 300.0  # seconds without one: the alert RearguardHeartbeatLost knows the same number
TARGET_STATES = ("steady", "waiting", "running", "disarmed")  # from best to worst


def alert(value: Alert) -> Json:
    """An alert as it was judged."""
    return {
        "name": value.name,
        "status": "firing" if value.firing else "resolved",
        "labels": dict(value.labels),
        "annotations": dict(value.annotations),
        "starts_at": moment(value.starts_at),
        "fingerprint": value.fingerprint,
        "source": value.source,
    }


def reason(value: Reason) -> Json:
    """One answered question."""
    return {
        "code": value.code.value,
        "holds": value.holds,
        "detail": value.detail,
        "blocks": value.blocks,
        "remedy": value.remedy or None,
    }


def decision(value: Decision) -> Json:
    """A decision with all its reasons in the order of judgement."""
    return {
        "id": value.id,
        "target": value.target,
        "verdict": value.verdict.value,
        "would": value.would.value,
        "decided_at": moment(value.decided_at),
        "trigger": value.trigger.value,
        "alert": None if value.alert is None else alert(value.alert),
        "from_version": value.from_version,
        "to_version": value.to_version,
        "rollback_id": value.rollback_id,
        "note": value.note,
        "summary": remedies.summary(value),
        "reasons": [reason(each) for each in value.reasons],
        "evidence": [evidence(each) for each in value.evidence],
    }


def evidence(value: Evidence) -> Json:
    """What was asked for a decision, and the answer."""
    return {
        "source": value.source.value,
        "question": value.question,
        "at": moment(value.at),
        "start": moment(value.start),
        "step_s": value.step,
        "answer": value.answer,
        "values": [{"labels": dict(each.labels), "value": each.value} for each in value.values],
        "serves": [code.value for code in value.serves],
    }


def rollback(value: Rollback, *, outputs: bool = False) -> Json:
    """A rollback with its steps; with `outputs` each step says what its command or request printed."""
    return {
        "id": value.id,
        "target": value.target,
        "trigger": value.trigger.value,
        "reason": value.reason,
        "from_version": value.from_version,
        "to_version": value.to_version,
        "phase": value.phase.value,
        "outcome": None if value.outcome is None else value.outcome.value,
        "detail": value.detail or value.stopping_detail,
        "stopping": None if value.stopping is None else value.stopping.value,
        "started_at": moment(value.opened_at),
        "wait_until": moment(value.wait_until),
        "needs_approval": value.needs_approval,
        "approved": value.approved,
        "closed_at": moment(value.closed_at),
        "decision_id": value.decision_id,
        "conditions": [condition(each) for each in value.conditions],
        "steps": [step(each, output=outputs) for each in value.steps],
    }


def condition(value: Condition) -> Json:
    """What must be over for a rollback to count as recovered."""
    return {
        "alert": value.alert,
        "figure": value.figure,
        "threshold": value.threshold,
        "selector": dict(value.selector),
        "settle_s": value.settle,
        "clears_s": value.clears,
    }


def step(value: Step, *, output: bool = False) -> Json:
    """One step of a plan and how far it is."""
    shape: Json = {
        "seq": value.seq,
        "kind": value.kind.value,
        "name": value.name,
        "state": value.state.value,
        "attempt": value.attempt,
        "started_at": moment(value.started_at),
        "ended_at": moment(value.ended_at),
        "timeout_s": value.timeout,
        "on_failure": value.on_failure.value,
        "after_crash": value.after_crash.value,
        "action": None if value.action is None else action(value.action),
        "detail": value.detail,
    }
    if output:
        shape["output"] = value.output
    return shape


def action(value: Action | HealthCheck | CommandRelease) -> Json:
    """What a step does, without what could be secret."""
    match value:
        case CommandAction():
            return {"command": [plain(word) for word in value.argv]}
        case HttpAction():
            return {"http": {"method": value.method, "url": address(value.url)}}
        case HealthCheck():
            return {"health": {"url": address(value.url), "successes": value.successes}}
        case CommandRelease():
            return {"command": [plain(word) for word in value.rollback.argv]}
    assert_never(value)


def release(value: Release) -> Json:
    """What is remembered of a version."""
    return {
        "target": value.target,
        "version": value.version,
        "service_version": value.service_version,
        "first_seen": moment(value.first_seen),
        "last_seen": moment(value.last_seen),
        "known_good_at": moment(value.known_good_at),
        "suspect_at": moment(value.suspect_at),
        "bad_at": moment(value.bad_at),
        "barrier": value.barrier,
    }


def remembered(value: Release, state: TargetState, good: Release | None) -> Json:
    """What is remembered of a version, and what it is to its target now; `good` is the last known good one."""
    return {
        **release(value),
        "served_at": moment(value.served_at),
        "serving": value.version == state.serving_version,
        "last_known_good": good is not None and value.version == good.version,
    }


def service(value: TargetState, now: float, *, most_gap: float) -> Json:
    """How long the serving version serves, and how long without a break it was seen to serve well.

    `clean_for_s` is null unless a poll, at most `most_gap` seconds ago, found it so: no data is no answer.
    """
    since, checked = value.clean_since, value.clean_checked_at
    clean = since is not None and checked is not None and 0 <= now - checked <= most_gap
    return {
        "target": value.target,
        "at": moment(now),
        "serving_version": value.serving_version,
        "serving_since": moment(value.serving_since),
        "clean_for_s": max(0.0, checked - since) if clean and since is not None and checked is not None else None,
    }


def arming(value: TargetState, now: float) -> Json:
    """Whether a target may be rolled back automatically, and why not."""
    return {
        "name": value.target,
        "armed": is_armed(value, now),
        "armed_reason": value.armed_reason,
        "armed_changed_at": moment(value.armed_changed_at),
        "disarmed_until": moment(value.disarmed_until),
    }


def target(
    value: Target,
    state: TargetState,
    *,
    now: float,
    releases: Sequence[Release],
    open_rollback: Rollback | None,
    firing: Sequence[Alert],
    checks: Mapping[str, bool | None],
) -> Json:
    """A target as `status` shows it. `ready` is true only when every check is known and holds."""
    good = last_known_good(releases)
    return {
        **arming(state, now),
        "mode": value.policy.mode.value,
        "environment": value.environment,
        "policy": value.policy.name,
        "state": target_state(state, open_rollback, now),
        "serving_version": state.serving_version,
        "serving_since": moment(state.serving_since),
        "serving_is_bad": any(each.version == state.serving_version and each.distrusted for each in releases),
        "last_known_good": None if good is None else good.version,
        "ready": bool(checks) and all(holds is True for holds in checks.values()),
        "checks": dict(checks),
        "open_rollback": None if open_rollback is None else open_rollback.id,
        "firing": [alert(each) for each in firing],
        "score": score_of(state.score),
    }


def score_of(value: Score) -> Json:
    """What the controller would have done against what people did; `lead_s` is the mean, null before they agreed."""
    return {
        "agreed": value.agreed,
        "only_we": value.only_we,
        "only_people": value.only_people,
        "open": value.version is not None,
        "lead_s": mean_lead(value),
    }


def check(value: Check) -> Json:
    """One answered question of a drill."""
    return {"name": value.name, "holds": value.holds, "detail": value.detail}


def drill(value: Drill) -> Json:
    """A drill and all that it found; `ended_at` is null while it goes on, or when its controller ended before it."""
    return {
        **drill_in_short(value),
        "target": value.target,
        "operator": value.operator,
        "reason": value.reason,
        "ended_at": moment(value.ended_at),
        "checks": [check(each) for each in value.checks],
    }


def drill_in_short(value: Drill) -> Json:
    """When a drill was, and whether all was good (null: not known)."""
    return {"id": value.id, "at": moment(value.at), "ok": value.ok}


def heartbeat(age: float | None) -> Json:
    """How long ago a heartbeat last came, and what to think of that."""
    return {"age_s": age, "state": heartbeat_state(age)}


def heartbeat_state(age: float | None) -> str:
    """One of `HEARTBEAT_STATES` for the seconds since the last heartbeat; None: none ever came."""
    return "never" if age is None else "late" if age > HEARTBEAT_LATE else "fresh"


def target_state(state: TargetState, open_rollback: Rollback | None, now: float) -> str:
    """The one word for a target; an open rollback says more than the arming."""
    if open_rollback is not None:
        return "waiting" if open_rollback.phase is Phase.WAITING else "running"
    return "steady" if is_armed(state, now) else "disarmed"


def worst(states: Sequence[str]) -> str:
    """The worst of the targets' states; `steady` when there are none."""
    return max(states, key=TARGET_STATES.index, default=TARGET_STATES[0])
