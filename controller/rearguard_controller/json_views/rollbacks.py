"""Rollbacks with their steps and what people did to them, as users see them.

An action is shown by what it does, without its headers, body or environment: those may be secret.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict, assert_never

from rearguard_controller import model
from rearguard_controller.json_views.decisions import Decision
from rearguard_controller.json_views.terms import Cursor, Labels, Time, Unreadable
from rearguard_controller.model import (
    AfterCrash,
    CommandAction,
    CommandRelease,
    Drain,
    HealthCheck,
    HttpAction,
    KubernetesRelease,
    OnFailure,
    Outcome,
    PauseOwner,
    Phase,
    PrometheusRelease,
    ReleaseKind,
    StepKind,
    StepState,
    Trigger,
    WorkloadKind,
)
from rearguard_controller.wording import address, moment, plain


class Condition(TypedDict):
    """What must be over for a rollback to count as recovered."""

    alert: Annotated[str, "The alert that triggered."]
    figure: Annotated[str, "Its figure, as PromQL."]
    threshold: Annotated[str, "The comparison that says where the fault begins."]
    selector: Annotated[Labels, "Whose instances: the target's labels in telemetry."]
    labels: Annotated[
        Labels | None,
        "Whose figure, beside selector: the map of match that the alert carries. Without a figure, the labels that"
        " the alert has from the series of its rule's expression. null: selector alone says it.",
    ]
    settle_s: Annotated[float | None, "Seconds after which the figure shows nothing from before the rollback."]
    clears_s: Annotated[float | None, "Seconds after which the alert shows nothing from before the rollback."]


class RequestShown(TypedDict):
    """An HTTP request, without what could be secret."""

    method: Annotated[str, "Its method."]
    url: Annotated[str, "Its address without user, password, query and fragment."]


class HealthShown(TypedDict):
    """A health check."""

    url: Annotated[str, "Its address without user, password, query and fragment."]
    successes: Annotated[int, "How many good answers in a row are needed."]


class WorkloadShown(TypedDict):
    """A workload of Kubernetes."""

    namespace: Annotated[str, "Its namespace."]
    kind: Annotated[WorkloadKind, "What it is."]
    name: Annotated[str, "Its name."]


class DrainShown(TypedDict):
    """How traffic is led away inside a cluster, or back."""

    namespace: Annotated[str, "Of the object."]
    kind: Annotated[str, "`Service` or `HTTPRoute`."]
    name: Annotated[str, "Its name."]
    selector: Annotated[dict[str, str], "Labels that pods of a Service must have, too."]
    weights: Annotated[dict[str, int], "Backend of an HTTPRoute to its weight."]
    restore: Annotated[bool, "Whether it puts back what was before."]


class StepAction(TypedDict):
    """What a step does: exactly one of these."""

    command: NotRequired[Annotated[list[str], "The command it runs, without its environment."]]
    http: NotRequired[Annotated[RequestShown, "The request it sends."]]
    health: NotRequired[Annotated[HealthShown, "The health check it makes."]]
    kubernetes: NotRequired[Annotated[WorkloadShown, "The workload whose pod template it puts back."]]
    observed: NotRequired[Annotated[bool, "It can do nothing: the target is only observed."]]
    drain: NotRequired[Annotated[DrainShown, "How it leads traffic away inside a cluster, or back."]]
    pause_owner: NotRequired[
        Annotated[WorkloadShown, "The workload whose owner it pauses, so that nobody puts it back."]
    ]


class Step(TypedDict):
    """One step of a plan and how far it is."""

    seq: Annotated[int, "Its place in the plan, from 0."]
    kind: Annotated[StepKind, "What it is for."]
    name: Annotated[str, "Its name: of a hook the one in the configuration."]
    state: Annotated[StepState, "How far it is."]
    attempt: Annotated[int, "How often it was started."]
    started_at: Annotated[Time | None, "When it was started last; null before that."]
    ended_at: Annotated[Time | None, "When it ended; null before that."]
    timeout_s: Annotated[float | None, "Seconds that one attempt may take."]
    on_failure: Annotated[OnFailure, "What its failure means for the rollback."]
    after_crash: Annotated[AfterCrash, "What happens to it when a crash left its result unknown."]
    action: Annotated[StepAction | None, "What it does; null when it touches nothing outside the controller."]
    detail: Annotated[str, "Why it ended as it did, in words."]
    output: NotRequired[Annotated[str, "What it printed or was answered; only where one rollback is read."]]


class Tied(TypedDict):
    """What ties the rollbacks of targets that go back together."""

    id: Annotated[str, "Of the group; the same in each of them."]
    order: Annotated[
        Literal["as_one", "stated"],
        "`as_one`: all are prepared, then all are changed. With `stated`, one after another is.",
    ]
    first: Annotated[str, "The rollback of the target whose alert it was. It decides for all."]
    rollbacks: Annotated[list[str], "All of them, this one included, in the order of the policy."]
    targets: Annotated[list[str], "Their targets, in the same order."]
    done: Annotated[bool, "Whether this one knows that all were changed; from then on nothing is taken back."]


class Rollback(TypedDict):
    """One return to a trusted version."""

    id: Annotated[str, "Its name."]
    target: Annotated[str, "The target."]
    trigger: Annotated[Trigger, "Who asked for it."]
    reason: Annotated[str, "Why, in words."]
    from_version: Annotated[str, "The version that is blamed."]
    to_version: Annotated[str, "The version that is put back."]
    phase: Annotated[Phase, "Where it is in its life."]
    outcome: Annotated[Outcome | None, "How it ended; null while it is open."]
    detail: Annotated[str, "Why it ended so, or is ending so, in words."]
    stopping: Annotated[Outcome | None, "The outcome it is heading for when the attempt has ended early."]
    started_at: Annotated[Time, "When it was opened."]
    wait_until: Annotated[Time | None, "When its wait ends; null when it waits for nobody, or is approved."]
    needs_approval: Annotated[bool, "True: it waits for a person's yes. False: it waits for a veto."]
    approved: Annotated[bool, "Whether a person said yes."]
    closed_at: Annotated[Time | None, "When it was closed; null while it is open."]
    decision_id: Annotated[str, "The decision that opened it."]
    together: Annotated[Tied | None, "What ties it to the rollbacks of other targets; null: it goes back by itself."]
    conditions: Annotated[list[Condition], "What must be over for it to count as recovered."]
    steps: Annotated[list[Step], "Its plan, in order."]


class RollbackPage(TypedDict):
    """Rollbacks, newest first."""

    rollbacks: Annotated[list[Rollback], "At most `limit` of them, and about 1 MiB."]
    unreadable: NotRequired[Unreadable]
    next: Cursor


class Action(TypedDict):
    """What a person did."""

    at: Annotated[Time, "When."]
    operator: Annotated[str, "Who: the name of the token; rearguard for a notice that did not arrive."]
    action: Annotated[str, "What: the word of the command."]
    subject: Annotated[str, "To what: a target's name, a rollback's id, or `configuration`."]
    reason: Annotated[str, "Why, in their words."]


class ActionPage(TypedDict):
    """What people did, newest first."""

    actions: Annotated[list[Action], "At most `limit` of them, and about 1 MiB."]
    next: Cursor


class RollbackInFull(Rollback):
    """A rollback with its decision and what people did to it; its steps have their `output`."""

    decision: Annotated[Decision | None, "The decision that opened it; null when its record is damaged or gone."]
    actions: Annotated[
        list[Action],
        "Who triggered, approved, vetoed, aborted or closed it, and which notice reached nobody; oldest first.",
    ]


class DryRun(TypedDict):
    """What a trigger would do; nothing was done."""

    dry_run: Annotated[Literal[True], "Always true."]
    decision: Annotated[Decision, "The decision; it is not kept."]
    plan: Annotated[list[Step], "The steps that a rollback would have."]


class Triggered(TypedDict):
    """What a trigger led to."""

    rollback_id: Annotated[str | None, "The rollback."]
    decision_id: Annotated[str, "The decision that opened it."]
    repeated: Annotated[bool, "True: the same Idempotency-Key was used before, and led here."]
    rollback: Annotated[Rollback | None, "The rollback as it is now."]


def rollback(value: model.Rollback, *, outputs: bool = False) -> Rollback:
    """A rollback with its steps; with `outputs` each step says what its command or request printed."""
    return {
        "id": value.id,
        "target": value.target,
        "trigger": value.trigger,
        "reason": value.reason,
        "from_version": value.from_version,
        "to_version": value.to_version,
        "phase": value.phase,
        "outcome": value.outcome,
        "detail": value.detail or value.stopping_detail,
        "stopping": value.stopping,
        "started_at": moment(value.opened_at),
        "wait_until": moment(value.wait_until),
        "needs_approval": value.needs_approval,
        "approved": value.approved,
        "closed_at": moment(value.closed_at),
        "decision_id": value.decision_id,
        "together": _tied(value),
        "conditions": [condition(each) for each in value.conditions],
        "steps": [step(each, output=outputs) for each in value.steps],
    }


def _tied(value: model.Rollback) -> Tied | None:
    tie = value.together
    if tie is None:
        return None
    return {
        "id": tie.id,
        "order": "as_one" if tie.as_one else "stated",
        "first": tie.first,
        "rollbacks": list(tie.rollbacks),
        "targets": list(tie.targets),
        "done": value.together_done,
    }


def condition(value: model.Condition) -> Condition:
    """What must be over for a rollback to count as recovered."""
    return {
        "alert": value.alert,
        "figure": value.figure,
        "threshold": value.threshold,
        "selector": dict(value.selector),
        "labels": None if value.labels is None else dict(value.labels),
        "settle_s": value.settle,
        "clears_s": value.clears,
    }


def step(value: model.Step, *, output: bool = False) -> Step:
    """One step of a plan and how far it is."""
    shown: Step = {
        "seq": value.seq,
        "kind": value.kind,
        "name": value.name,
        "state": value.state,
        "attempt": value.attempt,
        "started_at": moment(value.started_at),
        "ended_at": moment(value.ended_at),
        "timeout_s": value.timeout,
        "on_failure": value.on_failure,
        "after_crash": value.after_crash,
        "action": None if value.action is None else action(value.action),
        "detail": value.detail,
    }
    if output:
        shown["output"] = value.output
    return shown


def action(value: model.Action | Drain | HealthCheck | ReleaseKind | PauseOwner) -> StepAction:
    """What a step does, without what could be secret."""
    match value:
        case CommandAction():
            return {"command": [plain(word) for word in value.argv]}
        case HttpAction():
            return {"http": {"method": value.method, "url": address(value.url)}}
        case Drain():
            return {"drain": _drain(value)}
        case HealthCheck():
            return {"health": {"url": address(value.url), "successes": value.successes}}
        case CommandRelease() if value.rollback is not None:
            return {"command": [plain(word) for word in value.rollback.argv]}
        case CommandRelease() | PrometheusRelease():
            return {"observed": True}
        case KubernetesRelease():
            return {"kubernetes": _workload(value)}
        case PauseOwner():
            return {"pause_owner": _workload(value.release)}
    assert_never(value)


def _drain(value: Drain) -> DrainShown:
    return {
        "namespace": value.namespace,
        "kind": value.kind,
        "name": value.name,
        "selector": dict(value.selector),
        "weights": {each.backend: each.weight for each in value.weights},
        "restore": value.restore,
    }


def _workload(value: KubernetesRelease) -> WorkloadShown:
    return {"namespace": value.namespace, "kind": value.kind, "name": value.name}
