"""Server-side apply: an object is brought to what its manager says, fields of others are left or fought for."""

import json
from http import HTTPStatus
from typing import Any

from local_cluster.errors import ApiError
from local_cluster.kinds import Kind
from local_cluster.managed_fields import ITEM, Flat, Path, as_paths, as_text, entries_of, entry, flat, without
from local_cluster.objects import Object, copied
from local_cluster.patches import merge_patched
from local_cluster.strategic import strategic_merged

_APPLY = "Apply"


def applied(kind: Kind, stored: Object | None, wanted: Object, manager: str, *, force: bool) -> Object:
    """Return the object with what `manager` wants; raises `ApiError` 409 for fields of others unless forced."""
    asked = flat(kind, wanted)
    if stored is None:
        return _with(wanted, [entry(kind, manager, _APPLY, set(asked))])
    entries = entries_of(stored)
    mine = [one for one in entries if (one["operation"], one["manager"]) == (_APPLY, manager)]
    others = [one for one in entries if one not in mine]
    fought = _fought(asked, flat(kind, stored), others)
    if fought and not force:
        raise _conflicts(kind, fought)
    live = copied(stored)
    merged: Object = merge_patched(live, wanted) if kind.custom else strategic_merged(live, wanted)
    others = without(others, {path for paths in fought.values() for path in paths})
    dropped: set[Path] = set().union(*(as_paths(one["fieldsV1"]) for one in mine)) - set(asked)
    held: set[Path] = set(asked).union(*(as_paths(one["fieldsV1"]) for one in others))
    merged = copied(merged)
    # An item of a list goes before its name does: it is found by that.
    for path in sorted(dropped - held, key=lambda path: (-len(path), path[-1] != ITEM, path)):
        _take_out(merged, path, held)
    now = entry(kind, manager, _APPLY, set(asked))
    if mine and mine[0]["fieldsV1"] == now["fieldsV1"] and merged == live:
        return _with(merged, entries)  # nothing new: the time stays, too
    return _with(merged, [*others, now])


def _with(value: Object, entries: list[Object]) -> Object:
    return {**value, "metadata": {**value["metadata"], "managedFields": entries}}


def _fought(asked: Flat, live: Flat, others: list[Object]) -> dict[str, set[Path]]:
    """Return, by manager, the fields that others wrote and that shall become different."""
    changes = {path for path, leaf in asked.items() if path in live and live[path] != leaf}
    found = {json.dumps([one["manager"], one["apiVersion"]]): changes & as_paths(one["fieldsV1"]) for one in others}
    return {who: paths for who, paths in found.items() if paths}


def _conflicts(kind: Kind, fought: dict[str, set[Path]]) -> ApiError:
    causes = []
    for who, paths in fought.items():
        manager, version = json.loads(who)
        message = f'conflict with "{manager}" using {version}'
        causes += [
            {"reason": "FieldManagerConflict", "message": message, "field": as_text(path)} for path in sorted(paths)
        ]
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    told = ", ".join(f"{one['message']}: {one['field']}" for one in causes)
    details: Object = {"group": kind.group, "kind": kind.plural, "causes": causes}
    return ApiError(HTTPStatus.CONFLICT, "Conflict", f"Apply failed with {count}: {told}", details=details)


def _take_out(value: Object, path: Path, held: set[Path]) -> None:
    """Remove the field at `path` in place; an item of a list goes once nobody holds anything in it."""
    place: Any = value
    for step in path[:-1]:
        if step.startswith("f:"):
            place = place.get(step[2:]) if isinstance(place, dict) else None
        else:
            wanted = json.loads(step[2:])
            items = place if isinstance(place, list) else []
            item = next((one for one in items if wanted.items() <= one.items()), None)
            if path[-1] == ITEM and step == path[-2]:
                if item is not None and not any(other[: len(path) - 1] == path[:-1] for other in held):
                    items.remove(item)
                return
            place = item
        if place is None:
            return
    if isinstance(place, dict):
        place.pop(path[-1][2:], None)
