"""What is said of the whole service: status, dashboard, readiness, and the short answers."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from rearguard_controller.json_views.decisions import ActiveTrigger, Alert
from rearguard_controller.json_views.rollbacks import Rollback
from rearguard_controller.json_views.targets import Target
from rearguard_controller.json_views.terms import Count, LeftOut, Time, Unreadable
from rearguard_controller.model import Health, HeartbeatState, Readiness, Standing

HEARTBEAT_LATE = 300.0  # seconds without one: the alert RearguardHeartbeatLost knows the same number


class Heartbeat(TypedDict):
    """How long ago a heartbeat last came, and what to think of that."""

    age_s: Annotated[float | None, "Seconds since the last one; null when none ever came."]
    state: Annotated[HeartbeatState, "What that means."]


class Status(TypedDict):
    """How things stand, and what happened last."""

    state: Annotated[Standing, "The worst of all targets' states."]
    at: Annotated[Time, "When this was answered."]
    heartbeat: Annotated[Heartbeat, "Whether alerts arrive at all."]
    warnings: Annotated[list[str], "What is wrong with the controller itself, each with what to do; usually empty."]
    targets: Annotated[list[Target], "In the order of the configuration."]
    active_triggers: Annotated[list[ActiveTrigger], "Alerts that fire and may trigger a rollback."]
    active_triggers_left_out: NotRequired[LeftOut]
    open: Annotated[list[Rollback], "Rollbacks that are open."]
    recent: Annotated[list[Rollback], "The last rollbacks that were closed, newest first."]
    unreadable: NotRequired[Unreadable]


class Figure(TypedDict):
    """One figure of one version, at the last poll."""

    alert: Annotated[str, "The alert whose figure it is."]
    version: Annotated[str | None, "The service_version it was measured for; null when it covers all versions."]
    value: Annotated[float | None, "Null without data."]
    operator: Annotated[str, "One of `>`, `>=`, `<`, `<=`; `exists` for an alert without a figure."]
    threshold: Annotated[float | None, "Null when Prometheus has none."]
    past: Annotated[bool | None, "Whether the value is past the threshold; null when that is unknown."]


class TargetHealth(TypedDict):
    """How well a target does."""

    name: Annotated[str, "The target."]
    environment: Annotated[str, "Its environment."]
    health: Annotated[Health, "How well it does, in a word."]
    serving_version: Annotated[str | None, "The version that serves; null when it is unknown."]
    firing: Annotated[list[Alert], "Its alerts that fire, by Prometheus; and what Kubernetes tells."]
    firing_left_out: NotRequired[LeftOut]
    figures: Annotated[list[Figure], "The figures of its triggers, by version."]


class Dashboard(TypedDict):
    """How well every target does."""

    status: Annotated[Health, "The worst health of all targets."]
    at: Annotated[Time, "When this was answered."]
    prometheus_age_s: Annotated[float | None, "Seconds since Prometheus last answered; null before it ever did."]
    targets: Annotated[list[TargetHealth], "In the order of the configuration."]


class Ready(TypedDict):
    """Whether deliveries are stored, and what may be wrong besides."""

    status: Annotated[Readiness, "Not ready: a delivery of the last minute was not stored, or the journal fails."]
    webhook_stored: Annotated[bool, "Whether the last delivery was stored, or is too old to mean anything."]
    journal_usable: Annotated[bool, "Whether the journal is as it was left; if not, status and log say what to do."]
    prometheus_age_s: Annotated[float | None, "Seconds since Prometheus last answered; null before it ever did."]
    watchdog_age_s: Annotated[float | None, "The same as `heartbeat.age_s`."]
    heartbeat: Annotated[Heartbeat, "Whether alerts arrive at all."]


class Alive(TypedDict):
    """The process answers."""

    status: Annotated[Literal["ok"], "Always `ok`."]


class Refused(TypedDict):
    """An alert of a delivery that was not taken."""

    field: Annotated[str, "Which of its fields is at fault."]
    message: Annotated[str, "What is wrong with it."]


class Accepted(TypedDict):
    """A delivery is on disk."""

    accepted: Annotated[Count, "How many of its alerts were taken."]
    refused: NotRequired[
        Annotated[list[Refused], "Alerts whose time is out of bounds; only if there are any. At most 20 are told."]
    ]


class Reloaded(TypedDict):
    """The configuration was read again."""

    reloaded: Annotated[Literal[True], "Always true."]


class Pressed(TypedDict):
    """A button of a chat was pressed."""

    taken: Annotated[Literal[True], "Always true; what became of it is told in the chat."]


def heartbeat(age: float | None) -> Heartbeat:
    """How long ago a heartbeat last came, in seconds, and what to think of that; None: none ever came."""
    return {"age_s": age, "state": _heartbeat_state(age)}


def _heartbeat_state(age: float | None) -> HeartbeatState:
    if age is None:
        return HeartbeatState.NEVER
    return HeartbeatState.LATE if age > HEARTBEAT_LATE else HeartbeatState.FRESH
