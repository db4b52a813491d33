"""The Deployment controller: a ReplicaSet for each template, numbered by revision, and the roll from old to new."""

from local_cluster.events import Events
from local_cluster.kinds import DEPLOYMENTS, REPLICA_SETS
from local_cluster.objects import (
    Object,
    annotations_of,
    copied,
    is_going,
    name_of,
    namespace_of,
    owner_reference,
    short_hash,
)
from local_cluster.rollout import (
    DESIRED,
    HASH_LABEL,
    MAXIMUM,
    REVISION,
    Limits,
    annotations_for,
    counts_of,
    deadline_left,
    is_complete,
    limits_of,
    new_one,
    revision_of,
    status_of,
)
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

_COMPONENT = "deployment-controller"


class DeploymentController:
    """Keeps the ReplicaSets of every Deployment."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self.queue = WorkQueue(self._look)
        store.listen(DEPLOYMENTS, lambda change: self.queue.add(_key(change.object)))
        store.listen(REPLICA_SETS, self._when_replica_set_changed)

    def _when_replica_set_changed(self, change: Change) -> None:
        for owner in change.object["metadata"].get("ownerReferences") or []:
            if owner["kind"] == DEPLOYMENTS.name:
                self.queue.add((namespace_of(change.object), owner["name"]))

    def _look(self, key: Key) -> None:
        deployment = self._store.find(DEPLOYMENTS, *key)
        if deployment is None or is_going(deployment):
            return
        found = True
        if not deployment["spec"].get("paused"):
            found = self._ensure_new(deployment)
            deployment = self._store.get(DEPLOYMENTS, *key)
        new, old = self._sets(deployment)
        if deployment["spec"].get("paused") or self._resized(deployment, [*old, *([new] if new else [])]):
            self._resize(deployment, new, old)
        elif new is not None and deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, new, old)
        elif new is not None:
            self._roll(deployment, new, old)
        self._write_status(key, found=found)

    def _sets(self, deployment: Object) -> tuple[Object | None, list[Object]]:
        everyone = self._store.owned_by(deployment, REPLICA_SETS)
        new = new_one(deployment, everyone)
        return new, [one for one in everyone if one is not new]

    def _ensure_new(self, deployment: Object) -> bool:
        """Make or renumber the ReplicaSet of the present template; returns whether it was there before."""
        new, old = self._sets(deployment)
        revision = max((revision_of(one) for one in old), default=0) + 1
        annotations = annotations_for(deployment, new, revision, limits_of(deployment))
        if new is None:
            made = self._made(deployment, annotations)
        elif annotations != annotations_of(new):
            changed = {**new, "metadata": {**new["metadata"], "annotations": annotations}}
            made = self._store.update(REPLICA_SETS, changed)
        else:
            made = new
        number = annotations_of(made)[REVISION]
        if annotations_of(deployment).get(REVISION) != number:
            numbered = copied(deployment)
            numbered["metadata"].setdefault("annotations", {})[REVISION] = number
            self._store.update(DEPLOYMENTS, numbered)
        return new is not None

    def _made(self, deployment: Object, annotations: dict[str, str]) -> Object:
        salt = 0
        while True:
            template = copied(deployment["spec"]["template"])
            code = short_hash([template, salt] if salt else template)
            name = f"{name_of(deployment)}-{code}"
            if self._store.find(REPLICA_SETS, namespace_of(deployment), name) is None:
                break
            salt += 1
        template["metadata"].setdefault("labels", {})[HASH_LABEL] = code
        selector = copied(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH_LABEL] = code
        spec: Object = {"replicas": 0, "selector": selector, "template": template}
        if "minReadySeconds" in deployment["spec"]:
            spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
        metadata = {
            "name": name,
            "namespace": namespace_of(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment)],
        }
        return self._store.create(REPLICA_SETS, {"metadata": metadata, "spec": spec, "status": {"replicas": 0}})

    def _resized(self, deployment: Object, everyone: list[Object]) -> bool:
        """Return true when somebody changed the number of replicas since the last roll."""
        wanted = str(deployment["spec"]["replicas"])
        active = [one for one in everyone if int(one["spec"]["replicas"])]
        return any(annotations_of(one).get(DESIRED, wanted) != wanted for one in active)

    def _resize(self, deployment: Object, new: Object | None, old: list[Object]) -> None:
        """Bring the number of pods to what is wanted without rolling: the largest ReplicaSet takes the difference."""
        limits = limits_of(deployment)
        active = [one for one in [*([new] if new else []), *old] if int(one["spec"]["replicas"])]
        if not active:
            if new is not None:
                self._scale(deployment, new, limits.wanted, limits)
            return
        largest = max(active, key=lambda one: int(one["spec"]["replicas"]))
        others = sum(int(one["spec"]["replicas"]) for one in active) - int(largest["spec"]["replicas"])
        allowed = limits.wanted + (limits.surge if len(active) > 1 else 0)
        for one in active:
            size = max(allowed - others, 0) if one is largest else int(one["spec"]["replicas"])
            self._scale(deployment, one, size, limits)

    def _recreate(self, deployment: Object, new: Object, old: list[Object]) -> None:
        limits = limits_of(deployment)
        for one in old:
            self._scale(deployment, one, 0, limits)
        if not any(int((one.get("status") or {}).get("replicas") or 0) for one in old):
            self._scale(deployment, new, limits.wanted, limits)

    def _roll(self, deployment: Object, new: Object, old: list[Object]) -> None:
        """Let the new set grow as far as the surge allows; old ones shrink as far as nobody misses them."""
        limits = limits_of(deployment)
        size = int(new["spec"]["replicas"])
        total = size + sum(int(one["spec"]["replicas"]) for one in old)
        room = max(limits.wanted + limits.surge - total, 0)
        grown = limits.wanted if size > limits.wanted else size + min(room, limits.wanted - size)
        new = self._scale(deployment, new, grown, limits)
        old = self._drop_unhealthy(deployment, new, old, limits)
        available = counts_of(new, [new, *old]).available
        spare = available - (limits.wanted - limits.unavailable)
        for one in sorted(old, key=revision_of):
            shrink = min(int(one["spec"]["replicas"]), max(spare, 0))
            if shrink:
                self._scale(deployment, one, int(one["spec"]["replicas"]) - shrink, limits)
                spare -= shrink

    def _drop_unhealthy(self, deployment: Object, new: Object, old: list[Object], limits: Limits) -> list[Object]:
        """Take pods away first that serve nobody, so that a roll does not wait for them."""
        everyone = [new, *old]
        total = sum(int(one["spec"]["replicas"]) for one in everyone)
        waiting = int(new["spec"]["replicas"]) - int((new.get("status") or {}).get("availableReplicas") or 0)
        spare = total - (limits.wanted - limits.unavailable) - waiting
        kept = []
        for one in sorted(old, key=revision_of):
            size = int(one["spec"]["replicas"])
            broken = size - int((one.get("status") or {}).get("availableReplicas") or 0)
            drop = max(min(spare, broken), 0)
            spare -= drop
            kept.append(self._scale(deployment, one, size - drop, limits) if drop else one)
        return kept

    def _scale(self, deployment: Object, replica_set: Object, size: int, limits: Limits) -> Object:
        before = int(replica_set["spec"]["replicas"])
        changed = copied(replica_set)
        changed["spec"]["replicas"] = size
        changed["metadata"].setdefault("annotations", {}).update(
            {DESIRED: str(limits.wanted), MAXIMUM: str(limits.wanted + limits.surge)}
        )
        stored = self._store.update(REPLICA_SETS, changed)
        if size != before:
            way = "up" if size > before else "down"
            message = f"Scaled {way} replica set {name_of(replica_set)} from {before} to {size}"
            self._events.tell(deployment, "ScalingReplicaSet", message, component=_COMPONENT)
        return stored

    def _write_status(self, key: Key, *, found: bool) -> None:
        deployment = self._store.get(DEPLOYMENTS, *key)
        new, old = self._sets(deployment)
        counts = counts_of(new, [*old, *([new] if new else [])])
        status = status_of(deployment, counts, new, found=found)
        deployment = self._store.update(DEPLOYMENTS, {**deployment, "status": status})
        left = deadline_left(deployment)
        if left is not None:
            self.queue.add_after(key, left + 0.01)
        if new is not None and is_complete(deployment, counts):
            self._forget_oldest(deployment, old)

    def _forget_oldest(self, deployment: Object, old: list[Object]) -> None:
        limit = int(deployment["spec"]["revisionHistoryLimit"])
        empty = [
            one
            for one in old
            if not int(one["spec"]["replicas"]) and not int((one.get("status") or {}).get("replicas") or 0)
        ]
        for one in sorted(empty, key=revision_of)[: max(len(old) - limit, 0)]:
            self._store.delete(REPLICA_SETS, namespace_of(one), name_of(one))


def _key(value: Object) -> Key:
    return namespace_of(value), name_of(value)
