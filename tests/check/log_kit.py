"""What pipelines make of lines of the log: Vector's own language in Node.js, and the published definition of ECS.

Here: asking them, and a stand-in for Filebeat, which cannot be had here. Never here: what is right (test_logs.py).
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime

from local_stack import npm_packages

_TYPES = """
const {EcsFlat} = require(process.argv[1]);
console.log(JSON.stringify(Object.fromEntries(Object.entries(EcsFlat).map(([name, field]) => [name, field.type]))));
"""
_RUN = """
const {check, execute, formatDiagnostic} = require(process.argv[1]);
const {program, events} = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const {errors, warnings} = check(program);
const told = [...errors, ...warnings].map(formatDiagnostic);
console.log(JSON.stringify({told, events: told.length ? [] : events.map(each => execute(program, each).event)}));
"""


def ecs_types() -> dict[str, str]:
    """The type of each field of the Elastic Common Schema, by its name."""
    return dict(_node(_TYPES, str(npm_packages.find(npm_packages.ECS))))


def remapped(program: str, events: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """What a program in Vector's language makes of each event; one that does not compile is a failure."""
    said = _node(_RUN, str(npm_packages.find(npm_packages.VRL)), json.dumps({"program": program, "events": events}))
    assert said["told"] == [], "\n".join(said["told"])
    return said["events"]


def _node(script: str, package: str, text: str = "") -> dict:
    node = shutil.which("node")
    assert node, "Node.js was not found: apt-get install nodejs npm"
    done = subprocess.run(
        [node, "-e", script, package], input=text, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ndjson(line: str, *, target: str, overwrite_keys: bool, expand_keys: bool, add_error_key: bool) -> dict:
    """A stand-in for the parser `ndjson` of Filebeat, by its documentation: the event that a line becomes."""
    assert (target, overwrite_keys, expand_keys, add_error_key) == ("", True, True, True), "as the stand-in does it"
    event: dict = {"message": line, "host": {"name": "node-1"}}
    try:
        fields = json.loads(line)
    except ValueError as error:
        return {**event, "error": {"message": str(error), "type": "json"}}
    if not isinstance(fields, dict):
        return {**event, "error": {"message": "not an object", "type": "json"}}
    datetime.fromisoformat(fields["@timestamp"])  # else Filebeat keeps the time of arrival, and says so
    for name, value in fields.items():
        *folders, last = name.split(".")
        inner = event
        for folder in folders:
            inner = inner.setdefault(folder, {})
            assert isinstance(inner, dict), f"{name} is below a field that has a value"
        assert not isinstance(inner.get(last), dict), f"{name} has fields below it"
        inner[last] = value
    return event
