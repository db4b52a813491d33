"""The DaemonSet controller: a pod on each node, replaced as fast as `maxUnavailable` allows."""

import math
from typing import Any

from local_cluster.events import Events
from local_cluster.kinds import DAEMON_SETS, NODES, PODS
from local_cluster.objects import Object, copied, is_going, labels_of, name_of, namespace_of
from local_cluster.pods import is_ready
from local_cluster.replica_sets import pod_from, ready_age
from local_cluster.revisions import POD_LABEL, ensure_revision, forget_oldest, revision_hash, revisions_of
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

_COMPONENT = "daemonset-controller"


class DaemonSetController:
    """Keeps the pods of every DaemonSet."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self.queue = WorkQueue(self._look)
        store.listen(DAEMON_SETS, lambda change: self.queue.add(_key(change.object)))
        store.listen(PODS, self._when_pod_changed)

    def _when_pod_changed(self, change: Change) -> None:
        for owner in change.object["metadata"].get("ownerReferences") or []:
            if owner["kind"] == DAEMON_SETS.name:
                self.queue.add((namespace_of(change.object), owner["name"]))

    def _look(self, key: Key) -> None:
        value = self._store.find(DAEMON_SETS, *key)
        if value is None or is_going(value):
            return
        code = revision_hash(ensure_revision(self._store, value))
        taken = {pod["spec"].get("nodeName") for pod in self._store.owned_by(value, PODS)}
        for node in self._store.all(NODES):
            if name_of(node) not in taken:
                self._create(value, name_of(node), code)
        if value["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            self._roll(value, code)
        self._write_status(value, code)

    def _create(self, value: Object, node: str, code: str) -> None:
        pod = copied(pod_from(value["spec"]["template"], value))
        pod["metadata"].setdefault("labels", {})[POD_LABEL] = code
        pod["spec"]["nodeName"] = node
        pod = self._store.create(PODS, pod)
        self._events.tell(value, "SuccessfulCreate", f"Created pod: {name_of(pod)}", component=_COMPONENT)

    def _roll(self, value: Object, code: str) -> None:
        pods = self._store.owned_by(value, PODS)
        old = [pod for pod in pods if labels_of(pod).get(POD_LABEL) != code and not is_going(pod)]
        allowed = _number(value["spec"]["updateStrategy"]["rollingUpdate"].get("maxUnavailable", 1), len(pods))
        missing = sum(not is_ready(pod) for pod in pods if pod not in old or is_going(pod))
        for pod in sorted(old, key=is_ready):  # those that serve nobody first
            if is_ready(pod):
                if missing >= allowed:
                    return
                missing += 1
            self._store.delete(PODS, namespace_of(pod), name_of(pod))
            message = f"Deleted pod: {name_of(pod)}"
            self._events.tell(value, "SuccessfulDelete", message, component=_COMPONENT)

    def _write_status(self, value: Object, code: str) -> None:
        pods = [pod for pod in self._store.owned_by(value, PODS) if not is_going(pod)]
        wait = int(value["spec"].get("minReadySeconds") or 0)
        ages = [ready_age(pod) for pod in pods if is_ready(pod)]
        wanted, available = len(self._store.all(NODES)), sum(age >= wait for age in ages)
        status = {
            "observedGeneration": value["metadata"]["generation"],
            "desiredNumberScheduled": wanted,
            "currentNumberScheduled": len(pods),
            "updatedNumberScheduled": sum(labels_of(pod).get(POD_LABEL) == code for pod in pods),
            "numberReady": len(ages),
            "numberAvailable": available,
            "numberUnavailable": wanted - available,
            "numberMisscheduled": 0,
        }
        self._store.update(DAEMON_SETS, {**value, "status": status})
        if young := [wait - age for age in ages if age < wait]:
            self.queue.add_after(_key(value), min(young))
        used = {labels_of(pod).get(POD_LABEL) for pod in pods} | {code}
        in_use = {name_of(one) for one in revisions_of(self._store, value) if revision_hash(one) in used}
        forget_oldest(self._store, value, in_use)


def _key(value: Object) -> Key:
    return namespace_of(value), name_of(value)


def _number(value: Any, whole: int) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return max(math.ceil(whole * float(value[:-1]) / 100), 1)
    return max(int(value), 1)
