"""Create, update, patch and delete, as far as the request's path and body decide them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_cluster.applying import applied
from local_cluster.defaults import with_defaults
from local_cluster.errors import bad_request, terminating, unsupported_patch
from local_cluster.garbage import let_go
from local_cluster.kinds import NAMESPACES, Kind
from local_cluster.managed_fields import noted
from local_cluster.objects import Object, copied, is_going, name_of, namespace_of
from local_cluster.patches import json_patched, merge_patched
from local_cluster.request import Asked
from local_cluster.scaling import as_scale, with_scale
from local_cluster.schemas import check_fields
from local_cluster.store import Store
from local_cluster.strategic import strategic_merged
from local_cluster.validation import check_body, check_change, check_new

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_SERVERS_OWN = ("resourceVersion", "uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class Write:
    """A write of one object by somebody who calls himself `manager`; without `keep` nothing is stored."""

    store: Store
    asked: Asked
    manager: str
    keep: bool = True
    strict: bool = False  # unknown fields are refused

    def create(self, body: Any) -> Object:
        """Create an object; raises `ApiError`: 400, 404 without its namespace, 409, 422."""
        kind, namespace = self.asked.kind, self.asked.namespace
        value = self._checked(body, "")
        if "status" in kind.parts:
            value.pop("status", None)
        value = with_defaults(kind, value)
        for field in _SERVERS_OWN:
            value["metadata"].pop(field, None)
        check_new(kind, value)
        if kind.namespaced and is_going(self.store.get(NAMESPACES, "", namespace)):
            raise terminating(kind, value["metadata"].get("name") or "", namespace)
        if "managedFields" not in value["metadata"]:
            value["metadata"]["managedFields"] = noted(kind, None, value, self.manager)
        return self.store.create(kind, value, keep=self.keep)

    def update(self, body: Any) -> Object:
        """Replace an object, its status or its scale; raises `ApiError`: 400, 404, 409, 422."""
        asked = self.asked
        stored = self.store.get(asked.kind, asked.namespace, asked.name)
        value = with_scale(asked.kind, stored, body) if asked.part == "scale" else body
        return self._keep(stored, self._checked(value, asked.name))

    def patch(self, media: str, body: Any) -> Object:
        """Apply a JSON, merge or strategic patch; raises `ApiError`: 400, 404, 409, 415, 422."""
        asked = self.asked
        stored = self.store.get(asked.kind, asked.namespace, asked.name)
        value = _whole(asked.kind, _patcher(asked.kind, media)(as_asked(asked, stored), body))
        if asked.part == "scale":
            value = with_scale(asked.kind, stored, value)
        return self._keep(stored, self._checked(value, asked.name))

    def apply(self, body: Any, *, force: bool) -> Object:
        """Apply what the manager wants, by server-side apply; raises `ApiError`: 400, 404, 409, 422."""
        asked = self.asked
        stored = self.store.find(asked.kind, asked.namespace, asked.name)
        wanted = self._checked(body, asked.name)
        wanted["metadata"].pop("managedFields", None)
        value = applied(asked.kind, stored, wanted, self.manager, force=force)
        return self.create(value) if stored is None else self._keep(stored, value, is_apply=True)

    def _checked(self, body: Any, name: str) -> Object:
        value = check_body(self.asked.kind, body, self.asked.namespace, name)
        if self.strict:
            check_fields(self.asked.kind, value)
        return value

    def _keep(self, stored: Object, value: Object, *, is_apply: bool = False) -> Object:
        kind, is_status = self.asked.kind, self.asked.part in ("status", "finalize")
        if is_status:
            changed = copied(stored)
            changed["metadata"]["resourceVersion"] = value["metadata"].get("resourceVersion")
            changed["status"] = value.get("status") or {}
        else:
            changed = with_defaults(kind, {key: one for key, one in value.items() if key != "status"})
            if "status" in stored:
                changed["status"] = stored["status"]
            check_change(kind, changed, stored)
        entries = value["metadata"].get("managedFields") if is_apply else None
        if entries is None:
            entries = noted(kind, stored, changed, self.manager, status=is_status)
        changed["metadata"]["managedFields"] = entries
        return as_asked(self.asked, self.store.update(kind, changed, keep=self.keep))


def _whole(kind: Kind, value: Any) -> Object:
    """Return what a patch made; raises `ApiError` 400 when it is no object any more."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        raise bad_request(f"the patch leaves no {kind.name}")
    return value


def _patcher(kind: Kind, media: str) -> Callable[[Object, Any], Any]:
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
