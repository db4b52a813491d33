"""JSON Schema and the OpenAPI document follow from the types of the views, and say the same at every start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from enum import StrEnum
from typing import Annotated, Literal, NotRequired, TypedDict

import pytest

from real.controller import documented
from rearguard_controller import json_views
from rearguard_controller.adapters.notices.notice import Notice, NoticeBody, body
from rearguard_controller.api import bodies
from rearguard_controller.api.schemas import Components
from rearguard_controller.model import Alert, NoticeEvent, Phase, ReasonCode
from unit.controller.test_shapes import ALERT, COMMAND, HTTP, TARGET, rollback, step

DOCUMENT = """
import sys, orjson
from rearguard_controller.api import openapi, operations
from rearguard_controller.api.routing import Route
routes = [Route(method, path, None, None) for method, path in operations.OPERATIONS]
sys.stdout.buffer.write(orjson.dumps(openapi.document(routes, ())))
"""


class Colour(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Paint(TypedDict):
    """What is on
    a wall.
    """

    colour: Annotated[Colour | None, "Which."]
    coats: NotRequired[Annotated[int, ("minimum", 1)]]


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}),
        (str | None, {"type": ["string", "null"]}),
        (Annotated[float | None, "How much."], {"type": ["number", "null"], "description": "How much."}),
        (list[bool], {"type": "array", "items": {"type": "boolean"}}),
        (dict[str, bool | None], {"type": "object", "additionalProperties": {"type": ["boolean", "null"]}}),
        (Literal["4"], {"const": "4"}),
        (Annotated[str, ("enum", ("a", "b"))], {"type": "string", "enum": ["a", "b"]}),
        (Paint, {"$ref": "#/components/schemas/Paint"}),
    ],
)
def test_each_kind_of_type_has_its_schema(kind, schema):
    assert Components().of(kind) == schema


def test_fields_and_words_keep_their_order_and_say_which_may_be_left_out():
    made = Components(closed=(Paint,))
    made.of(Paint)
    assert made.schemas == {
        "Paint": {
            "description": "What is on a wall.",
            "type": "object",
            "properties": {
                "colour": {
                    "anyOf": [{"$ref": "#/components/schemas/Colour"}, {"type": "null"}],
                    "description": "Which.",
                },
                "coats": {"type": "integer", "minimum": 1},
            },
            "required": ["colour"],
            "additionalProperties": False,
        },
        "Colour": {"description": "A colour.", "type": "string", "enum": ["red", "blue"]},
    }


def test_a_type_without_a_rule_and_a_name_that_is_given_twice_are_refused():
    with pytest.raises(TypeError, match="no rule"):
        Components().of(set)
    made = Components()
    made.of(Paint)
    with pytest.raises(TypeError, match="Two types are called Paint"):
        made.of(TypedDict("Paint", {}))


def test_the_document_is_the_same_at_every_start():
    def written(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", DOCUMENT], env=environment, capture_output=True, check=True
        ).stdout

    assert written("1") == written("2") != b""


def test_every_field_of_every_answer_and_body_is_described():
    schemas = documented.document()["components"]["schemas"]
    bare = [name for name, schema in schemas.items() if not schema["description"]]
    bare += [
        f"{name}.{each}"
        for name, schema in schemas.items()
        for each, inner in schema.get("properties", {}).items()
        if not inner.get("description")
    ]
    assert bare == []


def test_words_stand_in_the_document_in_the_order_of_the_enum():
    schemas = documented.document()["components"]["schemas"]
    assert schemas["ReasonCode"]["enum"] == [each.value for each in ReasonCode]
    assert schemas["Phase"]["enum"] == ["waiting", "running", "closed"]


def test_bodies_take_no_unknown_fields_except_alertmanager_s():
    made = Components(bodies.CLOSED)
    for kind in (*bodies.CLOSED, bodies.Delivery):
        made.of(kind)
    for kind in bodies.CLOSED:
        assert made.schemas[kind.__name__]["additionalProperties"] is False
    assert "additionalProperties" not in made.schemas["Delivery"]


def faults(kind, value):
    """What is wrong with a value by the schema of its view; unknown fields are."""
    made = Components()
    named = made.of(kind)
    whole = {**named, "components": {"schemas": made.schemas}}
    value = json.loads(json.dumps(value))
    return [each.message for each in documented.strictly(whole).iter_errors(value)]


STEPS = tuple(step(action) for action in (COMMAND, HTTP, TARGET.release, None))
NOTICE = Notice(NoticeEvent.UNDO_FAILING, 1.0, "checkout", rollback=rollback(), step=STEPS[0])
SHOWN = [
    (json_views.Alert, json_views.alert(ALERT)),
    (json_views.Alert, json_views.alert(Alert("Bad", {}, firing=False))),
    (json_views.Rollback, json_views.rollback(rollback(steps=STEPS, phase=Phase.WAITING), outputs=True)),
    (NoticeBody, body(NOTICE)),
    (NoticeBody, body(Notice(NoticeEvent.ALERT, 1.0, None, alert=ALERT))),
]


@pytest.mark.parametrize(("kind", "value"), SHOWN)
def test_a_view_is_what_its_schema_says_and_nothing_more(kind, value):
    assert faults(kind, value) == []
    (fault,) = faults(kind, {**value, "surprise": 1})
    assert "surprise" in fault
    (fault,) = faults(kind, dict(list(value.items())[1:]))
    assert "required" in fault
