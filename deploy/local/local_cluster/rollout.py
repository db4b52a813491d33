"""The arithmetic of a Deployment's rollout: which ReplicaSet is the new one, how far it may grow, what its state is.

Pure functions of objects, but for the clock; the controller in `deployments` applies them.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local_cluster.objects import Object, annotations_of, condition, name_of, read_time, time_text

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
}


def bare_template(replica_set: Object) -> Object:
    """Return the template of a ReplicaSet as its Deployment had it, without the hash label."""
    template: Object = replica_set["spec"]["template"]
    labels = {key: value for key, value in template["metadata"].get("labels", {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def revision_of(value: Object) -> int:
    """Return the revision that is written on a Deployment or ReplicaSet, 0 for none."""
    return int(annotations_of(value).get(REVISION, 0))


def new_one(deployment: Object, replica_sets: list[Object]) -> Object | None:
    """Return the ReplicaSet whose template is the Deployment's, the oldest of several; None before it is made."""
    template = deployment["spec"]["template"]
    fitting = [one for one in replica_sets if bare_template(one) == template]
    return min(fitting, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)


def annotations_for(
    deployment: Object, replica_set: Object | None, revision: int, limits: "Limits"
) -> dict[str, str]:
    """Return the annotations of the new ReplicaSet: those of the Deployment, the revision, and what it was before."""
    old = dict(annotations_of(replica_set)) if replica_set else {}
    copied = {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    annotations = {**old, **copied, DESIRED: str(limits.wanted), MAXIMUM: str(limits.wanted + limits.surge)}
    before = int(old.get(REVISION, 0))
    annotations[REVISION] = str(max(revision, before))
    if 0 < before < revision:
        history = old.get(REVISION_HISTORY, "")
        annotations[REVISION_HISTORY] = f"{history},{before}" if history else str(before)
    return annotations


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods a Deployment wants, may have more meanwhile, and may lack."""

    wanted: int
    surge: int
    unavailable: int


def limits_of(deployment: Object) -> Limits:
    """Return the limits, with percentages made numbers: a surge is rounded up, what may lack is rounded down."""
    wanted = int(deployment["spec"]["replicas"])
    strategy = deployment["spec"]["strategy"]
    if strategy["type"] == "Recreate":
        return Limits(wanted, 0, wanted)
    rolling = strategy.get("rollingUpdate") or {}
    surge = _number(rolling.get("maxSurge", "25%"), wanted, up=True)
    lack = _number(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and lack == 0:
        lack = 1
    return Limits(wanted, surge, min(lack, wanted))


def _number(value: Any, whole: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        part = whole * float(value[:-1]) / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


@dataclass(frozen=True, slots=True)
class Counts:
    """Pods of a Deployment, as its ReplicaSets count them."""

    total: int
    updated: int
    ready: int
    available: int


def counts_of(new: Object | None, replica_sets: list[Object]) -> Counts:
    """Return the counts over all ReplicaSets; `updated` those of the new one."""

    def count(field: str, among: list[Object]) -> int:
        return sum(int((one.get("status") or {}).get(field) or 0) for one in among)

    return Counts(
        total=count("replicas", replica_sets),
        updated=count("replicas", [new] if new else []),
        ready=count("readyReplicas", replica_sets),
        available=count("availableReplicas", replica_sets),
    )


def is_complete(deployment: Object, counts: Counts) -> bool:
    """Return true when only updated pods are left, all available."""
    wanted = int(deployment["spec"]["replicas"])
    return counts.updated == wanted and counts.total == wanted and counts.available == wanted


def status_of(deployment: Object, counts: Counts, new: Object | None, *, found: bool) -> Object:
    """Return the status of a Deployment; `found` when the new ReplicaSet was there before the rollout."""
    old = deployment.get("status") or {}
    limits = limits_of(deployment)
    numbers = {
        "replicas": counts.total,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.available,
        "unavailableReplicas": max(limits.wanted - counts.available, 0),
    }
    status: Object = {field: number for field, number in numbers.items() if number}
    status["observedGeneration"] = deployment["metadata"]["generation"]
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    enough = counts.available >= limits.wanted - limits.unavailable
    available = _condition(
        deployment,
        "Available",
        state="True" if enough else "False",
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    progressing = _progress(deployment, counts, new, found=found)
    status["conditions"] = [available] + ([progressing] if progressing else [])
    return status


def _progress(deployment: Object, counts: Counts, new: Object | None, *, found: bool) -> Object | None:
    old = condition(deployment, "Progressing")
    if deployment["spec"].get("paused"):
        return _condition(deployment, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    if new is None:
        return old
    quoted = f'ReplicaSet "{name_of(new)}"'
    if is_complete(deployment, counts):
        message = f"{quoted} has successfully progressed."
        return _condition(deployment, "Progressing", "True", "NewReplicaSetAvailable", message)
    if old is None or quoted not in old["message"].replace("replica set", "ReplicaSet"):
        word, reason = ("Found", "FoundNewReplicaSet") if found else ("Created", "NewReplicaSetCreated")
        message = f'{word} new replica set "{name_of(new)}"'
        return _condition(deployment, "Progressing", "True", reason, message, moved=True)
    if counts.total == counts.updated and old["reason"] == "NewReplicaSetAvailable":
        return old  # a pod that fails later is no rollout
    before = deployment.get("status") or {}
    if (
        counts.updated > int(before.get("updatedReplicas") or 0)
        or counts.ready > int(before.get("readyReplicas") or 0)
        or counts.available > int(before.get("availableReplicas") or 0)
        or counts.total - counts.updated < int(before.get("replicas") or 0) - int(before.get("updatedReplicas") or 0)
    ):
        message = f"{quoted} is progressing."
        return _condition(deployment, "Progressing", "True", "ReplicaSetUpdated", message, moved=True)
    left = deadline_left(deployment)
    if left is not None and left <= 0:
        message = f"{quoted} has timed out progressing."
        return _condition(deployment, "Progressing", "False", "ProgressDeadlineExceeded", message)
    return old


def deadline_left(deployment: Object) -> float | None:
    """Return the seconds until the rollout counts as stuck; None when it is over, paused or stuck already."""
    old = condition(deployment, "Progressing")
    if old is None or old["status"] != "True" or old["reason"] == "NewReplicaSetAvailable":
        return None
    past = (datetime.now(UTC) - read_time(old["lastUpdateTime"])).total_seconds()
    return float(deployment["spec"]["progressDeadlineSeconds"]) - past


def _condition(value: Object, kind: str, state: str, reason: str, message: str, *, moved: bool = False) -> Object:
    old = condition(value, kind)
    if old and not moved and (old["status"], old["reason"], old["message"]) == (state, reason, message):
        return old
    now = time_text()
    changed = old is None or old["status"] != state
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now if changed or old is None else old["lastTransitionTime"],
    }
