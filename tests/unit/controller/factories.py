"""Small builders, so that a test states its facts in under ten lines.

Here: one plausible value of each noun, with every field open to be overridden. The base world is the one where a
rollback is right: v1 earned trust, v2 came ten minutes ago, and its error rate is past the threshold since.
Never here: expectations, and anything that touches the outside.
"""

from dataclasses import replace

from rearguard_controller.model import (
    Alert,
    AlertFacts,
    AlertState,
    Budget,
    Check,
    CommandAction,
    CommandRelease,
    Condition,
    Counts,
    Decision,
    Facts,
    HealthCheck,
    Hook,
    HttpAction,
    Measured,
    Measurement,
    Mode,
    Phase,
    Policy,
    Reason,
    ReasonCode,
    Release,
    Rollback,
    Tally,
    Target,
    TargetFacts,
    TargetState,
    Trigger,
    Verdict,
)
from rearguard_controller.model.checks import TRUST_CHECKS
from rearguard_controller.rollback.plan import plan

NOW = 1_000_000.0
MINUTE = 60.0
HOUR = 3600.0
DEPLOYED = NOW - 10 * MINUTE  # when v2 began to serve
TARGET = "checkout"
HOLDING = tuple(Check(name, True, "") for name in TRUST_CHECKS)  # nothing stands in the way of trust
MATCH = {"service_name": "checkout", "deployment_environment_name": "production"}


def command(*argv: str, timeout: float = 30.0) -> CommandAction:
    return CommandAction(argv or ("true",), timeout, "/srv/shop")


def hook(name: str, *, undo: bool = False, **fields) -> Hook:
    return Hook(name, command(name), undo=command("undo", name) if undo else None, **fields)


def policy(**fields) -> Policy:
    base = Policy(
        name="standard",
        mode=Mode.ACT,
        alerts={"action": "rollback"},
        watch_window=2 * HOUR,
        known_good_after=15 * MINUTE,
        cooldown=5 * MINUTE,
        budget=Budget(3, 24 * HOUR),
    )
    return replace(base, **fields)


def target(**fields) -> Target:
    base = Target(
        name=TARGET,
        match=(MATCH,),
        environment="production",
        telemetry=MATCH,
        policy=fields.pop("policy", None) or policy(),
        release=CommandRelease(command("current"), command("activate", "{to_version}", timeout=300.0)),
        before=(hook("drain", undo=True),),
        after=(Hook("clear-cache", HttpAction("POST", "http://127.0.0.1:1/clear", 10.0)),),
        health=HealthCheck("http://127.0.0.1:1/healthz", 3, 2.0, 120.0),
        recovery_within=300.0,
    )
    return replace(base, **fields)


def alert(name: str = "ReleaseErrorRate", **labels: str) -> Alert:
    return Alert(name, {"alertname": name, **MATCH, "action": "rollback", **labels}, starts_at=NOW - MINUTE)


def release(version: str, **fields) -> Release:
    first_seen = fields.get("first_seen", NOW - 24 * HOUR)
    base = Release(TARGET, version, first_seen=first_seen, last_seen=DEPLOYED, served_at=first_seen)
    return replace(base, **fields)


def good(version: str, **fields) -> Release:
    return release(version, **{"known_good_at": NOW - 20 * HOUR, **fields})


def serving(version: str = "v2", **fields) -> Release:
    return release(version, **{"first_seen": DEPLOYED, "last_seen": NOW, **fields})


def state(**fields) -> TargetState:
    base = TargetState(TARGET, serving_version="v2", serving_since=DEPLOYED, previous_version="v1", is_release=True)
    return replace(base, **fields)


def measurement(value: float | None = 0.3, *, past: bool | None = True) -> Measurement:
    return Measurement(value, 0.1, ">", past)


def counts(*failures: float, requests: float = 100.0, **fields) -> Counts:
    """The release's failures in steps of 5 s up to NOW, by default 30 in each of 12; v1 is gone, and was well."""
    shown = failures or (30.0,) * 12
    own = tuple(Tally(NOW - 5.0 * (len(shown) - n - 1), requests, each) for n, each in enumerate(shown))
    before = tuple(Tally(DEPLOYED - 15.0 * n, 300.0, 0.0) for n in range(239, -1, -1))
    return replace(Counts("2.0", "1.0", own, before=before, limit=0.1), **fields)


ALERT_FIELDS = {"alert_state": "state", "alert_detail": "detail", "silencing": "silencing"}
MEASURED_FIELDS = {
    "measurement": "now",
    "measurement_detail": "now_detail",
    "condition_since": "since",
    "condition_detail": "since_detail",
    "condition_own": "since_own",
    "previous_measurement": "before",
    "previous_detail": "before_detail",
    "shared": "shared",
    "shared_detail": "shared_detail",
    "counts": "counts",
    "counts_detail": "counts_detail",
    "by_evidence": "by_evidence",
}


def facts(**fields) -> Facts:
    """The facts of the base world. Each field goes to its record; `evidence` goes to the target's."""
    return with_facts(
        Facts(
            NOW,
            TargetFacts(
                serving_version="v2",
                state=state(),
                releases=(good("v1", service_version="1.0"), serving("v2", service_version="2.0")),
                activatable=frozenset({"v1", "v2"}),
            ),
            AlertFacts(AlertState.FIRING),
            Measured(
                now=measurement(), since=DEPLOYED + MINUTE, before=measurement(0.0, past=False), counts=counts()
            ),
        ),
        **fields,
    )


def with_facts(base: Facts, *, now: float | None = None, **fields) -> Facts:
    """Facts with some fields replaced, each in its record."""
    of_alert = {ALERT_FIELDS[name]: fields.pop(name) for name in list(fields) if name in ALERT_FIELDS}
    measured = {MEASURED_FIELDS[name]: fields.pop(name) for name in list(fields) if name in MEASURED_FIELDS}
    return Facts(
        base.now if now is None else now,
        replace(base.target, **fields),
        replace(base.alert, **of_alert),
        replace(base.measured, **measured),
    )


def condition(**fields) -> Condition:
    return replace(Condition("ReleaseErrorRate", "service:http_error_ratio", "> 0.1", MATCH), **fields)


def decision(decision_id: str = "d1", **fields) -> Decision:
    base = Decision(
        id=decision_id,
        target=TARGET,
        verdict=Verdict.LEAVE,
        would=Verdict.LEAVE,
        decided_at=NOW,
        trigger=Trigger.ALERT,
        reasons=(Reason(ReasonCode.TARGET_KNOWN, True, "The alert belongs to target checkout."),),
        alert=alert(),
        from_version="v2",
    )
    return replace(base, **fields)


def rollback(rollback_id: str = "r1", **fields) -> Rollback:
    """An open rollback from v2 to v1; `of` is the target that is planned for, else `steps` may be given."""
    of = fields.pop("of", None) or target()
    base = Rollback(
        id=rollback_id,
        decision_id="d1",
        target=of.name,
        trigger=Trigger.ALERT,
        reason="ReleaseErrorRate fires.",
        from_version="v2",
        to_version="v1",
        phase=Phase.RUNNING,
        opened_at=NOW,
        steps=plan(of, conditions=fields.get("conditions", (condition(),))),
        conditions=(condition(),),
    )
    return replace(base, **fields)
