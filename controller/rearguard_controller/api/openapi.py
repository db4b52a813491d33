"""`/openapi.json`: the interface for machines, made from the registered routes and one record for each.

Here: parameters, bodies and answers of every route, and the document (OpenAPI 3.1) built from them. A route without
a record does not start.
Never here: the shapes of answers (`schemas`), and the checking of requests (`bodies`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

from rearguard_controller.api import request_body, schemas
from rearguard_controller.api.answers import answer
from rearguard_controller.api.auth import Role
from rearguard_controller.api.routing import Route
from rearguard_controller.api.schemas import Schema
from rearguard_controller.model import Outcome, Verdict

PATH = "/openapi.json"
_BASE = "/api/monitoring"
_JSON = "application/json"
_TEXTS: Mapping[int, str] = {
    200: "Done, or what was asked for.",
    202: "Taken on; see the rollback for what becomes of it.",
    400: "A bad parameter or body.",
    401: "No token, or one that nobody has given out.",
    403: "The token, or the client's certificate, is for something else.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The state of things forbids it now.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    417: "An Expect header other than 100-continue.",
    422: "A field is missing, unknown, of the wrong type, or without sense.",
    429: "This operator triggers too often.",
    500: "A defect; the log has it.",
    502: "A target or Prometheus gave no usable answer.",
    503: "Not stored, or too much waits; come again.",
}
_ALWAYS = (403, 417, 500)
_READ = (400, 503)
_CHANGE = (400, 408, 413, 415, 422, 502, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """What the document says of one route."""

    summary: str
    answers: Mapping[int, Schema]
    errors: tuple[int, ...] = ()
    parameters: tuple[Schema, ...] = ()
    body: Schema | None = None


def _query(name: str, schema: Schema, text: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": request_body.MOST_TEXT, "pattern": r"^[^\x00]*$"}
_TARGET = _query("target", _TEXT, "Of this target only.")
_SUBJECT = _query("subject", _TEXT, "Done to this only: the name of a target, or the id of a rollback.")
_LIMIT = _query("limit", {"type": "integer", "minimum": 1, "maximum": request_body.MOST_LIMIT}, "At most so many.")
_BEFORE = _query("before", _TEXT, "The `next` of the page before.")
_OUTCOME = _query("outcome", {"enum": [each.value for each in Outcome]}, "With this outcome only.")
_ALERT = _query("alert", _TEXT, "About alerts with this name only.")
_VERDICT = _query("verdict", {"enum": [each.value for each in Verdict]}, "With this verdict only.")
_VERSION = _query("version", _TEXT, "This version only.")
_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "The same key leads to the same rollback, however often it is sent.",
}
_REASON: Schema = schemas.fields({"reason": schemas.WORDS}, required=("reason",))
_DISARM: Schema = schemas.fields(
    {"reason": schemas.WORDS, "until": {"type": ["string", "null"], "format": "date-time"}}, required=("reason",)
)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/webhook/alertmanager"): Operation(
        "Deliver alerts, as Alertmanager does; 202 once they are on disk.",
        {202: schemas.closed({"accepted": {"type": "integer", "minimum": 0}})},
        (400, 408, 413, 503),
        body=schemas.ref("Delivery"),
    ),
    ("GET", f"{_BASE}/dashboard"): Operation(
        "Every target: health, version, firing alerts, current figures.", {200: schemas.ref("Dashboard")}, _READ
    ),
    ("GET", f"{_BASE}/rollback/status"): Operation(
        "How things stand, and what happened last.", {200: schemas.ref("Status")}, _READ
    ),
    ("GET", f"{_BASE}/rollback/history"): Operation(
        "Rollbacks, newest first.",
        {200: schemas.page("rollbacks", "Rollback")},
        _READ,
        (_TARGET, _OUTCOME, _LIMIT, _BEFORE),
    ),
    ("GET", f"{_BASE}/rollback/{{id}}"): Operation(
        "One rollback: every step with its output, its decision, and what people did.",
        {200: schemas.ref("RollbackInFull")},
        (404, *_READ),
    ),
    ("POST", f"{_BASE}/rollback/trigger"): Operation(
        "Put a trusted version back now.",
        {200: {"anyOf": [schemas.ref("DryRun"), schemas.ref("Triggered")]}, 202: schemas.ref("Triggered")},
        (404, 409, 429, *_CHANGE),
        (_KEY,),
        schemas.fields(
            {
                "target": schemas.WORDS,
                "reason": schemas.WORDS,
                "to_version": {"type": ["string", "null"], "pattern": schemas.VERSION},
                "force": schemas.FLAG,
                "dry_run": schemas.FLAG,
            },
            required=("target", "reason"),
        ),
    ),
    ("POST", f"{_BASE}/rollback/{{id}}/approve"): Operation(
        "Let a rollback that waits be begun, if a fresh judgement finds it right.",
        {200: schemas.ref("Rollback")},
        (404, 409, *_CHANGE),
        body=_REASON,
    ),
    ("POST", f"{_BASE}/rollback/{{id}}/veto"): Operation(
        "Close a rollback that waits; nothing is begun.",
        {200: schemas.ref("Rollback")},
        (404, 409, *_CHANGE),
        body=_REASON,
    ),
    ("POST", f"{_BASE}/rollback/{{id}}/abort"): Operation(
        "End a rollback early; what was begun is undone.",
        {200: schemas.ref("Rollback")},
        (404, 409, *_CHANGE),
        body=_REASON,
    ),
    ("POST", f"{_BASE}/rollback/{{id}}/close"): Operation(
        "Close a rollback that cannot finish, as it stands.",
        {200: schemas.ref("Rollback")},
        (404, 409, *_CHANGE),
        body=_REASON,
    ),
    ("GET", f"{_BASE}/decisions"): Operation(
        "Decisions, newest first: why, and why not.",
        {200: schemas.page("decisions", "Decision")},
        _READ,
        (_TARGET, _VERDICT, _ALERT, _LIMIT, _BEFORE),
    ),
    ("GET", f"{_BASE}/decisions/{{id}}"): Operation(
        "One decision with all its reasons.", {200: schemas.ref("Decision")}, (404, *_READ)
    ),
    ("GET", f"{_BASE}/audit"): Operation(
        "What people did, newest first: who, when and why.",
        {200: schemas.page("actions", "Action")},
        _READ,
        (_SUBJECT, _LIMIT),
    ),
    ("POST", f"{_BASE}/targets/{{name}}/arm"): Operation(
        "Allow automatic rollbacks of a target.", {200: schemas.ref("Arming")}, (404, *_CHANGE), body=_REASON
    ),
    ("POST", f"{_BASE}/targets/{{name}}/disarm"): Operation(
        "Forbid automatic rollbacks of a target, for good or until a moment.",
        {200: schemas.ref("Arming")},
        (404, *_CHANGE),
        body=_DISARM,
    ),
    ("POST", f"{_BASE}/disarm"): Operation(
        "Forbid automatic rollbacks of every target.",
        {200: schemas.closed({"targets": {"type": "array", "items": schemas.ref("Arming")}})},
        _CHANGE,
        body=_DISARM,
    ),
    ("GET", f"{_BASE}/targets/{{name}}/releases"): Operation(
        "What is remembered of a target's versions, newest first, and how well the serving one does.",
        {200: schemas.ref("Releases")},
        (404, *_READ),
        (_VERSION, _LIMIT),
    ),
    ("POST", f"{_BASE}/targets/{{name}}/releases"): Operation(
        "Tell what CI or a person knows of a version.",
        {200: schemas.ref("Release")},
        (404, *_CHANGE),
        body=schemas.fields(
            {
                "version": {"type": "string", "pattern": schemas.VERSION},
                "phase": {"enum": ["started", "finished", None]},
                "barrier": schemas.FLAG,
                "good": schemas.FLAG,
            },
            required=("version",),
        ),
    ),
    ("POST", f"{_BASE}/targets/{{name}}/drill"): Operation(
        "Walk the whole way back without touching what serves; takes up to a minute and a half.",
        {200: schemas.ref("Drill")},
        (404, 409, *_CHANGE),
        body=schemas.fields({"reason": {**schemas.WORDS, "type": ["string", "null"]}}, required=()),
    ),
    ("GET", f"{_BASE}/targets/{{name}}/drills"): Operation(
        "Drills of a target, newest first.",
        {200: schemas.page("drills", "Drill")},
        (404, *_READ),
        (_LIMIT, _BEFORE),
    ),
    ("POST", "/-/reload"): Operation(
        "Read the configuration again; a bad one changes nothing.",
        {200: schemas.closed({"reloaded": {"const": True}})},
        (400, 422, 503),
    ),
    ("GET", "/metrics"): Operation("The controller's own metrics.", {200: {"type": "string"}}),
    ("GET", "/healthz"): Operation(
        "Whether the process answers.", {200: schemas.closed({"status": {"const": "ok"}})}
    ),
    ("GET", "/readyz"): Operation(
        "Whether the last delivery could be stored.", {200: schemas.ref("Ready"), 503: schemas.ref("Ready")}
    ),
    ("GET", PATH): Operation("This document.", {200: {"type": "object"}}, (400,)),
}
_METRICS_TYPES = ("text/plain", "application/openmetrics-text")


def route(others: Sequence[Route], opened: Callable[[], frozenset[str]]) -> Route:
    """The route that serves the document of `others` and itself, with their roles while `opened` holds."""
    made: list[Route] = []

    async def show(request: web.Request) -> web.Response:
        request_body.check_parameters(request, ())
        return answer(written(opened()))

    @cache
    def written(words: frozenset[str]) -> Schema:
        return document(made, words)

    own = Route("GET", PATH, Role.VIEWER, show, word="openapi")
    made += [*others, own]
    written(opened())  # a route without a record is found at the start, not at the first question
    return own


def document(routes: Sequence[Route], opened: Collection[str]) -> Schema:
    """The OpenAPI document of these routes while `open` of the configuration holds these words.

    Raises:
        KeyError: a route has no record.
    """
    paths: dict[str, dict[str, object]] = {}
    for each in routes:
        operation = OPERATIONS[each.method, each.path]
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, each.needs(opened), operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rearguard",
            "version": _version(),
            "description": "Puts the last version that earned trust back when a release is to blame.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.SCHEMAS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the role that x-role names.",
                }
            },
        },
    }


def _operation(route: Route, role: Role | None, operation: Operation) -> Schema:
    """One route: its role stands in `x-role`, as OpenAPI knows roles of OAuth only."""
    errors = {*operation.errors, *_ALWAYS, *((401,) if role is not None else ())}
    shown: dict[str, object] = {
        "summary": operation.summary,
        "operationId": _name(route),
        "x-role": None if role is None else role.value,
        "security": [] if role is None else [{"bearer": []}],
        "parameters": [*_in_path(route.path), *operation.parameters],
        "responses": {
            **{str(status): _answer(route, status, schema) for status, schema in operation.answers.items()},
            **{str(status): _error(status) for status in sorted(errors - operation.answers.keys())},
        },
    }
    if operation.body is not None:
        shown["requestBody"] = {"required": True, "content": {_JSON: {"schema": operation.body}}}
    return shown


def _answer(route: Route, status: int, schema: Schema) -> Schema:
    types = _METRICS_TYPES if route.path == "/metrics" else (_JSON,)
    return {"description": _TEXTS[status], "content": {each: {"schema": schema} for each in types}}


def _error(status: int) -> Schema:
    shown: dict[str, object] = {
        "description": _TEXTS[status],
        "content": {_JSON: {"schema": schemas.ref("Error")}},
    }
    if status in (429, 503):
        seconds: Schema = {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds to wait."}
        shown["headers"] = {"Retry-After": seconds}
    return shown


def _in_path(path: str) -> list[Schema]:
    schema: Schema = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"\{(\w+)\}", path)
    ]


def _name(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix(_BASE).replace("{", "by_").replace(".", "_"))
    return "_".join((route.method.lower(), *words))


def _version() -> str:
    try:
        return version("rearguard")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"
