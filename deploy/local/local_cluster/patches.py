"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on objects of the API."""

from typing import Any

from local_cluster.errors import bad_request, patch_refused
from local_cluster.objects import Object, copied


def merge_patched(value: Any, patch: Any) -> Any:
    """Return `value` with a merge patch applied; `value` itself stays as it was."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patched(merged.get(key), change)
    return merged


def json_patched(value: Object, operations: Any) -> Object:
    """Return a copy of `value` with the operations applied; raises `ApiError`: 422 when one fails, 400."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    box = {"root": copied(value)}
    for operation in operations:
        try:
            _apply(box, operation)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise patch_refused() from None
    if not isinstance(box["root"], dict):
        raise patch_refused()
    return box["root"]


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    return ["root", *(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])]


def _apply(box: Object, operation: Object) -> None:
    steps = _steps(operation["path"])
    match operation["op"]:
        case "test":
            if _read(box, steps) != operation.get("value"):
                raise ValueError(operation["path"])
        case "add":
            _add(box, steps, operation["value"])
        case "remove":
            _remove(box, steps)
        case "replace":
            _read(box, steps)
            _replace(box, steps, operation["value"])
        case "copy":
            _add(box, steps, _read(box, _steps(operation["from"])))
        case "move":
            _add(box, steps, _remove(box, _steps(operation["from"])))
        case other:
            raise ValueError(other)


def _read(box: Any, steps: list[str]) -> Any:
    for step in steps:
        box = box[int(step)] if isinstance(box, list) else box[step]
    return box


def _add(box: Object, steps: list[str], value: Any) -> None:
    parent, last = _read(box, steps[:-1]), steps[-1]
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
        if place > len(parent):
            raise IndexError(last)
        parent.insert(place, value)
    else:
        parent[last] = value


def _replace(box: Object, steps: list[str], value: Any) -> None:
    parent, last = _read(box, steps[:-1]), steps[-1]
    parent[int(last) if isinstance(parent, list) else last] = value


def _remove(box: Object, steps: list[str]) -> Any:
    parent, last = _read(box, steps[:-1]), steps[-1]
    return parent.pop(int(last) if isinstance(parent, list) else last)
