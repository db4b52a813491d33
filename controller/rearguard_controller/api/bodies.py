"""The bodies of requests, each declared once: `commands` takes the known fields from here, the document the rest.

A field that may be left out may be null, too.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from rearguard_controller.api.request_body import MOST_TEXT
from rearguard_controller.api.webhook_body import MAX_ALERTS, MAX_FINGERPRINT
from rearguard_controller.json_views import Time
from rearguard_controller.model import AlertStatus, Labels, ReleasePhase
from rearguard_controller.model.versions import VERSION_PATTERN

Words = Annotated[str, ("minLength", 1), ("maxLength", MOST_TEXT), ("pattern", r"^[^\x00]*\S[^\x00]*$")]
Version = Annotated[str, ("pattern", f"^{VERSION_PATTERN.pattern}$")]


class WithReason(TypedDict):
    """Why a person does something."""

    reason: Annotated[Words, "Why; kept for the audit."]


class DisarmRequest(WithReason):
    """Forbids automatic rollbacks."""

    until: NotRequired[Annotated[Time | None, "When the disarming ends, in the future; by default it does not end."]]


class TriggerRequest(TypedDict):
    """Asks for a rollback."""

    target: Annotated[Words, "The target."]
    reason: Annotated[Words, "Why; kept for the audit."]
    to_version: NotRequired[Annotated[Version | None, "The version to put back; by default the last known good one."]]
    force: NotRequired[Annotated[bool | None, "Allow a destination that is bad, behind a barrier or unproven."]]
    dry_run: NotRequired[Annotated[bool | None, "Only show what would be done."]]


class Announcement(TypedDict):
    """What CI or a person knows of a version."""

    version: Annotated[Version, "The version."]
    phase: NotRequired[Annotated[ReleasePhase | None, "Its deployment has started, or has finished."]]
    barrier: NotRequired[Annotated[bool | None, "True: no automatic rollback goes back past it."]]
    good: NotRequired[Annotated[bool | None, "True: it is trusted from now on. False: its trust is taken away."]]


class DrillRequest(TypedDict):
    """Asks for a drill."""

    reason: NotRequired[Annotated[Words | None, "Why; kept for the audit."]]


class DeliveredAlert(TypedDict):
    """An alert as Alertmanager sends it."""

    status: Annotated[AlertStatus, "Whether it fires."]
    labels: Annotated[Labels, ("required", ("alertname",)), "All labels."]
    annotations: NotRequired[Annotated[Labels | None, "Texts for people."]]
    startsAt: NotRequired[Annotated[Time | None, "When it began to fire."]]  # Alertmanager's name
    endsAt: NotRequired[Annotated[object, "Not read."]]  # Alertmanager's name
    fingerprint: NotRequired[
        Annotated[str | None, ("maxLength", MAX_FINGERPRINT), "Alertmanager's name for the labels."]
    ]


class Delivery(TypedDict):
    """Alertmanager's webhook, version 4. Other fields are ignored: Alertmanager adds some with its versions."""

    version: NotRequired[Annotated[Literal["4"], "The version of the webhook."]]
    alerts: Annotated[list[DeliveredAlert], ("maxItems", MAX_ALERTS), "The alerts."]


class SlackForm(TypedDict):
    """What Slack sends when a button was pressed."""

    payload: Annotated[str, ("minLength", 1), "The block action, as JSON."]


CLOSED = frozenset({WithReason, DisarmRequest, TriggerRequest, Announcement, DrillRequest})  # no unknown fields
