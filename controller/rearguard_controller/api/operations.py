"""What the OpenAPI document says of each route beyond its types: summary, parameters, bodies, errors.

The controller does not start if a route has no record here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from rearguard_controller import json_views
from rearguard_controller.api import bodies, request_body
from rearguard_controller.api.people import MOST_KEY
from rearguard_controller.model import Outcome, Verdict

DOCUMENT = "/openapi.json"
BASE = "/api/monitoring"
EVENTS = f"{BASE}/events"
_READ = (400, 503)
_CHANGE = (400, 408, 413, 415, 422, 502, 503)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that may be given: its name, its type and what it means."""

    name: str
    kind: object
    text: str
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """What the document says of one route; `answers` are types by status, `errors` the statuses of refusals.

    `media` is the type of the body.
    """

    summary: str
    answers: Mapping[int, object]
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: object = None
    media: str = "application/json"


_Text = Annotated[str, ("minLength", 1), ("maxLength", request_body.MOST_TEXT), ("pattern", r"^[^\x00]*$")]
_Number = Annotated[int, ("minimum", 1), ("maximum", request_body.MOST_LIMIT)]
_Key = Annotated[str, ("minLength", 1), ("maxLength", MOST_KEY), ("pattern", "^[ -~]+$")]
_TARGET = Parameter("target", _Text, "Of this target only.")
_SUBJECT = Parameter("subject", _Text, "Done to this only: the name of a target, or the id of a rollback.")
_LIMIT = Parameter("limit", _Number, "At most so many.")
_BEFORE = Parameter("before", _Text, "The `next` of the page before.")
_OUTCOME = Parameter("outcome", Outcome, "With this outcome only.")
_ALERT = Parameter("alert", _Text, "About alerts with this name only.")
_VERDICT = Parameter("verdict", Verdict, "With this verdict only.")
_VERSION = Parameter("version", _Text, "This version only.")
_KEY = Parameter(
    "Idempotency-Key", _Key, "The same key leads to the same rollback, however often it is sent.", "header"
)
_LAST_EVENT = Parameter(
    "Last-Event-ID", _Key, "The id of the last event that was read: what came after it is sent first.", "header"
)


def _by_people(summary: str) -> Operation:
    """A person's word on a rollback."""
    return Operation(summary, {200: json_views.Rollback}, (404, 409, *_CHANGE), body=bodies.WithReason)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/webhook/alertmanager"): Operation(
        "Deliver alerts, as Alertmanager does; 202 once they are on disk.",
        {202: json_views.Accepted},
        (400, 408, 413, 503),
        body=bodies.Delivery,
    ),
    ("POST", "/integrations/slack"): Operation(
        "A button was pressed in Slack; it is signed with the secret of the app.",
        {200: json_views.Pressed},
        (400, 401, 404, 408, 413, 503),
        body=bodies.SlackForm,
        media="application/x-www-form-urlencoded",
    ),
    ("GET", f"{BASE}/dashboard"): Operation(
        "Every target: health, version, firing alerts, current figures.", {200: json_views.Dashboard}, _READ
    ),
    ("GET", f"{BASE}/rollback/status"): Operation(
        "How things stand, and what happened last.", {200: json_views.Status}, _READ
    ),
    ("GET", f"{BASE}/rollback/history"): Operation(
        "Rollbacks, newest first.", {200: json_views.RollbackPage}, _READ, (_TARGET, _OUTCOME, _LIMIT, _BEFORE)
    ),
    ("GET", f"{BASE}/rollback/{{id}}"): Operation(
        "One rollback: every step with its output, its decision, and what people did.",
        {200: json_views.RollbackInFull},
        (404, *_READ),
    ),
    ("POST", f"{BASE}/rollback/trigger"): Operation(
        "Put a trusted version back now.",
        {200: json_views.DryRun | json_views.Triggered, 202: json_views.Triggered},
        (404, 409, 429, *_CHANGE),
        (_KEY,),
        bodies.TriggerRequest,
    ),
    ("POST", f"{BASE}/rollback/{{id}}/approve"): _by_people(
        "Let a rollback that waits be begun, if a fresh judgement finds it right."
    ),
    ("POST", f"{BASE}/rollback/{{id}}/veto"): _by_people("Close a rollback that waits; nothing is begun."),
    ("POST", f"{BASE}/rollback/{{id}}/abort"): _by_people("End a rollback early; what was begun is undone."),
    ("POST", f"{BASE}/rollback/{{id}}/close"): _by_people("Close a rollback that cannot finish, as it stands."),
    ("GET", f"{BASE}/decisions"): Operation(
        "Decisions, newest first: why, and why not.",
        {200: json_views.DecisionPage},
        _READ,
        (_TARGET, _VERDICT, _ALERT, _LIMIT, _BEFORE),
    ),
    ("GET", f"{BASE}/decisions/{{id}}"): Operation(
        "One decision with all its reasons.", {200: json_views.Decision}, (404, *_READ)
    ),
    ("GET", f"{BASE}/audit"): Operation(
        "What people did, newest first: who, when and why.",
        {200: json_views.ActionPage},
        _READ,
        (_SUBJECT, _LIMIT, _BEFORE),
    ),
    ("POST", f"{BASE}/targets/{{name}}/arm"): Operation(
        "Allow automatic rollbacks of a target.",
        {200: json_views.Arming},
        (404, *_CHANGE),
        body=bodies.WithReason,
    ),
    ("POST", f"{BASE}/targets/{{name}}/disarm"): Operation(
        "Forbid automatic rollbacks of a target, for good or until a moment.",
        {200: json_views.Arming},
        (404, *_CHANGE),
        body=bodies.DisarmRequest,
    ),
    ("POST", f"{BASE}/disarm"): Operation(
        "Forbid automatic rollbacks of every target.",
        {200: json_views.ArmingOfAll},
        _CHANGE,
        body=bodies.DisarmRequest,
    ),
    ("GET", f"{BASE}/targets/{{name}}/releases"): Operation(
        "What is remembered of a target's versions, newest first, and how well the serving one does.",
        {200: json_views.Releases},
        (404, *_READ),
        (_VERSION, _LIMIT),
    ),
    ("POST", f"{BASE}/targets/{{name}}/releases"): Operation(
        "Tell what CI or a person knows of a version.",
        {200: json_views.Release},
        (404, *_CHANGE),
        body=bodies.Announcement,
    ),
    ("POST", f"{BASE}/targets/{{name}}/drill"): Operation(
        "Walk the whole way back without touching what serves; takes up to a minute and a half.",
        {200: json_views.Drill},
        (404, 409, *_CHANGE),
        body=bodies.DrillRequest,
    ),
    ("GET", f"{BASE}/targets/{{name}}/drills"): Operation(
        "Drills of a target, newest first.", {200: json_views.DrillPage}, (404, *_READ), (_LIMIT, _BEFORE)
    ),
    ("GET", f"{BASE}/targets/{{name}}/judgement"): Operation(
        "What would be decided now if its first trigger alert fired; nothing is recorded or done.",
        {200: json_views.AsIf},
        (404, *_READ),
    ),
    ("GET", EVENTS): Operation(
        "What happens from now on, as server-sent events; the answer does not end.",
        {200: str},
        _READ,
        (_LAST_EVENT,),
    ),
    ("POST", "/-/reload"): Operation(
        "Read the configuration again; a bad one changes nothing.", {200: json_views.Reloaded}, (400, 422, 503)
    ),
    ("GET", "/metrics"): Operation("The controller's own metrics.", {200: str}),
    ("GET", "/healthz"): Operation("Whether the process answers.", {200: json_views.Alive}),
    ("GET", "/readyz"): Operation(
        "Whether the last delivery could be stored.", {200: json_views.Ready, 503: json_views.Ready}
    ),
    ("GET", DOCUMENT): Operation("This document.", {200: Mapping[str, object]}, (400,)),
}
