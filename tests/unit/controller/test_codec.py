"""What lies in the journal: nouns come back as they went in, other versions are read, damage is noticed."""

import functools
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rearguard_controller.journal import codec
from rearguard_controller.model import (
    Alert,
    CommandAction,
    CommandRelease,
    Condition,
    Decision,
    HealthCheck,
    HttpAction,
    Reason,
    Release,
    Rollback,
    Step,
    StepKind,
    TargetState,
)
from rearguard_controller.rollback import Event
from unit.controller.factories import NOW, alert, condition, decision, rollback, serving, state, target

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LABELS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
NOUNS = [Alert, Release, TargetState, Decision, Reason, Step, Condition, Rollback, Event]
STORED = [alert(), serving(), state(), decision(), rollback(), condition(), Event("opened", NOW, opened=rollback())]


@functools.cache
def values(kind):
    """Any value of a type, by its hints; lists are kept short."""
    origin, members = get_origin(kind), get_args(kind)
    if kind is float:
        return NUMBERS
    if kind is int:
        return st.integers(-(2**63), 2**63 - 1)  # what JSON and SQLite hold
    if kind is str:
        return st.text(max_size=12)
    if origin is types.UnionType or str(origin) == "typing.Union":
        return st.one_of([values(member) for member in members])
    if origin is tuple:
        return st.lists(values(members[0]), max_size=2).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return LABELS
    if hasattr(kind, "__dataclass_fields__"):
        hints = get_type_hints(kind)
        return st.builds(
            kind, **{each.name: st.deferred(lambda hint=hints[each.name]: values(hint)) for each in fields(kind)}
        )
    return st.from_type(kind)


@pytest.mark.parametrize("kind", NOUNS, ids=lambda kind: kind.__name__)
def test_every_noun_comes_back_as_it_went_in(kind):
    @settings(max_examples=40)
    @given(values(kind))
    def round_trip(value):
        text = codec.dump(value)
        assert codec.load(kind, text) == value
        assert json.loads(text)["type"] == kind.__name__

    round_trip()


@pytest.mark.parametrize("kind", NOUNS, ids=lambda kind: kind.__name__)
def test_values_that_share_parts_are_written_together_as_each_is_alone(kind):
    @settings(max_examples=20)
    @given(st.lists(values(kind), max_size=3), st.integers(1, 3))
    def written(some, times):
        assert codec.dump_several(some * times) == [codec.dump(each) for each in some * times]

    written()


@pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)
def test_fields_of_a_newer_version_are_ignored_at_every_depth(value):
    def grown(plain):
        match plain:
            case {"type": str()}:
                return {**{name: grown(item) for name, item in plain.items()}, "of_tomorrow": [1, {"x": None}]}
            case list():
                return [grown(item) for item in plain]
        return plain

    assert codec.load(type(value), json.dumps(grown(json.loads(codec.dump(value))))) == value


@pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)
def test_fields_that_an_older_version_did_not_write_take_their_defaults(value):
    plain = json.loads(codec.dump(value))
    for each in fields(value):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if default is not MISSING:
            older = {name: item for name, item in plain.items() if name != each.name}
            assert codec.load(type(value), json.dumps(older)) == replace(value, **{each.name: default})


ACTIONS = [
    CommandAction(("a", "b"), 1.0, "/"),
    HttpAction("GET", "http://127.0.0.1:1/", 1.0),
    HealthCheck("http://127.0.0.1:1/", 3, 1.0, 9.0),
    target().release,
    None,
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_an_action_comes_back_as_the_kind_that_it_was(action):
    step = replace(rollback().steps[0], action=action)
    assert codec.load(Step, codec.dump(step)).action == action


def test_a_whole_number_of_seconds_is_a_number_of_seconds():
    found = codec.load(Release, '{"target": "t", "version": "v", "first_seen": 7, "last_seen": 7.5}')
    assert (found.first_seen, type(found.first_seen)) == (7.0, float)


DAMAGED = {
    "nothing": (Alert, ""),
    "half a record": (Alert, '{"name": "x"'),
    "not an object": (Alert, "[]"),
    "null": (Release, "null"),
    "a required field is missing": (Release, '{"target": "checkout"}'),
    "text for a number": (Release, '{"target": "t", "version": "v", "first_seen": "noon", "last_seen": 1.0}'),
    "a number as text": (Release, '{"target": "t", "version": "v", "first_seen": "7", "last_seen": 1.0}'),
    "a number for text": (Release, '{"target": 7, "version": "v", "first_seen": 1.0, "last_seen": 1.0}'),
    "a word of another version": (Event, '{"kind": "exploded", "at": 1.0}'),
    "text for a list": (
        CommandRelease,
        '{"current": {"argv": "true", "timeout": 1.0, "cwd": "/"}, "rollback": null}',
    ),
    "an action of another version": (
        Step,
        json.dumps({**json.loads(codec.dump(rollback().steps[0])), "action": {"type": "Satellite", "orbit": 7}}),
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_a_value_error_that_names_what_was_expected(name):
    kind, text = DAMAGED[name]
    with pytest.raises(ValueError, match=r"."):
        codec.load(kind, text)


@given(
    st.text()
    | st.recursive(st.none() | NUMBERS | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)).map(
        json.dumps
    ),
    st.sampled_from(NOUNS),
)
def test_no_text_raises_anything_else(text, kind):
    try:
        value = codec.load(kind, text)
    except ValueError:
        return
    assert isinstance(value, kind)


def test_records_are_readable_by_people():
    plain = json.loads(codec.dump(rollback()))
    assert plain["steps"][0]["kind"] == StepKind.BEFORE_HOOK.value == "before_hook"
    assert plain["steps"][1]["action"]["current"]["argv"] == ["current"]
    assert (plain["phase"], plain["outcome"]) == ("running", None)
