"""Who wrote which field: the `managedFields` of an object, kept by the names that writers give themselves.

Simpler than the real thing: lists are merged by the keys that strategic merge uses, for custom kinds as one value.
"""

import json
from typing import Any

from local_cluster.kinds import Kind
from local_cluster.objects import Object, time_text
from local_cluster.strategic import merge_key

Path = tuple[str, ...]
Flat = dict[Path, Any]
ITEM = "."
_SERVERS_OWN = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"}
_SERVERS_OWN |= {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generateName"}


def flat(kind: Kind, value: Object, *, status: bool = False) -> Flat:
    """Return the fields that writers own, by path: those of the status, or all others."""
    if status:
        return _flat(kind, {"status": value.get("status") or {}}, "")
    metadata = {key: one for key, one in (value.get("metadata") or {}).items() if key not in _SERVERS_OWN}
    rest = {key: one for key, one in value.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return _flat(kind, {**({"metadata": metadata} if metadata else {}), **rest}, "")


def _flat(kind: Kind, value: Any, field: str) -> Flat:
    found: Flat = {}
    if isinstance(value, dict) and value:
        for key, one in value.items():
            if one is not None:
                found |= {(f"f:{key}", *path): leaf for path, leaf in _flat(kind, one, key).items()}
        return found
    if isinstance(value, list) and (key := _key_of(kind, field, value)):
        for one in value:
            step = "k:" + json.dumps({key: one[key]}, separators=(",", ":"))
            found[step, ITEM] = None
            found |= {(step, *path): leaf for path, leaf in _flat(kind, one, "").items()}
        return found
    return {(): value}


def _key_of(kind: Kind, field: str, items: list[Any]) -> str | None:
    key = None if kind.custom else merge_key(field, items)
    return key if key and all(isinstance(one, dict) and key in one for one in items) else None


def as_tree(paths: set[Path]) -> Object:
    """Return the paths as `fieldsV1` nests them."""
    tree: Object = {}
    for path in sorted(paths):
        place = tree
        for step in path:
            place = place.setdefault(step, {})
    return tree


def as_paths(tree: Object) -> set[Path]:
    """Return the paths of a `fieldsV1`."""
    found: set[Path] = set()
    for step, inner in tree.items():
        found |= {(step, *path) for path in as_paths(inner)} if inner else {(step,)}
    return found


def as_text(path: Path) -> str:
    """Return a path as messages show it: `.spec.template.spec.containers[name="shop"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            pairs = ",".join(f"{key}={json.dumps(one)}" for key, one in json.loads(step[2:]).items())
            text += f"[{pairs}]"
    return text


def entries_of(value: Object | None) -> list[Object]:
    """Return the entries that an object has."""
    return list(((value or {}).get("metadata") or {}).get("managedFields") or [])


def entry(kind: Kind, manager: str, operation: str, paths: set[Path], *, status: bool = False) -> Object:
    """Return an entry that is written now."""
    made: Object = {
        "manager": manager,
        "operation": operation,
        "apiVersion": kind.api_version,
        "time": time_text(),
        "fieldsType": "FieldsV1",
        "fieldsV1": as_tree(paths),
    }
    return {**made, "subresource": "status"} if status else made


def without(entries: list[Object], taken: set[Path], present: set[Path] | None = None) -> list[Object]:
    """Return the entries without the paths that somebody else has taken, and with those only that are present."""
    kept = []
    for one in entries:
        paths = as_paths(one["fieldsV1"]) - taken
        if present is not None:
            paths &= present
        if paths:
            kept.append({**one, "fieldsV1": as_tree(paths)})
    return kept


def noted(kind: Kind, before: Object | None, after: Object, manager: str, *, status: bool = False) -> list[Object]:
    """Return the entries after `manager` has changed an object by a write that is no apply."""
    old = flat(kind, before, status=status) if before else {}
    new = flat(kind, after, status=status)
    changed = {path for path, leaf in new.items() if path not in old or old[path] != leaf}
    entries = entries_of(before)
    if not changed and set(old) == set(new):
        return entries
    others = [one for one in entries if (one.get("subresource") == "status") is not status]
    concerned = [one for one in entries if (one.get("subresource") == "status") is status]
    concerned = without(concerned, changed, set(new))
    if changed:
        same = ("Update", manager)
        mine = [one for one in concerned if (one["operation"], one["manager"]) == same]
        paths = changed.union(*(as_paths(one["fieldsV1"]) for one in mine))
        concerned = [one for one in concerned if one not in mine]
        concerned.append(entry(kind, manager, "Update", paths, status=status))
    return others + concerned
