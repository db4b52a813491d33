"""The one patch by which a workload goes back to an older pod template, and what may not be patched.

Here: pure rules. A patch holds only while the workload is as it was read: a deploy that lands in between wins.
"""

from __future__ import annotations

from collections.abc import Iterator

from rearguard_controller.adapters.foreign_json import mapping
from rearguard_controller.adapters.kubernetes.api import pointing, with_test
from rearguard_controller.adapters.kubernetes.objects import CHANGE_CAUSE, Document
from rearguard_controller.adapters.kubernetes.orders import Order

FROM, ROLLBACK = "rearguard.dev/rolled-back-from", "rearguard.dev/rollback"


def back_to(workload: Document, template: Document, order: Order) -> list[Document]:
    """The operations of a JSON patch that puts a pod template back.

    Args:
        workload: as it was just read; the patch is refused if it is not the same any more.
        template: as it stands in a workload.
        order: for the annotations that `kubectl describe` and `kubectl rollout history` show.
    """
    about, spec = mapping(workload.get("metadata"), "metadata"), mapping(workload.get("spec"), "spec")
    operations: list[Document] = [{"op": "replace", "path": "/spec/template", "value": template}]
    if not isinstance(about.get("annotations"), dict):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for name, value in notes(order).items():
        operations.append({"op": "add", "path": pointing("metadata", "annotations", name), "value": value})
    return with_test(
        operations,
        ("/metadata/resourceVersion", about.get("resourceVersion")),
        ("/spec/template", spec.get("template")),
    )


def notes(order: Order) -> dict[str, str]:
    """What is written on the workload."""
    by = f" (rollback {order.rollback})" if order.rollback else ""
    cause = f"rearguard: from {order.from_version} back to {order.to_version}{by}"
    return {CHANGE_CAUSE: cause, FROM: order.from_version} | ({ROLLBACK: order.rollback} if order.rollback else {})


def needed(template: Document) -> Iterator[tuple[str, str]]:
    """What the pods of a template cannot start without: pairs of plural and name.

    Those that the template marks as optional are left out.
    """
    spec = mapping(template.get("spec"), "spec")
    account = spec.get("serviceAccountName")
    if isinstance(account, str) and account not in ("", "default"):
        yield "serviceaccounts", account
    yield from _of_volumes(spec)
    for key in ("initContainers", "containers"):
        for container in _dicts(spec.get(key)):
            yield from _of_container(container)


def _of_volumes(spec: Document) -> Iterator[tuple[str, str]]:
    for volume in _dicts(spec.get("volumes")):
        projected = volume.get("projected")
        sources = projected.get("sources") if isinstance(projected, dict) else None
        for source in [volume, *_dicts(sources)]:
            yield from _named(source.get("configMap"), "configmaps", "name")
            yield from _named(source.get("secret"), "secrets", "secretName" if source is volume else "name")
        yield from _named(volume.get("persistentVolumeClaim"), "persistentvolumeclaims", "claimName")


def _of_container(container: Document) -> Iterator[tuple[str, str]]:
    for source in _dicts(container.get("envFrom")):
        yield from _named(source.get("configMapRef"), "configmaps", "name")
        yield from _named(source.get("secretRef"), "secrets", "name")
    for variable in _dicts(container.get("env")):
        origin = variable.get("valueFrom")
        if isinstance(origin, dict):
            yield from _named(origin.get("configMapKeyRef"), "configmaps", "name")
            yield from _named(origin.get("secretKeyRef"), "secrets", "name")


def _named(reference: object, plural: str, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(reference, dict) and reference.get("optional") is not True:
        name = reference.get(key)
        if isinstance(name, str) and name:
            yield plural, name


def _dicts(value: object) -> Iterator[Document]:
    yield from (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()
