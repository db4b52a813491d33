"""The JSON schema of the configuration file, made from the table of keys, for editors and for other programs.

Whatever `rearguard-exporter --check` accepts, this schema accepts. It refuses unknown keys, missing ones and wrong
types; what a schema cannot say (least durations, addresses, files) only `--check` knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from rearguard_exporter.standalone.config.keys import (
    DATABASE,
    DATABASE_WAYS,
    PROBE,
    PROCESS,
    PROCESS_WAYS,
    REQUIRED,
    TOP,
    Key,
    Section,
)

Schema = dict[str, object]

_TEXT: Schema = {"type": "string", "minLength": 1}
_NUMBER: Schema = {"type": "integer", "minimum": 1}
_DURATION: Schema = {"type": "string", "pattern": "^[0-9]"}
_TYPES: Mapping[str, Schema] = {  # as `Key.type` writes them
    "text": _TEXT,
    "path": _TEXT,
    "host:port": _TEXT,
    "http or https address": _TEXT,
    "PostgreSQL address": _TEXT,
    "name": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,63}$"},
    "number": _NUMBER,
    "list of numbers": {"type": "array", "items": _NUMBER},
    "true or false": {"type": "boolean"},
    "duration": {"anyOf": [_DURATION, {"const": 0}]},
    "duration from 1s": _DURATION,
    "duration from 100ms": _DURATION,
}
_BELOW: Mapping[str, tuple[Section, Sequence[str]]] = {  # key -> its section, and the keys of which one stands there
    "process": (PROCESS, PROCESS_WAYS),
    "probes": (PROBE, ()),
    "databases": (DATABASE, DATABASE_WAYS),
}


def schema() -> Schema:
    """The JSON schema (draft 2020-12) of a configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of rearguard-exporter",
        **_section(TOP),
        "anyOf": [{"required": [name]} for name in _BELOW],
        "not": {"required": ["version", "version_file"]},
    }


def written() -> str:
    """The schema as the text of a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _section(section: Section, ways: Sequence[str] = ()) -> Schema:
    """A mapping with the keys of this section and no others."""
    made: Schema = {
        "type": "object",
        "properties": {key.name: {"description": _told(key), **_type(key)} for key in section.keys},
        "additionalProperties": False,
    }
    required = [key.name for key in section.keys if key.default == REQUIRED]
    if required:
        made["required"] = required
    if ways:
        made["oneOf"] = [{"required": [name]} for name in ways]
    return made


def _told(key: Key) -> str:
    says_nothing = key.default == REQUIRED or key.default.startswith("or ")
    return key.meaning if says_nothing else f"{key.meaning} Default: {key.default}."


def _type(key: Key) -> Schema:
    """What may stand at a key.

    Raises:
        KeyError: the table names a type, or a mapping, that this module does not know.
    """
    if key.type in _TYPES:
        return _TYPES[key.type]
    words = re.findall("`([^`]+)`", key.type)
    if words:
        return {"enum": words}
    below = _section(*_BELOW[key.name])
    return {"type": "array", "items": below} if key.type.startswith("list of") else below
