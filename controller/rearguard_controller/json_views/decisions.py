"""Alerts, and decisions with their reasons and evidence, as users see them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NotRequired, TypedDict

from rearguard_controller import model
from rearguard_controller.json_views.terms import Cursor, Labels, Time, Unreadable
from rearguard_controller.model import AlertStatus, EvidenceSource, ReasonCode, Trigger, Verdict
from rearguard_controller.model.annotations import cut
from rearguard_controller.wording import moment, summary


class Alert(TypedDict):
    """An alert as it was judged."""

    name: Annotated[str, "The label `alertname`."]
    status: Annotated[AlertStatus, "Whether it fires."]
    labels: Annotated[Labels, "All labels; they are the alert's identity."]
    annotations: Annotated[Labels, "Texts for people; they decide nothing."]
    starts_at: Annotated[Time | None, "When it began to fire; null when the sender did not say."]
    fingerprint: Annotated[str, "Alertmanager's name for these labels; empty when it gave none."]
    source: Annotated[
        str, "Where it came from: `webhook`, `prometheus`, `kubernetes`, in a back-test `history`, or `made up`."
    ]


class ActiveTrigger(Alert):
    """An alert that fires now and may trigger a rollback."""

    target: Annotated[str, "The target whose policy lets this alert trigger."]


class Reason(TypedDict):
    """One answered question."""

    code: Annotated[ReasonCode, "Which question."]
    holds: Annotated[bool | None, "The answer; null when it is unknown."]
    detail: Annotated[str, "The answer in words."]
    blocks: Annotated[bool, "Whether it stood in the way."]
    remedy: Annotated[str | None, "What would have to change so that it no longer blocks; null when it does not."]


class EvidenceValue(TypedDict):
    """One number of an answer."""

    labels: Annotated[Labels, "The labels that distinguish it from the target's other series."]
    value: Annotated[float | None, "The number; of a range the median of its series. Null: it is infinite."]


class Evidence(TypedDict):
    """What was asked for a decision, and the answer."""

    source: Annotated[EvidenceSource, "Who was asked."]
    question: Annotated[str, "PromQL as it was asked, `GET` and a path, a command, or what was read of the journal."]
    at: Annotated[Time, "When; for PromQL by Prometheus' own clock. A range of time ends here."]
    start: Annotated[Time | None, "Where a range of time begins; null when one moment was asked for."]
    step_s: Annotated[float | None, "Seconds between the points of a range; null when one moment was asked for."]
    answer: Annotated[str, "The answer in words."]
    values: Annotated[list[EvidenceValue], "Its numbers: at most four, the lowest and highest of more."]
    serves: Annotated[list[ReasonCode], "The reasons that rest on it."]


class Decision(TypedDict):
    """A decision with all its reasons in the order of judgement."""

    id: Annotated[str, "Its name."]
    target: Annotated[str, "The target; empty when no target matched the alert."]
    verdict: Annotated[Verdict, "What was decided."]
    would: Annotated[Verdict, "What would have been decided if mode, environment and arming had allowed it."]
    decided_at: Annotated[Time, "When."]
    trigger: Annotated[Trigger, "Who asked for a rollback."]
    alert: Annotated[Alert | None, "The alert that was judged; null for a request by hand."]
    from_version: Annotated[str | None, "The version that served; null when it was unknown."]
    to_version: Annotated[str | None, "The version to put back; null when there was none."]
    rollback_id: Annotated[str | None, "The rollback that it opened, if any."]
    note: Annotated[str, "The reason that a person gave; empty for an alert."]
    summary: Annotated[str, "Which answers together stood in the way, in a sentence."]
    reasons: Annotated[list[Reason], "Every question that was answered, in the order of judgement."]
    evidence: Annotated[list[Evidence], "What the reasons rest on, in the order of judgement; at most 4 KiB in all."]


class AsIf(TypedDict):
    """What would be decided now if an alert fired that does not fire."""

    made_up: Annotated[
        Literal[True], "Always true: the alert does not fire, and nothing is recorded, counted or done."
    ]
    told: Annotated[str, "Which alert was made up, in a sentence."]
    decision: Annotated[Decision, "The judgement; no other answer knows its `id`."]


class DecisionPage(TypedDict):
    """Decisions, newest first."""

    decisions: Annotated[list[Decision], "At most `limit` of them, and about 1 MiB."]
    unreadable: NotRequired[Unreadable]
    next: Cursor


def alert(value: model.Alert) -> Alert:
    """An alert as it was judged."""
    return {
        "name": value.name,
        "status": AlertStatus.FIRING if value.firing else AlertStatus.RESOLVED,
        "labels": dict(value.labels),
        "annotations": dict(cut(value.annotations)),  # a journal of before may hold longer ones
        "starts_at": moment(value.starts_at),
        "fingerprint": value.fingerprint,
        "source": value.source,
    }


def reason(value: model.Reason) -> Reason:
    """One answered question."""
    return {
        "code": value.code,
        "holds": value.holds,
        "detail": value.detail,
        "blocks": value.blocks,
        "remedy": value.remedy or None,
    }


def decision(value: model.Decision) -> Decision:
    """A decision with all its reasons in the order of judgement."""
    return {
        "id": value.id,
        "target": value.target,
        "verdict": value.verdict,
        "would": value.would,
        "decided_at": moment(value.decided_at),
        "trigger": value.trigger,
        "alert": None if value.alert is None else alert(value.alert),
        "from_version": value.from_version,
        "to_version": value.to_version,
        "rollback_id": value.rollback_id,
        "note": value.note,
        "summary": summary(value),
        "reasons": [reason(each) for each in value.reasons],
        "evidence": [evidence(each) for each in value.evidence],
    }


def as_if(value: model.Decision) -> AsIf:
    """What would be decided now if the alert of this judgement fired."""
    name = "a trigger alert" if value.alert is None else value.alert.name
    told = f"As if {name} fired now. It is made up: nothing is recorded, counted or done. Figures are those of now."
    return {"made_up": True, "told": told, "decision": decision(value)}


def evidence(value: model.Evidence) -> Evidence:
    """What was asked for a decision, and the answer."""
    return {
        "source": value.source,
        "question": value.question,
        "at": moment(value.at),
        "start": moment(value.start),
        "step_s": value.step,
        "answer": value.answer,
        "values": [{"labels": dict(each.labels), "value": finite(each.value)} for each in value.values],
        "serves": list(value.serves),
    }


def finite(value: float | None) -> float | None:
    """A number as JSON can hold it; None for an infinite one, and where a journal holds none."""
    return value if value is not None and math.isfinite(value) else None
