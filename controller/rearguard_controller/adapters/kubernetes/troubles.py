"""What Kubernetes itself knows of a rollout that goes wrong. Pure.

Here: from a workload, its revisions and its pods to the troubles of its newest pod template. Reasons of waiting
containers are the kubelet's (kubernetes: pkg/kubelet/container/sync_result.go, pkg/kubelet/images/types.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rearguard_controller.adapters.foreign_json import decoder, entries, mapping, text
from rearguard_controller.adapters.kubernetes.objects import HASH_LABEL, Document, Revision, Workload
from rearguard_controller.adapters.kubernetes.rollout import DEADLINE

ROLLOUT_STUCK = "KubernetesRolloutStuck"
CRASH_LOOP = "KubernetesCrashLoop"
IMAGE_PULL = "KubernetesImagePull"
PODS_NOT_READY = "KubernetesPodsNotReady"

CRASHES = frozenset({"CrashLoopBackOff"})
NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
RESTARTS = 3  # of one container that count as a loop, whatever the kubelet calls it now
HOLDS = {CRASH_LOOP: 10.0, IMAGE_PULL: 10.0, PODS_NOT_READY: 60.0}  # seconds that each must be seen without a break


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, as far as it tells of its template.

    Attributes:
        owner: uid of the ReplicaSet, StatefulSet or DaemonSet that keeps it.
        template: hash by which it belongs to a revision; empty where it names none.
        waiting: reason and words of each container that waits.
        runs: image and digest of each container whose image is named by a tag; `shop:v1@sha256:…`.
        restarts: of the container that restarted most.
    """

    name: str
    owner: str
    template: str
    ready: bool
    going: bool
    restarts: int = 0
    waiting: tuple[tuple[str, str], ...] = field(default=())
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble of the newest pod template.

    Attributes:
        name: of the alert that tells of it.
        detail: one clause.
        pods: how many pods it is about.
        older_ready: how many pods of older templates are ready, beside them.
        older_too: how many of those have the same trouble: then the release is not to blame.
    """

    name: str
    detail: str
    pods: int
    older_ready: int
    older_too: int = 0


@decoder
def pod(document: Document) -> Pod:
    """A pod of any workload."""
    about = mapping(document.get("metadata"), "metadata")
    labels = mapping(about.get("labels") or {}, "metadata.labels")
    status = mapping(document.get("status") or {}, "status")
    containers = [
        each
        for key in ("initContainerStatuses", "containerStatuses")
        for _, each in entries(status.get(key), f"status.{key}")
    ]
    owner = next(
        (each.get("uid") for _, each in entries(about.get("ownerReferences"), "ownerReferences")
         if each.get("controller") is True),
        "",
    )  # fmt: skip
    revision = labels.get("controller-revision-hash")
    shown = labels.get(HASH_LABEL) or (str(revision).rpartition("-")[2] if isinstance(revision, str) else "")
    ready = any(
        each.get("type") == "Ready" and each.get("status") == "True"
        for _, each in entries(status.get("conditions"), "status.conditions")
    )
    counts = [each.get("restartCount") for each in containers]
    return Pod(
        name=text(about.get("name"), "metadata.name"),
        owner=owner if isinstance(owner, str) else "",
        template=shown if isinstance(shown, str) else "",
        ready=ready,
        going=about.get("deletionTimestamp") is not None,
        restarts=max((each for each in counts if isinstance(each, int)), default=0),
        waiting=tuple(_waiting(containers)),
        runs=tuple(_running(document, status)),
    )


def _running(document: Document, status: Document) -> Iterator[str]:
    """What containers really run. An image that is named by its digest is left out: the template says it all."""
    spec = mapping(document.get("spec") or {}, "spec")
    images = {each.get("name"): each.get("image") for _, each in entries(spec.get("containers"), "spec.containers")}
    for _, each in entries(status.get("containerStatuses"), "status.containerStatuses"):
        image, found = images.get(each.get("name")), each.get("imageID")
        if isinstance(image, str) and isinstance(found, str) and "@" not in image and "@" in found:
            yield f"{image}@{found.rpartition('@')[2]}"


def _waiting(containers: Sequence[Document]) -> Iterator[tuple[str, str]]:
    for each in containers:
        state = each.get("state")
        waiting = state.get("waiting") if isinstance(state, dict) else None
        if isinstance(waiting, dict) and isinstance(waiting.get("reason"), str):
            words = waiting.get("message")
            yield str(waiting["reason"]), words if isinstance(words, str) else ""


def troubles(
    it: Workload, newest: Revision, revisions: Sequence[Revision], pods: Sequence[Pod]
) -> tuple[Trouble, ...]:
    """The troubles of a workload's newest template, by its own pods; none of a paused workload."""
    if it.paused:
        return ()
    owners = {it.uid, *(each.uid for each in revisions)}
    own = [each for each in pods if each.owner in owners and not each.going]
    new = [each for each in own if each.template == newest.hash]
    return tuple(_found(it, newest, new, [each for each in own if each.template != newest.hash]))


def _found(it: Workload, newest: Revision, new: Sequence[Pod], old: Sequence[Pod]) -> Iterator[Trouble]:
    ready, version = sum(each.ready for each in old), newest.hash
    condition = it.condition("Progressing")
    if condition is not None and condition.reason == DEADLINE and it.observed >= it.generation:
        detail = f"the rollout of {version} made no progress ({DEADLINE})"
        yield Trouble(ROLLOUT_STUCK, detail, max(1, it.wanted - it.available), ready, len(old) - ready)
    pulling = [(each, words) for each in new for reason, words in each.waiting if reason in NO_IMAGE]
    if pulling:
        count = len({each.name for each, _ in pulling})
        words = f": {pulling[0][1]}" if pulling[0][1] else ""
        detail = f"the image of {_pods(count)} of {version} cannot be pulled{words}"
        yield Trouble(IMAGE_PULL, detail, count, ready, sum(map(_lacks_image, old)))
    looping = [each for each in new if _loops(each)]
    if looping:
        verb = "keeps" if len(looping) == 1 else "keep"
        most = max(each.restarts for each in looping)
        detail = f"{_pods(len(looping))} of {version} {verb} crashing ({most} restarts)"
        yield Trouble(CRASH_LOOP, detail, len(looping), ready, sum(map(_loops, old)))
    if new and not any(each.ready for each in new) and ready and not pulling and not looping:
        verb = "is" if ready == 1 else "are"
        detail = f"no pod of {version} is ready, while {_pods(ready)} of the version before {verb}"
        yield Trouble(PODS_NOT_READY, detail, len(new), ready)


def _lacks_image(pod: Pod) -> bool:
    return any(reason in NO_IMAGE for reason, _ in pod.waiting)


def _loops(pod: Pod) -> bool:
    return any(reason in CRASHES for reason, _ in pod.waiting) or (pod.restarts >= RESTARTS and not pod.ready)


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
