"""What it takes to pause an owner, and to let it go on. Pure.

Here: Argo CD by its Application, Flux by its Kustomization or HelmRelease. Argo CD's automated sync is switched off,
and no sync window is set: a window belongs to the AppProject, so it would hold back every Application of it, and it
has a beginning and an end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rearguard_controller.adapters.foreign_json import mapping
from rearguard_controller.adapters.kubernetes.api import pointing, with_test
from rearguard_controller.adapters.kubernetes.objects import Document
from rearguard_controller.adapters.kubernetes.owners import TRACKING_ID
from rearguard_controller.adapters.kubernetes.patches import ROLLBACK
from rearguard_controller.model import Owner

FORMER = "rearguard.dev/automated-before"  # on an Application: what spec.syncPolicy.automated was, as JSON
_APPLICATION = "Application"
_PATHS: Mapping[str, str] = {
    _APPLICATION: "/apis/argoproj.io/v1alpha1/namespaces/{}/applications/{}",
    "Kustomization": "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{}/kustomizations/{}",
    "HelmRelease": "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases/{}",
}
RESOURCES: Mapping[str, tuple[str, str]] = {
    kind: (path.split("/")[2], path.split("/")[6]) for kind, path in _PATHS.items()
}
"""API group and plural of each kind of object by which an owner is paused."""


def path_of_owner(owner: Owner) -> str:
    """The path of the object by which an owner acts."""
    return _PATHS[owner.kind].format(owner.namespace, owner.name)


def is_paused(owner: Owner, document: Document) -> bool:
    """Whether an owner changes nothing by itself now.

    Source: argo-cd.readthedocs.io, user-guide/auto_sync: `automated` that is there counts as switched on unless
    `enabled` is false.
    """
    spec = _part(document, "spec")
    if owner.kind != _APPLICATION:
        return spec.get("suspend") is True
    automated = _part(spec, "syncPolicy").get("automated")
    return automated is None or (isinstance(automated, dict) and automated.get("enabled") is False)


def contested(owner: Owner, document: Document) -> str:
    """Why a pause would not last, as one clause; empty if it would.

    Sources: argo-cd.readthedocs.io, user-guide/auto_sync: an ApplicationSet writes `automated` back. fluxcd/pkg,
    ssa/manager_apply.go: an applied `spec.suspend` is taken back by force, and a field that is not applied is left.
    """
    about = _part(document, "metadata")
    if owner.kind == _APPLICATION:
        for reference in _dicts(about.get("ownerReferences")):
            if reference.get("controller") is True or reference.get("kind") == "ApplicationSet":
                return (
                    f"{reference.get('kind')} {reference.get('name')} owns the Application and would undo the pause"
                )
        parent = str(_part(about, "annotations").get(TRACKING_ID, "")).partition(":")[0]
        if parent and parent != owner.name:
            return f"the Application is itself part of Application {parent}, which would undo the pause"
    path = ("f:spec", "f:syncPolicy", "f:automated") if owner.kind == _APPLICATION else ("f:spec", "f:suspend")
    for entry in _dicts(about.get("managedFields")):
        by_hand = str(entry.get("manager", "")).startswith("kubectl")  # comes again only if a person does
        if entry.get("operation") == "Apply" and not by_hand and _has(entry.get("fieldsV1"), path):
            field = ".".join(part.removeprefix("f:") for part in path)
            return f"{entry.get('manager')} applies {field} of the {owner.kind} and would undo the pause"
    return ""


def pause(owner: Owner, document: Document, rollback: str) -> list[Document]:
    """The operations of a JSON patch that pauses an owner; they hold only while its object is as it was read."""
    about, spec = mapping(document.get("metadata"), "metadata"), mapping(document.get("spec"), "spec")
    operations: list[Document] = []
    notes = {ROLLBACK: rollback} if rollback else {}
    if owner.kind == _APPLICATION:
        notes[FORMER] = json.dumps(_part(spec, "syncPolicy").get("automated"))
        operations.append({"op": "remove", "path": "/spec/syncPolicy/automated"})
    else:
        operations.append({"op": "add", "path": "/spec/suspend", "value": True})
    if not isinstance(about.get("annotations"), dict):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for name, value in notes.items():
        operations.append({"op": "add", "path": pointing("metadata", "annotations", name), "value": value})
    return with_test(operations, ("/metadata/resourceVersion", about.get("resourceVersion")))


def was_paused_for(document: Document, rollback: str) -> bool:
    """Whether it was this rollback that paused the owner."""
    return bool(rollback) and _part(_part(document, "metadata"), "annotations").get(ROLLBACK) == rollback


def going_on(owner: Owner, document: Document) -> str:
    """The command by which a person lets a paused owner go on.

    Args:
        owner: who was paused.
        document: its object, after the pause.
    """
    resource = f"{RESOURCES[owner.kind][1]}.{RESOURCES[owner.kind][0]}"
    change: object = {"spec": {"suspend": None}}
    if owner.kind == _APPLICATION:
        change = {"spec": {"syncPolicy": {"automated": _former(document)}}}
    patch = json.dumps(change, separators=(",", ":"))
    return f"kubectl -n {owner.namespace} patch {resource} {owner.name} --type merge -p '{patch}'"


def is_at_work(owner: Owner, document: Document) -> bool:
    """Whether a sync that began before the pause goes on: that one may still put the version back."""
    if owner.kind != _APPLICATION:
        return False
    state = _part(_part(document, "status"), "operationState")
    return "operation" in document or state.get("phase") == "Running"


def _former(document: Document) -> object:
    kept = _part(_part(document, "metadata"), "annotations").get(FORMER)
    try:
        return json.loads(kept) if isinstance(kept, str) else {}
    except ValueError:
        return {}


def _has(fields: object, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(fields, dict) or part not in fields:
            return False
        fields = fields[part]
    return True


def _part(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _dicts(value: object) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
