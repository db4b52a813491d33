"""Label and field selectors: from their text to a test of an object."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from local_cluster.errors import bad_request
from local_cluster.objects import Object, labels_of

Test = Callable[[Object], bool]

_SET = re.compile(r"^\s*(?P<key>[^\s,!=()]+)\s+(?P<how>in|notin)\s*\((?P<values>[^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*(?P<key>[^\s,!=()]+)\s*(?P<how>==|=|!=)\s*(?P<value>[^\s,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(?P<no>!?)\s*(?P<key>[^\s,!=()]+)\s*$")
_COMMAS = re.compile(r",(?![^(]*\))")  # not those between brackets


def everything(_: Object) -> bool:
    """Accept every object."""
    return True


def by_labels(text: str) -> Test:
    """Return the test for a label selector such as `app=shop,tier in (web,api),!canary`; raises `ApiError` 400."""
    wanted = [_label_test(part) for part in _COMMAS.split(text) if part.strip()]
    return lambda value: all(test(labels_of(value)) for test in wanted)


def _label_test(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["how"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(part):
        key, value = found["key"], found["value"]
        if found["how"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(part):
        key, absent = found["key"], bool(found["no"])
        return lambda labels: (key in labels) is not absent
    raise bad_request(f"unable to parse requirement: {part.strip()!r} is no label selector")


def by_fields(text: str) -> Test:
    """Return the test for a field selector such as `metadata.name=a,status.phase!=Running`; raises `ApiError` 400."""
    wanted: list[tuple[list[str], str, bool]] = []
    for part in text.split(","):
        if not part.strip():
            continue
        found = _EQUAL.match(part)
        if not found:
            raise bad_request(f"invalid selector: {text!r}; can't understand {part!r}")
        wanted.append((found["key"].split("."), found["value"], found["how"] != "!="))
    return lambda value: all((_field(value, path) == text) is equal for path, text, equal in wanted)


def _field(value: Any, path: list[str]) -> str:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Return true when a `LabelSelector` object accepts the labels; an empty one accepts all, None nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _expression_holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
