"""The shapes of answers and bodies as JSON Schema, for the OpenAPI document.

Here: one schema for each shape of `shapes`, with every word of a closed set. Answers may grow, so their schemas name
what is always there and allow more; requests are closed.
Never here: routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from rearguard_controller.api import answers
from rearguard_controller.json_views import HEARTBEAT_STATES, TARGET_STATES
from rearguard_controller.model import (
    AfterCrash,
    EvidenceSource,
    OnFailure,
    Outcome,
    Phase,
    ReasonCode,
    StepKind,
    StepState,
    Trigger,
    Verdict,
)
from rearguard_controller.model.checks import DRILL_CHECKS

Schema = Mapping[str, object]

VERSION = r"^(?!-)(?!(?:.*/)?\.\.(?:/|$))[A-Za-z0-9._+:/@-]{1,253}$"
TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "number"}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
YES: Schema = {"type": "boolean"}
FLAG: Schema = {"type": ["boolean", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
WORDS: Schema = {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^[^\x00]*\S[^\x00]*$"}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: Mapping[str, Schema]) -> Schema:
    """An answer with these fields, all of them always there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def fields(properties: Mapping[str, Schema], *, required: Sequence[str]) -> Schema:
    """A body with these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def page(name: str, of: str) -> Schema:
    """One page of a list, and the cursor of the next one."""
    return closed({name: several(ref(of)), "next": MAYBE_TEXT})


def several(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def _words(values: Iterable[StrEnum | str], *, or_null: bool = False) -> Schema:
    return {"enum": [*(str(each) for each in values), *([None] if or_null else [])]}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_ROLLBACK: Mapping[str, Schema] = {
    "id": TEXT,
    "target": TEXT,
    "trigger": _words(Trigger),
    "reason": TEXT,
    "from_version": TEXT,
    "to_version": TEXT,
    "phase": _words(Phase),
    "outcome": _words(Outcome, or_null=True),
    "detail": TEXT,
    "stopping": _words(Outcome, or_null=True),
    "started_at": TIME,
    "wait_until": MAYBE_TIME,
    "needs_approval": YES,
    "approved": YES,
    "closed_at": MAYBE_TIME,
    "decision_id": TEXT,
    "conditions": several(ref("Condition")),
    "steps": several(ref("Step")),
}
_ARMING: Mapping[str, Schema] = {
    "name": TEXT,
    "armed": YES,
    "armed_reason": TEXT,
    "armed_changed_at": MAYBE_TIME,
    "disarmed_until": MAYBE_TIME,
    "armed_by": MAYBE_TEXT,
}
_DRILL: Mapping[str, Schema] = {"id": TEXT, "at": TIME, "ok": FLAG}
_RELEASE: Mapping[str, Schema] = {
    "target": TEXT,
    "version": TEXT,
    "service_version": MAYBE_TEXT,
    "first_seen": TIME,
    "last_seen": TIME,
    "known_good_at": MAYBE_TIME,
    "suspect_at": MAYBE_TIME,
    "bad_at": MAYBE_TIME,
    "barrier": YES,
}
SCHEMAS: Mapping[str, Schema] = {
    "Error": closed(
        {
            "error": closed(
                {
                    "code": _words(answers.CODES.values()),
                    "message": TEXT,
                    "hint": TEXT,
                    "field": MAYBE_TEXT,
                }
            )
        }
    ),
    "Delivery": {
        "type": "object",
        "required": ["alerts"],
        "properties": {
            "version": {"const": "4"},
            "alerts": {"type": "array", "maxItems": 10_000, "items": ref("DeliveredAlert")},
        },
    },
    "DeliveredAlert": {
        "type": "object",
        "required": ["status", "labels"],
        "properties": {
            "status": {"enum": ["firing", "resolved"]},
            "labels": {**LABELS, "required": ["alertname"]},
            "annotations": {"type": ["object", "null"], "additionalProperties": TEXT},
            "startsAt": MAYBE_TIME,
            "endsAt": {},
            "fingerprint": {"type": ["string", "null"], "maxLength": 128},
        },
    },
    "Alert": closed(
        {
            "name": TEXT,
            "status": {"enum": ["firing", "resolved"]},
            "labels": LABELS,
            "annotations": LABELS,
            "starts_at": MAYBE_TIME,
            "fingerprint": TEXT,
            "source": TEXT,
        }
    ),
    "Reason": closed(
        {"code": _words(ReasonCode), "holds": FLAG, "detail": TEXT, "blocks": YES, "remedy": MAYBE_TEXT}
    ),
    "Decision": closed(
        {
            "id": TEXT,
            "target": TEXT,
            "verdict": _words(Verdict),
            "would": _words(Verdict),
            "decided_at": TIME,
            "trigger": _words(Trigger),
            "alert": _or_null(ref("Alert")),
            "from_version": MAYBE_TEXT,
            "to_version": MAYBE_TEXT,
            "rollback_id": MAYBE_TEXT,
            "note": TEXT,
            "summary": TEXT,
            "reasons": several(ref("Reason")),
            "evidence": several(ref("Evidence")),
        }
    ),
    "Evidence": closed(
        {
            "source": _words(EvidenceSource),
            "question": TEXT,
            "at": TIME,
            "start": MAYBE_TIME,
            "step_s": MAYBE_NUMBER,
            "answer": TEXT,
            "values": several(closed({"labels": LABELS, "value": NUMBER})),
            "serves": several(_words(ReasonCode)),
        }
    ),
    "Condition": closed(
        {
            "alert": TEXT,
            "figure": TEXT,
            "threshold": TEXT,
            "selector": LABELS,
            "settle_s": MAYBE_NUMBER,
            "clears_s": MAYBE_NUMBER,
        }
    ),
    "Step": closed(
        {
            "seq": {"type": "integer"},
            "kind": _words(StepKind),
            "name": TEXT,
            "state": _words(StepState),
            "attempt": {"type": "integer"},
            "started_at": MAYBE_TIME,
            "ended_at": MAYBE_TIME,
            "timeout_s": MAYBE_NUMBER,
            "on_failure": _words(OnFailure),
            "after_crash": _words(AfterCrash),
            "action": {"type": ["object", "null"]},
            "detail": TEXT,
        }
    ),
    "Rollback": closed(_ROLLBACK),
    "Action": closed({"at": TIME, "operator": TEXT, "action": TEXT, "subject": TEXT, "reason": TEXT}),
    "RollbackInFull": closed({**_ROLLBACK, "decision": ref("Decision"), "actions": several(ref("Action"))}),
    "DryRun": closed({"dry_run": {"const": True}, "decision": ref("Decision"), "plan": several(ref("Step"))}),
    "Triggered": closed(
        {
            "rollback_id": MAYBE_TEXT,
            "decision_id": TEXT,
            "repeated": YES,
            "rollback": _or_null(ref("Rollback")),
        }
    ),
    "Arming": closed(_ARMING),
    "Release": closed(_RELEASE),
    "RememberedRelease": closed({**_RELEASE, "served_at": MAYBE_TIME, "serving": YES, "last_known_good": YES}),
    "Releases": closed(
        {
            "target": TEXT,
            "at": TIME,
            "serving_version": MAYBE_TEXT,
            "serving_since": MAYBE_TIME,
            "clean_for_s": MAYBE_NUMBER,
            "known_good_after_s": NUMBER,
            "prometheus_age_s": MAYBE_NUMBER,
            "checks": {"type": "object", "additionalProperties": FLAG},
            "triggers": several(TEXT),
            "releases": several(ref("RememberedRelease")),
            "next": MAYBE_TEXT,
        }
    ),
    "Target": closed(
        {
            **_ARMING,
            "mode": TEXT,
            "environment": TEXT,
            "policy": TEXT,
            "state": _words(TARGET_STATES),
            "serving_version": MAYBE_TEXT,
            "serving_since": MAYBE_TIME,
            "serving_is_bad": YES,
            "last_known_good": MAYBE_TEXT,
            "ready": YES,
            "checks": {"type": "object", "additionalProperties": FLAG},
            "not_ready": several(ref("Check")),
            "open_rollback": MAYBE_TEXT,
            "firing": several(ref("Alert")),
            "last_drill": _or_null(closed(_DRILL)),
            "score": ref("Score"),
        }
    ),
    "Score": closed(
        {
            "agreed": {"type": "integer", "minimum": 0},
            "only_we": {"type": "integer", "minimum": 0},
            "only_people": {"type": "integer", "minimum": 0},
            "open": YES,
            "lead_s": MAYBE_NUMBER,
        }
    ),
    "Check": closed({"name": _words(DRILL_CHECKS), "holds": FLAG, "detail": TEXT}),
    "Drill": closed(
        {
            **_DRILL,
            "target": TEXT,
            "operator": TEXT,
            "reason": TEXT,
            "ended_at": MAYBE_TIME,
            "checks": several(ref("Check")),
        }
    ),
    "Heartbeat": closed({"age_s": MAYBE_NUMBER, "state": _words(HEARTBEAT_STATES)}),
    "Status": closed(
        {
            "state": _words(TARGET_STATES),
            "at": TIME,
            "heartbeat": ref("Heartbeat"),
            "targets": several(ref("Target")),
            "active_triggers": several(ref("Alert")),
            "open": several(ref("Rollback")),
            "recent": several(ref("Rollback")),
        }
    ),
    "Figure": closed(
        {
            "alert": TEXT,
            "version": MAYBE_TEXT,
            "value": MAYBE_NUMBER,
            "operator": TEXT,
            "threshold": MAYBE_NUMBER,
            "past": FLAG,
        }
    ),
    "Dashboard": closed(
        {
            "status": {"enum": ["healthy", "unknown", "degraded", "unhealthy"]},
            "at": TIME,
            "prometheus_age_s": MAYBE_NUMBER,
            "targets": several(
                closed(
                    {
                        "name": TEXT,
                        "environment": TEXT,
                        "health": {"enum": ["healthy", "unknown", "degraded", "unhealthy"]},
                        "serving_version": MAYBE_TEXT,
                        "firing": several(ref("Alert")),
                        "figures": several(ref("Figure")),
                    }
                )
            ),
        }
    ),
    "Ready": closed(
        {
            "status": {"enum": ["ready", "not_ready"]},
            "webhook_stored": YES,
            "prometheus_age_s": MAYBE_NUMBER,
            "watchdog_age_s": MAYBE_NUMBER,
            "heartbeat": ref("Heartbeat"),
        }
    ),
}
