"""Create, update, patch and delete, as far as the request's path and body decide them."""

from collections.abc import Callable
from typing import Any

from local_cluster.defaults import with_defaults
from local_cluster.errors import bad_request, not_found, unsupported_patch
from local_cluster.garbage import let_go
from local_cluster.kinds import NAMESPACES, Kind
from local_cluster.objects import Object, copied, name_of, namespace_of
from local_cluster.patches import json_patched, merge_patched
from local_cluster.request import Asked
from local_cluster.scaling import as_scale, with_scale
from local_cluster.store import Store
from local_cluster.strategic import strategic_merged
from local_cluster.validation import check_body, check_change, check_new

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def create(store: Store, asked: Asked, body: Any, *, keep: bool) -> Object:
    """Create an object; raises `ApiError`: 400, 404 without its namespace, 409, 422."""
    kind = asked.kind
    value = with_defaults(kind, check_body(kind, body, asked.namespace, ""))
    if "status" in kind.parts and isinstance(body, dict) and "status" in body and kind != NAMESPACES:
        value.pop("status", None)
        value = with_defaults(kind, value)
    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"):
        value["metadata"].pop(field, None)
    check_new(kind, value)
    if kind.namespaced and store.find(NAMESPACES, "", asked.namespace) is None:
        raise not_found(NAMESPACES, asked.namespace)
    return store.create(kind, value, keep=keep)


def update(store: Store, asked: Asked, body: Any, *, keep: bool) -> Object:
    """Replace an object, its status or its scale; raises `ApiError`: 400, 404, 409, 422."""
    stored = store.get(asked.kind, asked.namespace, asked.name)
    if asked.part == "scale":
        value = with_scale(asked.kind, stored, body)
    else:
        value = check_body(asked.kind, body, asked.namespace, asked.name)
    return as_asked(asked, _store(store, asked, stored, value, keep=keep))


def patch(store: Store, asked: Asked, media: str, body: Any, *, keep: bool) -> Object:
    """Apply a JSON, merge or strategic patch; raises `ApiError`: 400, 404, 409, 415, 422."""
    stored = store.get(asked.kind, asked.namespace, asked.name)
    shown = as_asked(asked, stored)
    changed = check_body_of_patch(asked.kind, patcher(asked.kind, media)(shown, body))
    if asked.part == "scale":
        changed = with_scale(asked.kind, stored, changed)
    value = check_body(asked.kind, changed, asked.namespace, asked.name)
    return as_asked(asked, _store(store, asked, stored, value, keep=keep))


def check_body_of_patch(kind: Kind, value: Any) -> Object:
    """Return what a patch made; raises `ApiError` 400 when it is no object any more."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        raise bad_request(f"the patch leaves no {kind.name}")
    return value


def patcher(kind: Kind, media: str) -> Callable[[Object, Any], Any]:
    """Return what applies a patch of this media type; raises `ApiError` 415."""
    match media:
        case "application/json-patch+json":
            return json_patched
        case "application/merge-patch+json":
            return merge_patched
        case "application/strategic-merge-patch+json" if not kind.custom:
            return strategic_merged
    accepted = [JSON_PATCH, MERGE_PATCH, *([] if kind.custom else [STRATEGIC_PATCH]), APPLY_PATCH]
    raise unsupported_patch(", ".join(accepted))


def as_asked(asked: Asked, value: Object) -> Object:
    """Return the object, or its scale where that is asked for."""
    return as_scale(value) if asked.part == "scale" else value


def _store(store: Store, asked: Asked, stored: Object, value: Object, *, keep: bool) -> Object:
    kind = asked.kind
    if asked.part in ("status", "finalize"):
        kept = copied(stored)
        kept["metadata"]["resourceVersion"] = value["metadata"].get("resourceVersion")
        kept["status"] = value.get("status") or {}
        return store.update(kind, kept, keep=keep)
    if "status" in kind.parts:
        value = {key: one for key, one in value.items() if key != "status"}
        if "status" in stored:
            value["status"] = stored["status"]
    value = with_defaults(kind, value)
    if "status" in kind.parts and "status" in stored:
        value["status"] = stored["status"]
    check_change(kind, value, stored)
    return store.update(kind, value, keep=keep)


def delete(store: Store, asked: Asked, options: Any, *, keep: bool) -> Object:
    """Delete an object; returns it while it is going, else a `Status`; raises `ApiError`: 404, 409."""
    stored = store.get(asked.kind, asked.namespace, asked.name)
    options = options if isinstance(options, dict) else {}
    wanted = {"name": asked.name, **(options.get("preconditions") or {})}
    store.check_version(asked.kind, {**stored, "metadata": {**wanted, "namespace": namespace_of(stored)}})
    if keep:
        if options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents"):
            let_go(store, stored)
        store.delete(asked.kind, asked.namespace, asked.name)
        if (going := store.find(asked.kind, asked.namespace, asked.name)) is not None:
            return going
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": name_of(stored),
            "group": asked.kind.group,
            "kind": asked.kind.plural,
            "uid": stored["metadata"]["uid"],
        },
    }
