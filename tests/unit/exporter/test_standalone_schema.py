"""The JSON schema of the stand-alone exporter's file: what `--check` takes is valid, and common mistakes are not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from rearguard_exporter.standalone.config.configuration import load
from rearguard_exporter.standalone.config.keys import SECTIONS
from rearguard_exporter.standalone.config.schema import schema
from rearguard_exporter.standalone.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docs/schema/exporter.schema.json"
VALID = Draft202012Validator(schema())
WHOLE = {
    "service": "shop",
    "version": "1.4.2",
    "environment": "production",
    "listen": "0.0.0.0:9464",
    "process": {"pid": 4711, "interval": "10s"},
    "probes": [
        {"name": "home", "url": "https://shop/", "method": "HEAD", "statuses": [200, 204], "follow_redirects": False}
    ],
    "databases": [{"name": "orders", "dsn": "postgresql://a@db/o", "timeout": "500ms", "long_query": 0}],
}


def accepted(tmp_path, value):
    """Whether the exporter itself takes it."""
    file = tmp_path / "exporter.yaml"
    file.write_text(yaml.safe_dump(value))
    try:
        load(file)
    except ConfigError:
        return False
    return True


def changed(path, value):
    """The whole configuration with another value at a path; without the key where the value is None."""
    made = json.loads(json.dumps(WHOLE))
    place = made
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    if value is None:
        del place[path[-1]]
    return made


def test_the_file_that_is_shipped_is_what_the_command_prints():
    command = [sys.executable, "-m", "rearguard_exporter.standalone.command", "--schema"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert FILE.read_text(encoding="utf-8") == made, (
        "write it anew: rearguard-exporter --schema > docs/schema/exporter.schema.json"
    )


def test_it_is_a_schema_that_describes_every_key():
    Draft202012Validator.check_schema(schema())
    described = re.findall(r'"([a-z_]+)": \{\s*"description": "[A-Z`]', FILE.read_text())
    in_the_file = [name for section in SECTIONS[:4] for name in section.names]  # the others stand in another file
    assert sorted(described) == sorted(in_the_file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("environment",), "staging"),
        (("version",), None),
        (("process",), {"systemd_unit": "shop.service"}),
        (("process",), {"name": "shop", "interval": "1m30s"}),
        (("probes",), []),
        (("databases", 0, "long_query"), "30s"),
    ],
)
def test_what_the_exporter_takes_is_valid(path, value, tmp_path):
    assert accepted(tmp_path, changed(path, value))
    VALID.validate(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sevice",), "shop"),
        (("process", "intervall"), "5s"),
        (("probes", 0, "path"), "/"),
        (("databases", 0, "user"), "a"),
        (("version",), 1.4),
        (("version_file",), "VERSION"),
        (("process", "name"), "shop"),
        (("process", "pid"), None),
        (("process", "pid"), "4711"),
        (("process", "interval"), 10),
        (("probes", 0, "url"), None),
        (("probes", 0, "name"), "the home page"),
        (("probes", 0, "method"), "POST"),
        (("probes", 0, "statuses"), 200),
        (("probes", 0, "follow_redirects"), "no"),
        (("probes",), {"name": "home"}),
        (("databases", 0, "dsn"), None),
        (("databases", 0, "dsn_file"), "dsn"),
        (("databases", 0, "timeout"), "soon"),
    ],
)
def test_a_common_mistake_is_refused_by_both(path, value, tmp_path):
    (tmp_path / "VERSION").write_text("1\n")
    (tmp_path / "dsn").write_text("postgresql://a@db/o\n")
    assert not accepted(tmp_path, changed(path, value))
    assert not VALID.is_valid(changed(path, value))


def test_a_file_that_watches_nothing_is_refused_by_both(tmp_path):
    assert not accepted(tmp_path, {"service": "shop"})
    assert not VALID.is_valid({"service": "shop"})
