"""Every configuration that is shipped or shown tells editors which schema it has, and is valid by it."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from jsonschema import Draft202012Validator

from check.documents import PAGES, ROOT

SCHEMA = ROOT / "docs/schema/configuration.schema.json"
OF_EXPORTER = ROOT / "docs/schema/exporter.schema.json"
MODELINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
VALID = {file: Draft202012Validator(json.loads(file.read_text())) for file in (SCHEMA, OF_EXPORTER)}
NAMED = {
    "deploy/systemd",
    "deploy/kubernetes/base",
    "deploy/kubernetes/overlays/production-ha",
    "deploy/exporter",
    "examples/fastapi",
}


def schema_of(text):
    """The schema of a text that is a whole configuration: of the controller, or of the stand-alone exporter."""
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError:  # a template, or several documents
        return None
    if not isinstance(read, dict):
        return None
    if "journal" in read and {"targets", "discover"} & read.keys():
        return SCHEMA
    return OF_EXPORTER if "service" in read and {"process", "probes", "databases"} & read.keys() else None


def shipped():
    files = [*ROOT.glob("deploy/**/*.yaml"), *ROOT.glob("deploy/**/*.yml"), *ROOT.glob("examples/**/*.yaml")]
    return [each for each in files if each.name != "values.yaml" and schema_of(each.read_text())]


def shown():
    for page in PAGES:
        for indent, block in re.findall(r"^( *)```yaml\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
            text = re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
            if schema_of(text):
                yield pytest.param(text, id=f"{page.name}: {text.splitlines()[1]}")


def test_the_configurations_are_found():
    assert {schema_of(text) for (text,) in (each.values for each in shown())} == {SCHEMA, OF_EXPORTER}
    assert {each.parent.relative_to(ROOT).as_posix() for each in shipped()} >= NAMED


@pytest.mark.parametrize("file", shipped(), ids=lambda each: each.relative_to(ROOT).as_posix())
def test_a_shipped_configuration_names_its_schema_and_is_valid_by_it(file):
    text = file.read_text()
    named = MODELINE.match(text)
    assert named, "the first line"
    schema = schema_of(text)
    assert (file.parent / named[1]).resolve() == schema
    VALID[schema].validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", [*shown()])
def test_a_configuration_in_a_page_names_the_schema_beside_it_and_is_valid_by_it(text):
    named = MODELINE.match(text)
    assert named, "the first line"
    schema = schema_of(text)
    assert named[1] == schema.name
    VALID[schema].validate(yaml.safe_load(text))


def test_the_command_prints_the_schema_with_a_description_of_each_key():
    command = [sys.executable, "-m", "rearguard_controller", "schema"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said == SCHEMA.read_text()
    silent = [
        name
        for name, key in json.loads(said)["properties"].items()
        if not key.get("description") and not any(each.get("description") for each in key.get("anyOf", []))
    ]
    assert silent == []
