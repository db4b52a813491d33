"""Strategic merge patch: as a merge patch, but lists of named things are merged by their key."""

from typing import Any

from local_cluster.objects import Object

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "secrets": "name",
    "hostAliases": "ip",
    "conditions": "type",
    "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
    "validations": "expression",
}
_SETS = {"finalizers"}  # lists of plain values that are merged, not replaced
_DIRECTIVE = "$patch"
_ORDER = "$setElementOrder/"
_DELETE_VALUES = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def merge_key(field: str, items: list[Any]) -> str | None:
    """Return the key by which the list in this field is merged; None for a list that is replaced as a whole."""
    if field == "ports":
        return "containerPort" if any("containerPort" in one for one in items if isinstance(one, dict)) else "port"
    return _KEYS.get(field)


def strategic_merged(value: Any, patch: Object) -> Object:
    """Return `value` with the patch applied; `value` itself stays as it was."""
    if patch.get(_DIRECTIVE) == "replace":
        return {key: change for key, change in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    merged: Object = dict(value) if isinstance(value, dict) else {}
    if _RETAIN in patch:
        merged = {key: merged[key] for key in merged if key in patch[_RETAIN]}
    for key, change in patch.items():
        if key.startswith(_DELETE_VALUES):
            field = key.removeprefix(_DELETE_VALUES)
            merged[field] = [one for one in merged.get(field) or [] if one not in change]
        elif key.startswith("$"):
            continue
        elif change is None:
            merged.pop(key, None)
        elif isinstance(change, dict):
            merged[key] = strategic_merged(merged.get(key), change)
        elif isinstance(change, list):
            merged[key] = _merged_list(key, merged.get(key) or [], change)
        else:
            merged[key] = change
    for key, order in patch.items():
        if key.startswith(_ORDER):
            _put_in_order(merged, key.removeprefix(_ORDER), order)
    return merged


def _merged_list(field: str, old: list[Any], change: list[Any]) -> list[Any]:
    if field in _SETS:
        return [*old, *(one for one in change if one not in old)]
    key = merge_key(field, [*old, *change])
    if key is None or not all(isinstance(one, dict) for one in change):
        return change
    if any(one.get(_DIRECTIVE) == "replace" and len(one) == 1 for one in change):
        return [one for one in change if _DIRECTIVE not in one]
    merged = list(old)
    for one in change:
        place = next((index for index, other in enumerate(merged) if other.get(key) == one.get(key)), None)
        if one.get(_DIRECTIVE) == "delete":
            if place is not None:
                merged.pop(place)
        elif place is None:
            merged.append(strategic_merged({}, one))
        else:
            merged[place] = strategic_merged(merged[place], one)
    return merged


def _put_in_order(merged: Object, field: str, order: list[Any]) -> None:
    items = merged.get(field)
    if not isinstance(items, list):
        return
    key = merge_key(field, [one for one in order if isinstance(one, dict)])
    wanted = [one.get(key) if isinstance(one, dict) else one for one in order]

    def place(one: Any) -> int:
        name = one.get(key) if isinstance(one, dict) else one
        return wanted.index(name) if name in wanted else len(wanted)

    merged[field] = sorted(items, key=place)
