"""The JSON schema of the configuration file, made from the table of keys, for editors and for other programs.

Whatever `rearguard check` accepts, this schema accepts. It refuses unknown keys, missing ones and wrong types; what a
schema cannot say (names that must exist, least durations) only `rearguard check` knows.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping

from rearguard_controller.config.keys import discover, http_config, policies, service, targets
from rearguard_controller.config.keys.section import REQUIRED, Key, Section

Schema = dict[str, object]

_TEXT: Schema = {"type": "string", "minLength": 1}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_ARGUMENTS: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_TYPES: Mapping[str, Schema] = {  # as `Key.type` writes them
    "text": _TEXT,
    "path": _TEXT,
    "URL": _TEXT,
    "`sqlite:///absolute/path.db` or `postgresql://user@host/database`": _TEXT,
    "`host:port`": _TEXT,
    "letters, digits, `.` `_` `-`": _TEXT,
    "name of a policy": _TEXT,
    "name of a Prometheus": _TEXT,
    "true or false": {"type": "boolean"},
    "whole number from 1": {"type": "integer", "minimum": 1},
    "whole number from 1 to 64": {"type": "integer", "minimum": 1, "maximum": 64},
    "duration": {"anyOf": [{"type": "string", "pattern": "^[0-9]"}, {"const": 0}]},
    "URL or list of URLs": {"anyOf": [_TEXT, _ARGUMENTS]},
    "argument list": _ARGUMENTS,
    "list of names": _TEXTS,
    "list of addresses or networks": _TEXTS,
    "list of texts": _TEXTS,
    "list of paths": _TEXTS,
    "list of targets' names": _TEXTS,
    "mapping of text": _LABELS,
    "mapping of labels": _LABELS,
    "mapping of weights": {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
    },
    "mapping of labels, or a list of such": {"anyOf": [_LABELS, {"type": "array", "items": _LABELS}]},
}
_SECTIONS: Mapping[tuple[Section, str], Section] = {  # section and key -> the section of what stands there
    (service.TOP, "limits"): service.LIMITS,
    (service.TOP, "prometheus"): service.PROMETHEUS,
    (service.PROMETHEUS, "others"): service.OTHER_PROMETHEUS,
    (service.TOP, "alertmanager"): service.ALERTMANAGER,
    (service.TOP, "kubernetes"): service.KUBERNETES,
    (service.TOP, "storm"): service.STORM,
    (service.TOP, "sharding"): service.SHARDING,
    (service.TOP, "tokens"): service.TOKENS,
    (service.TOP, "page"): service.PAGE,
    (service.TOP, "notify"): service.NOTIFY,
    (service.TOP, "slack"): service.SLACK,
    (service.TOP, "policies"): policies.POLICY,
    (service.TOP, "targets"): targets.TARGET,
    (service.TOP, "discover"): discover.DISCOVER,
    (discover.DISCOVER, "kubernetes"): discover.DISCOVER_KUBERNETES,
    (discover.DISCOVER, "prometheus"): discover.DISCOVER_PROMETHEUS,
    (discover.DISCOVER_PROMETHEUS, "command"): targets.COMMAND_RELEASE,
    (discover.DISCOVER, "hooks"): targets.HOOKS,
    (discover.DISCOVER, "verify"): targets.VERIFY,
    **{
        (of, key): below
        for of in (service.PROMETHEUS, service.OTHER_PROMETHEUS, service.ALERTMANAGER)
        for key, below in (
            ("basic_auth", http_config.BASIC_AUTH),
            ("authorization", http_config.AUTHORIZATION),
            ("tls_config", http_config.TLS_CONFIG),
            ("http_headers", http_config.HTTP_HEADER),
        )
    },
    (policies.POLICY, "approval"): policies.APPROVAL,
    (policies.POLICY, "budget"): policies.BUDGET,
    (targets.TARGET, "release"): targets.RELEASE,
    (targets.TARGET, "hooks"): targets.HOOKS,
    (targets.TARGET, "verify"): targets.VERIFY,
    (targets.RELEASE, "command"): targets.COMMAND_RELEASE,
    (targets.RELEASE, "kubernetes"): targets.KUBERNETES_RELEASE,
    (targets.RELEASE, "prometheus"): targets.PROMETHEUS_RELEASE,
    (targets.HOOKS, "before"): targets.HOOK,
    (targets.HOOKS, "after"): targets.HOOK,
    (targets.HOOK, "http"): targets.HTTP,
    (targets.HOOK, "kubernetes"): targets.DRAIN,
    (targets.HOOK, "undo"): targets.UNDO,
    (targets.HOOK, "check"): targets.CHECK,
    (targets.UNDO, "http"): targets.HTTP,
    (targets.CHECK, "http"): targets.HTTP,
    (targets.VERIFY, "health"): targets.HEALTH,
    (targets.VERIFY, "recovery"): targets.RECOVERY,
}


def schema() -> Schema:
    """The JSON schema (draft 2020-12) of a configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Rearguard",
        **_section(service.TOP),
        "$defs": {_name(section): _section(section) for section in dict.fromkeys(_SECTIONS.values())},
    }


def _name(section: Section) -> str:
    return re.sub("[^a-z]+", "_", section.where.lower()).strip("_")


def _section(section: Section) -> Schema:
    """A mapping with the keys of this section and no others."""
    made: Schema = {
        "type": "object",
        "properties": {key.name: _key(section, key) for key in section.keys},
        "additionalProperties": False,
    }
    required = [key.name for key in section.keys if key.default == REQUIRED]
    if required:
        made["required"] = required
    one_of = [key.name for key in section.keys if key.default.startswith("this or ")]
    if one_of:
        made["oneOf"] = [{"required": [name]} for name in one_of]
    return made


def _key(section: Section, key: Key) -> Schema:
    default = "" if key.default == REQUIRED else f" Default: {key.default}."
    return {"description": f"{key.meaning}{default}", **_type(section, key)}


def _type(section: Section, key: Key) -> Schema:
    """What may stand at a key.

    Raises:
        KeyError: the table names a type, or a mapping, that this module does not know.
    """
    if key.type in _TYPES:
        return _TYPES[key.type]
    words = re.findall("`([^`]+)`", key.type)
    if words:
        word: Schema = {"enum": words}
        return {"type": "array", "items": word} if key.type.startswith("list of") else word
    below: Schema = {"$ref": f"#/$defs/{_name(_SECTIONS[section, key.name])}"}
    if key.type.startswith("list"):
        return {"type": "array", "items": below}
    if key.type.startswith("mapping of"):
        return {"type": "object", "additionalProperties": below}
    return below


if __name__ == "__main__":  # how docs/schema/configuration.schema.json is written
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
