"""`/openapi.json`: the interface for machines (OpenAPI 3.1), made from the routes, their records and the views.

Here: how the document is put together. What it says of a route stands in `operations`, of an answer in `json_views`,
of a body in `bodies`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

from rearguard_controller.api import bodies, request_body
from rearguard_controller.api.answers import Error, answer
from rearguard_controller.api.auth import Role
from rearguard_controller.api.operations import BASE, DOCUMENT, EVENTS, OPERATIONS, Operation, Parameter
from rearguard_controller.api.routing import Route
from rearguard_controller.api.schemas import Components, Schema

_JSON = "application/json"
_TYPES: Mapping[str, tuple[str, ...]] = {
    "/metrics": ("text/plain", "application/openmetrics-text"),
    EVENTS: ("text/event-stream",),
}
_ALWAYS = (403, 417, 500)  # any route may refuse so
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


def route(others: Sequence[Route], opened: Callable[[], frozenset[str]]) -> Route:
    """The route that serves the document of `others` and itself, with their roles while `opened` holds."""
    made: list[Route] = []

    async def show(request: web.Request) -> web.Response:
        request_body.check_parameters(request, ())
        return answer(written(opened()))

    @cache
    def written(words: frozenset[str]) -> Schema:
        return document(made, words)

    own = Route("GET", DOCUMENT, Role.VIEWER, show, word="openapi")
    made += [*others, own]
    written(opened())  # so that a route without a record is found at the start, not at the first request
    return own


def document(routes: Sequence[Route], opened: Collection[str]) -> Schema:
    """The OpenAPI document of these routes while `open` of the configuration holds these words.

    Raises:
        KeyError: a route has no record.
    """
    writer = _Writer()
    paths: dict[str, dict[str, object]] = {}
    for each in routes:
        operation = OPERATIONS[each.method, each.path]
        paths.setdefault(each.path, {})[each.method.lower()] = writer.operation(each, each.needs(opened), operation)
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
            "schemas": writer.components.schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the role that x-role names.",
                }
            },
        },
    }


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes operations, and gathers the schemas that they refer to."""

    components: Components = field(default_factory=lambda: Components(bodies.CLOSED))

    def operation(self, route: Route, role: Role | None, operation: Operation) -> Schema:
        """One route: its role stands in `x-role`, because OpenAPI knows roles of OAuth only."""
        errors = {*operation.errors, *_ALWAYS, *((401,) if role is not None else ())}
        shown: dict[str, object] = {
            "summary": operation.summary,
            "operationId": _name(route),
            "x-role": None if role is None else role.value,
            "security": [] if role is None else [{"bearer": []}],
            "parameters": [*_in_path(route.path), *map(self._parameter, operation.parameters)],
            "responses": {
                **{str(status): self._answer(route, status, kind) for status, kind in operation.answers.items()},
                **{str(status): self._error(status) for status in sorted(errors - operation.answers.keys())},
            },
        }
        if operation.body is not None:
            content = {operation.media: {"schema": self.components.of(operation.body)}}
            shown["requestBody"] = {"required": True, "content": content}
        return shown

    def _parameter(self, value: Parameter) -> Schema:
        schema = self.components.of(value.kind)
        return {
            "name": value.name,
            "in": value.place,
            "required": False,
            "schema": schema,
            "description": value.text,
        }

    def _answer(self, route: Route, status: int, kind: object) -> Schema:
        types = _TYPES.get(route.path, (_JSON,))
        schema = self.components.of(kind)
        return {"description": _TEXTS[status], "content": {each: {"schema": schema} for each in types}}

    def _error(self, status: int) -> Schema:
        content = {_JSON: {"schema": self.components.of(Error)}}
        shown: dict[str, object] = {"description": _TEXTS[status], "content": content}
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
    words = re.findall(r"\w+", route.path.removeprefix(BASE).replace("{", "by_").replace(".", "_"))
    return "_".join((route.method.lower(), *words))


def _version() -> str:
    try:
        return version("rearguard")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0"
