"""The ReplicaSet controller: as many pods as asked for, and a status that counts them."""

from datetime import UTC, datetime

from local_cluster.events import Events
from local_cluster.kinds import PODS, REPLICA_SETS
from local_cluster.objects import (
    Object,
    condition,
    copied,
    is_going,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    read_time,
)
from local_cluster.pods import is_ready
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue


class ReplicaSetController:
    """Keeps the pods of every ReplicaSet."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self.queue = WorkQueue(self._look)
        store.listen(REPLICA_SETS, lambda change: self.queue.add(_key(change.object)))
        store.listen(PODS, self._when_pod_changed)

    def _when_pod_changed(self, change: Change) -> None:
        for owner in change.object["metadata"].get("ownerReferences") or []:
            if owner["kind"] == REPLICA_SETS.name:
                self.queue.add((namespace_of(change.object), owner["name"]))

    def _look(self, key: Key) -> None:
        value = self._store.find(REPLICA_SETS, *key)
        if value is None or is_going(value):
            return
        pods = living_pods(self._store, value)
        wanted = int(value["spec"]["replicas"])
        for _ in range(wanted - len(pods)):
            self._create_pod(value)
        for pod in sorted(pods, key=_least_missed)[: max(len(pods) - wanted, 0)]:
            self._store.delete(PODS, namespace_of(pod), name_of(pod))
            message = f"Deleted pod: {name_of(pod)}"
            self._events.tell(value, "SuccessfulDelete", message, component="replicaset-controller")
        self._write_status(value)

    def _create_pod(self, value: Object) -> None:
        pod = self._store.create(PODS, pod_from(value["spec"]["template"], value))
        message = f"Created pod: {name_of(pod)}"
        self._events.tell(value, "SuccessfulCreate", message, component="replicaset-controller")

    def _write_status(self, value: Object) -> None:
        pods = living_pods(self._store, value)
        wait = int(value["spec"].get("minReadySeconds") or 0)
        ages = [ready_age(pod) for pod in pods if is_ready(pod)]
        wanted_labels = value["spec"]["template"]["metadata"].get("labels") or {}
        status: Object = {
            "replicas": len(pods),
            "fullyLabeledReplicas": sum(wanted_labels.items() <= labels_of(pod).items() for pod in pods),
            "readyReplicas": len(ages),
            "availableReplicas": sum(age >= wait for age in ages),
        }
        status = {field: count for field, count in status.items() if count or field == "replicas"}
        status["observedGeneration"] = value["metadata"]["generation"]
        self._store.update(REPLICA_SETS, {**value, "status": status})
        young = [wait - age for age in ages if age < wait]
        if young:
            self.queue.add_after(_key(value), min(young))


def _key(value: Object) -> Key:
    return namespace_of(value), name_of(value)


def _least_missed(pod: Object) -> tuple[bool, bool, float]:
    """Order pods by which to delete first: not running, then not ready, then the youngest."""
    running = (pod.get("status") or {}).get("phase") == "Running"
    return running, is_ready(pod), -read_time(pod["metadata"]["creationTimestamp"]).timestamp()


def living_pods(store: Store, owner: Object) -> list[Object]:
    """Return the owner's pods that have neither ended nor begun to go."""
    pods = store.owned_by(owner, PODS)
    return [pod for pod in pods if not is_going(pod) and (pod.get("status") or {}).get("phase") not in _ENDED]


_ENDED = ("Succeeded", "Failed")


def ready_age(pod: Object) -> float:
    """Return for how many seconds the pod has been ready, 0 when it is not."""
    ready = condition(pod, "Ready")
    if not ready or ready["status"] != "True":
        return 0.0
    return (datetime.now(UTC) - read_time(ready["lastTransitionTime"])).total_seconds()


def pod_from(template: Object, owner: Object, *, name: str = "") -> Object:
    """Return a new pod of this template for the owner, with a generated name unless one is given."""
    pod = copied(template)
    metadata = {key: value for key, value in pod["metadata"].items() if value is not None}
    metadata["namespace"] = namespace_of(owner)
    metadata["ownerReferences"] = [owner_reference(owner)]
    if name:
        metadata["name"] = name
    else:
        metadata["generateName"] = f"{name_of(owner)}-"
    return {"metadata": metadata, "spec": pod["spec"], "status": {"phase": "Pending"}}
