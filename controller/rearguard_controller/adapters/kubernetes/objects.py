"""What the API server says of workloads and their revisions, as small records.

Here: which fields count, and the digest by which two pod templates are the same. An object that is not shaped as the
API promises raises `ShapeError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from rearguard_controller.adapters.foreign_json import ShapeError, decoder, entries, mapping, text
from rearguard_controller.model import KubernetesRelease, Labels, WorkloadKind
from rearguard_controller.times import moments

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Plural:
    """Where objects of a kind are found: the kind, its path segment, and the one of its revisions."""

    kind: str
    workloads: str
    revisions: str


PLURALS: Mapping[WorkloadKind, Plural] = {
    WorkloadKind.DEPLOYMENT: Plural("Deployment", "deployments", "replicasets"),
    WorkloadKind.STATEFUL_SET: Plural("StatefulSet", "statefulsets", "controllerrevisions"),
    WorkloadKind.DAEMON_SET: Plural("DaemonSet", "daemonsets", "controllerrevisions"),
}


def list_path(namespace: str, plural: str) -> str:
    """The path of all objects of a kind in a namespace; of all in the cluster if it is empty."""
    return f"/apis/apps/v1/{f'namespaces/{namespace}/' if namespace else ''}{plural}"


def path_of(release: KubernetesRelease) -> str:
    """The path of a target's workload."""
    return f"{list_path(release.namespace, PLURALS[release.kind].workloads)}/{release.name}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a workload says of itself."""

    kind: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet.

    Attributes:
        version: `resourceVersion`, by which a patch knows that nobody was faster.
        observed: the generation that its controller has seen.
        template: digest of the pod template.
        wanted, updated, available, total: pods: asked for, of the newest template, available, and all.
        newest: the revision that its controller names as the newest; empty if it names none.
        owners: kind and name of the object that controls it, if one does.
        managers: who wrote its fields.
    """

    namespace: str
    name: str
    uid: str
    version: str
    generation: int
    observed: int
    template: str
    images: tuple[str, ...] = ()
    paused: bool = False
    wanted: int = 1
    updated: int = 0
    available: int = 0
    total: int = 0
    newest: str = ""
    history: int | None = None
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    owners: tuple[tuple[str, str], ...] = ()
    managers: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of a kind, if it has one."""
        return next((each for each in self.conditions if each.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Revision:
    """A pod template that a workload has or had: a ReplicaSet, or a ControllerRevision.

    Attributes:
        hash: by which it is a version of the target.
        owner: uid of the workload.
        number: the higher, the later it was rolled out last.
        template: digest of the pod template.
    """

    namespace: str
    name: str
    uid: str
    hash: str
    owner: str
    number: int
    template: str
    created: float
    images: tuple[str, ...] = ()
    replicas: int = 0
    ready: int = 0


@decoder
def workload(document: Document) -> Workload:
    """A workload of any kind."""
    about, spec = mapping(document.get("metadata"), "metadata"), mapping(document.get("spec"), "spec")
    status = _part(document, "status")
    template = mapping(spec.get("template"), "spec.template")
    is_daemon = "desiredNumberScheduled" in status
    return Workload(
        namespace=text(about.get("namespace"), "metadata.namespace"),
        name=text(about.get("name"), "metadata.name"),
        uid=text(about.get("uid"), "metadata.uid"),
        version=text(about.get("resourceVersion"), "metadata.resourceVersion"),
        generation=_count(about, "generation"),
        observed=_count(status, "observedGeneration"),
        template=digest(template),
        images=images(template),
        paused=spec.get("paused") is True,
        wanted=_count(status, "desiredNumberScheduled") if is_daemon else _count(spec, "replicas", 1),
        updated=_count(status, "updatedNumberScheduled" if is_daemon else "updatedReplicas"),
        available=_count(status, "numberAvailable" if is_daemon else "availableReplicas"),
        total=_count(status, "currentNumberScheduled" if is_daemon else "replicas"),
        newest=_word(status, "updateRevision"),
        history=_count(spec, "revisionHistoryLimit", 10),
        labels=_texts(about, "labels"),
        annotations={name: value for name, value in _texts(about, "annotations").items() if not _is_bulk(name)},
        owners=tuple(
            (_word(each, "kind"), _word(each, "name"))
            for _, each in entries(about.get("ownerReferences"), "metadata.ownerReferences")
            if each.get("controller") is True
        ),
        managers=tuple(_word(each, "manager") for _, each in entries(about.get("managedFields"), "managedFields")),
        conditions=tuple(_conditions(status)),
    )


@decoder
def replica_set(document: Document) -> Revision:
    """A ReplicaSet as a revision of its Deployment."""
    about, spec = mapping(document.get("metadata"), "metadata"), mapping(document.get("spec"), "spec")
    template, status = mapping(spec.get("template"), "spec.template"), _part(document, "status")
    name = text(about.get("name"), "metadata.name")
    number = _texts(about, "annotations").get(REVISION, "0")
    return Revision(
        namespace=text(about.get("namespace"), "metadata.namespace"),
        name=name,
        uid=text(about.get("uid"), "metadata.uid"),
        hash=_texts(about, "labels").get(HASH_LABEL) or name.rpartition("-")[2],
        owner=_controller(about),
        number=int(number) if number.isascii() and number.isdigit() else 0,
        template=digest(template),
        created=_moment(about),
        images=images(template),
        replicas=_count(spec, "replicas", 1),
        ready=_count(status, "readyReplicas"),
    )


@decoder
def controller_revision(document: Document) -> Revision:
    """A ControllerRevision as a revision of its StatefulSet or DaemonSet."""
    about = mapping(document.get("metadata"), "metadata")
    template, name = template_of_data(document), text(about.get("name"), "metadata.name")
    return Revision(
        namespace=text(about.get("namespace"), "metadata.namespace"),
        name=name,
        uid=text(about.get("uid"), "metadata.uid"),
        hash=name.rpartition("-")[2],
        owner=_controller(about),
        number=_count(document, "revision"),
        template=digest(template),
        created=_moment(about),
        images=images(template),
    )


def template_of(document: Document) -> Document:
    """The pod template in a ReplicaSet or ControllerRevision, as it stands in the workload itself."""
    if "data" in document:
        return template_of_data(document)
    template = mapping(mapping(document.get("spec"), "spec").get("template"), "spec.template")
    about = _part(template, "metadata")
    labels = {name: value for name, value in _part(about, "labels").items() if name != HASH_LABEL}
    return {**template, "metadata": {**about, "labels": labels}}


def template_of_data(document: Document) -> Document:
    """The pod template in a ControllerRevision: its data are a strategic merge patch of the workload."""
    data = mapping(document.get("data"), "data")
    template = mapping(mapping(data.get("spec"), "data.spec").get("template"), "data.spec.template")
    return {name: value for name, value in template.items() if name != "$patch"}


def digest(template: Document) -> str:
    """A pod template's identity: the same for two that differ only in the hash label and in empty fields."""
    found = _trimmed(template)
    about = found.get("metadata") if isinstance(found, dict) else None
    if isinstance(about, dict) and isinstance(labels := about.get("labels"), dict):
        labels.pop(HASH_LABEL, None)
    return hashlib.sha256(orjson.dumps(found, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def images(template: Document) -> tuple[str, ...]:
    """The images of a pod template's containers, in their order."""
    containers = _part(template, "spec").get("containers")
    found = containers if isinstance(containers, list) else []
    return tuple(each["image"] for each in found if isinstance(each, dict) and isinstance(each.get("image"), str))


def _trimmed(value: object) -> object:
    """A value without null, empty mappings and empty lists in it: kubectl sends them, and the server drops some."""
    if isinstance(value, dict):
        found = ((str(name), _trimmed(item)) for name, item in value.items())
        return {name: item for name, item in found if item not in (None, {}, [])}
    if isinstance(value, list):
        return [_trimmed(item) for item in value]
    return value


def _conditions(status: Document) -> Iterator[Condition]:
    for _, each in entries(status.get("conditions"), "status.conditions"):
        yield Condition(_word(each, "type"), _word(each, "status"), _word(each, "reason"), _word(each, "message"))


def _controller(about: Document) -> str:
    """The uid of the object that controls this one; empty if none does."""
    for _, each in entries(about.get("ownerReferences"), "metadata.ownerReferences"):
        if each.get("controller") is True:
            return _word(each, "uid")
    return ""


def _moment(about: Document) -> float:
    try:
        return moments.seconds_of(text(about.get("creationTimestamp"), "metadata.creationTimestamp"))
    except ValueError:
        raise ShapeError("metadata.creationTimestamp is no time") from None


def _part(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _word(document: Document, name: str) -> str:
    found = document.get(name)
    return found if isinstance(found, str) else ""


def _count(document: Document, name: str, default: int = 0) -> int:
    found = document.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def _texts(document: Document, name: str) -> dict[str, str]:
    return {key: value for key, value in _part(document, name).items() if isinstance(value, str)}


def _is_bulk(annotation: str) -> bool:
    return annotation == "kubectl.kubernetes.io/last-applied-configuration"
