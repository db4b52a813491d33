"""The StatefulSet controller: numbered pods, started in order and updated from the last to the first.

As on a cluster, an ordered set waits for a pod that is not ready, even where a template would mend it: the broken pod
has to be deleted by somebody.
"""

from local_cluster.events import Events
from local_cluster.kinds import CLAIMS, PODS, REVISIONS, STATEFUL_SETS
from local_cluster.objects import Object, copied, is_going, labels_of, name_of, namespace_of
from local_cluster.pods import is_ready
from local_cluster.replica_sets import pod_from, ready_age
from local_cluster.revisions import POD_LABEL, ensure_revision, forget_oldest, template_in
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

_COMPONENT = "statefulset-controller"


class StatefulSetController:
    """Keeps the pods of every StatefulSet."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self.queue = WorkQueue(self._look)
        store.listen(STATEFUL_SETS, lambda change: self.queue.add(_key(change.object)))
        store.listen(PODS, self._when_pod_changed)

    def _when_pod_changed(self, change: Change) -> None:
        for owner in change.object["metadata"].get("ownerReferences") or []:
            if owner["kind"] == STATEFUL_SETS.name:
                self.queue.add((namespace_of(change.object), owner["name"]))

    def _look(self, key: Key) -> None:
        value = self._store.find(STATEFUL_SETS, *key)
        if value is None or is_going(value):
            return
        update = ensure_revision(self._store, value)
        name = (value.get("status") or {}).get("currentRevision") or name_of(update)
        current = self._store.find(REVISIONS, key[0], name) or update
        self._act(value, current, update)
        self._write_status(value, current, update)

    def _pods(self, value: Object) -> dict[int, Object]:
        return {int(name_of(pod).rpartition("-")[2]): pod for pod in self._store.owned_by(value, PODS)}

    def _act(self, value: Object, current: Object, update: Object) -> None:
        pods, wanted = self._pods(value), int(value["spec"]["replicas"])
        ordered = value["spec"]["podManagementPolicy"] == "OrderedReady"
        rolling = value["spec"]["updateStrategy"].get("rollingUpdate") or {}
        partition = int(rolling.get("partition") or 0)
        for number in range(wanted):
            pod = pods.get(number)
            if pod is None:
                self._create(value, number, current if number < partition else update)
            if ordered and (pod is None or not is_ready(pod)):
                return
        for number in sorted((one for one in pods if one >= wanted), reverse=True):
            self._delete(value, pods[number])
            if ordered:
                return
        if value["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            self._roll(value, pods, name_of(update), range(wanted - 1, partition - 1, -1))

    def _roll(self, value: Object, pods: dict[int, Object], revision: str, numbers: range) -> None:
        for number in numbers:
            pod = pods.get(number)
            if pod is None or is_going(pod):
                return
            if labels_of(pod).get(POD_LABEL) != revision:
                self._delete(value, pod)
                return
            if not is_ready(pod):
                return

    def _create(self, value: Object, number: int, revision: Object) -> None:
        name = f"{name_of(value)}-{number}"
        pod = copied(pod_from(template_in(revision), value, name=name))
        pod["metadata"].setdefault("labels", {}).update(
            {
                POD_LABEL: name_of(revision),
                "statefulset.kubernetes.io/pod-name": name,
                "apps.kubernetes.io/pod-index": str(number),
            }
        )
        pod["spec"].update(hostname=name, subdomain=value["spec"].get("serviceName") or "")
        for claim in value["spec"].get("volumeClaimTemplates") or []:
            self._claim(value, claim, name, pod)
        self._store.create(PODS, pod)
        message = f"create Pod {name} in StatefulSet {name_of(value)} successful"
        self._events.tell(value, "SuccessfulCreate", message, component=_COMPONENT)

    def _claim(self, value: Object, claim: Object, pod_name: str, pod: Object) -> None:
        name = f"{claim['metadata']['name']}-{pod_name}"
        volume = {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": name}}
        pod["spec"].setdefault("volumes", []).append(volume)
        if self._store.find(CLAIMS, namespace_of(value), name) is None:
            metadata = {"name": name, "namespace": namespace_of(value)}
            made = {"metadata": metadata, "spec": copied(claim["spec"]), "status": {"phase": "Bound"}}
            self._store.create(CLAIMS, made)

    def _delete(self, value: Object, pod: Object) -> None:
        if is_going(pod):
            return
        self._store.delete(PODS, namespace_of(pod), name_of(pod))
        message = f"delete Pod {name_of(pod)} in StatefulSet {name_of(value)} successful"
        self._events.tell(value, "SuccessfulDelete", message, component=_COMPONENT)

    def _write_status(self, value: Object, current: Object, update: Object) -> None:
        pods = list(self._pods(value).values())
        wait = int(value["spec"].get("minReadySeconds") or 0)
        ages = [ready_age(pod) for pod in pods if is_ready(pod)]
        updated = sum(labels_of(pod).get(POD_LABEL) == name_of(update) for pod in pods if not is_going(pod))
        wanted = int(value["spec"]["replicas"])
        if updated == len(pods) == len(ages) == wanted:
            current = update
        status = {
            "observedGeneration": value["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": len(ages),
            "availableReplicas": sum(age >= wait for age in ages),
            "currentReplicas": sum(labels_of(pod).get(POD_LABEL) == name_of(current) for pod in pods),
            "updatedReplicas": updated,
            "currentRevision": name_of(current),
            "updateRevision": name_of(update),
            "collisionCount": 0,
        }
        self._store.update(STATEFUL_SETS, {**value, "status": status})
        if young := [wait - age for age in ages if age < wait]:
            self.queue.add_after(_key(value), min(young))
        used = {labels_of(pod).get(POD_LABEL, "") for pod in pods}
        forget_oldest(self._store, value, used | {name_of(current), name_of(update)})


def _key(value: Object) -> Key:
    return namespace_of(value), name_of(value)
