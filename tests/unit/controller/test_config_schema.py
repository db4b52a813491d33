"""The JSON schema of the configuration: what `rearguard check` accepts is valid, and common mistakes are not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rearguard_controller.config.keys.schema import schema
from rearguard_controller.errors import ConfigError
from unit.controller.test_config import FULL, SMALL, TREES, parse

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docs/schema/configuration.schema.json"
VALID = Draft202012Validator(schema())


def accepted(text):
    try:
        parse(text)
    except ConfigError:
        return False
    return True


def test_the_file_that_is_shipped_is_the_schema_of_the_keys():
    made = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    assert FILE.read_text(encoding="utf-8") == made, (
        "write it anew: PYTHONPATH=controller python -m rearguard_controller.config.keys.schema > " + str(FILE)
    )


def test_it_is_a_schema():
    Draft202012Validator.check_schema(schema())


def examples():
    document = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    yield from re.findall(r"```yaml\n(.*?)```", document, flags=re.DOTALL)
    yield FULL
    yield SMALL


@pytest.mark.parametrize("text", list(examples()))
def test_every_example_is_valid(text):
    assert accepted(text)
    VALID.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("polcies",), {}),
        (("targets", 0, "polcy"), "standard"),
        (("targets", 0, "release", "command", "rollback"), "./release activate"),
        (("targets", 0, "release"), {}),
        (("targets", 0, "hooks"), {"before": [{"name": "both", "command": ["a"], "http": {"url": "http://a"}}]}),
        (("targets", 0, "hooks"), {"before": [{"name": "neither"}]}),
        (("storm",), {"targets": 0}),
        (("storm",), {"within": 30}),
        (("open",), ["pages"]),
        (("policies",), {"standard": {"mode": "acting"}}),
    ],
)
def test_a_mistake_is_refused_by_the_schema_and_by_check(path, value):
    document = yaml.safe_load(SMALL)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not accepted(yaml.safe_dump(document))
    assert not VALID.is_valid(document)


@given(st.data())
def test_whatever_check_accepts_is_valid(data):
    document = yaml.safe_load(FULL)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        if data.draw(st.booleans()):
            place[key] = data.draw(TREES)
        else:
            del place[key]
        break
    text = yaml.safe_dump(document, allow_unicode=True)
    if accepted(text):
        VALID.validate(yaml.safe_load(text))
