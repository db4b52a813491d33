"""Whether an answer is exactly what the OpenAPI document says: no field unknown, none missing, every word listed."""

from __future__ import annotations

import functools
import json
import re
from datetime import datetime

from jsonschema import Draft202012Validator, FormatChecker

from rearguard_controller.api import openapi
from rearguard_controller.api.auth import Role
from rearguard_controller.api.operations import OPERATIONS
from rearguard_controller.api.routing import Route

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_a_time(value):
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def check(method, path, status, body):
    """Raises AssertionError where an answer to this request says something else than the document."""
    template = _template(method, path)
    if template is None:
        schema = {"$ref": "#/components/schemas/Error"}  # nothing is at this path
    else:
        responses = document()["paths"][template][method.lower()]["responses"]
        assert str(status) in responses, f"{method} {template} answers {status}, which is not documented"
        schema = responses[str(status)]["content"]["application/json"]["schema"]
    faults = [f"{each.json_path}: {each.message[:300]}" for each in validator(json.dumps(schema)).iter_errors(body)]
    assert not faults, f"{method} {template} {status}: {faults}"


@functools.cache
def document():
    """The document as it is served."""
    routes = [Route(method, path, Role.VIEWER, None) for method, path in OPERATIONS]
    return json.loads(json.dumps(openapi.document(routes, ())))


@functools.cache
def validator(schema):
    """Validates against a schema, given as JSON, that may refer to those of the document."""
    return strictly({**json.loads(schema), "components": document()["components"]})


def strictly(schema):
    """Validates against a schema whose objects may have no unknown fields."""
    return Draft202012Validator(_closed(schema), format_checker=FORMATS)


def _closed(value):
    if isinstance(value, list):
        return [_closed(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _closed(each) for name, each in value.items()}
    return (
        {**inner, "additionalProperties": False} if value.get("type") == "object" and "properties" in value else inner
    )


@functools.cache
def _template(method, path):
    """The route that takes this path; those without a variable come first, as in the router."""
    plain = path.split("?")[0]
    for known in sorted((path for each, path in OPERATIONS if each == method), key=lambda each: each.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), plain):
            return known
    return None
