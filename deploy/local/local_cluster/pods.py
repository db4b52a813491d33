"""The kubelet of the one node: gives pods an address, has their containers run, and writes their status."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

from local_cluster.events import Events
from local_cluster.kinds import PODS
from local_cluster.objects import (
    Object,
    condition,
    copied,
    is_going,
    loopback_addresses,
    name_of,
    namespace_of,
    time_text,
    uid_of,
)
from local_cluster.pod_scripts import Scripts, Seen, see_script
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

NODE = "stand-in"
_COMPONENT = "kubelet"


class Runner(Protocol):
    """What runs the containers of some pods."""

    def takes(self, pod: Object) -> bool:
        """Return true when this pod is the runner's."""

    def see(self, pod: Object, container: Object) -> Seen:
        """Return how the container is now; starts it when it is new."""

    def end(self, pod: Object) -> bool:
        """Have the pod's containers end; returns true once none is left."""


class ScriptRunner:
    """Runs containers that only follow their script."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._began: dict[str, float] = {}

    def takes(self, pod: Object) -> bool:  # noqa: ARG002 - it takes what no other runner wants
        """Return true: any pod will do."""
        return True

    def see(self, pod: Object, container: Object) -> Seen:
        """Return what the script says for the age of the pod."""
        now = asyncio.get_running_loop().time()
        age = now - self._began.setdefault(uid_of(pod), now)
        return see_script(self._scripts.of(pod, container["image"]), pod, container, age)

    def end(self, pod: Object) -> bool:
        """Return true: a script ends at once."""
        self._began.pop(uid_of(pod), None)
        return True


class Kubelet:
    """Keeps the status of all pods up to date."""

    def __init__(self, store: Store, events: Events, runners: list[Runner], digests: Mapping[str, str]) -> None:
        """Ask the runners in order; `digests` says what an image's tag points to where a test wants it moved."""
        self._store = store
        self._events = events
        self._runners = runners
        self._digests = digests
        self._addresses = loopback_addresses("127.64.0.0")  # a pod's process can listen there
        self._ended: dict[str, Callable[[], bool]] = {}
        self.queue = WorkQueue(self._look)
        store.listen(PODS, self._when_changed)

    def _when_changed(self, change: Change) -> None:
        self.queue.add((namespace_of(change.object), name_of(change.object)))

    def look_again(self, pod: Object) -> None:
        """Have a look at the pod: something about its containers has changed."""
        self.queue.add((namespace_of(pod), name_of(pod)))

    def look_at_all(self) -> None:
        """Have a look at every pod: a script has changed."""
        for pod in self._store.all(PODS):
            self.look_again(pod)

    def _runner(self, pod: Object) -> Runner:
        return next(runner for runner in self._runners if runner.takes(pod))

    def _look(self, key: Key) -> None:
        pod = self._store.find(PODS, *key)
        if pod is None:
            return
        runner = self._runner(pod)
        if is_going(pod):
            if runner.end(pod) and not pod["metadata"].get("finalizers"):
                self._store.remove(PODS, *key)
            return
        if not (pod.get("status") or {}).get("podIP"):
            pod = self._scheduled(pod)
        seen = [runner.see(pod, container) for container in pod["spec"]["containers"]]
        status = self._status(pod, seen)
        if status != pod.get("status"):
            before = pod.get("status") or {}
            pod = self._store.update(PODS, {**pod, "status": status})
            self._tell(pod, before)
        soonest = min((one.changes_in for one in seen if one.changes_in is not None), default=None)
        if soonest is not None:
            self.queue.add_after(key, soonest)

    def _scheduled(self, pod: Object) -> Object:
        pod = copied(pod)
        node = pod["spec"].setdefault("nodeName", NODE)
        text = next(self._addresses)
        status = pod.setdefault("status", {})
        status.update(phase="Pending", podIP=text, podIPs=[{"ip": text}], hostIP="127.0.0.1", startTime=time_text())
        pod = self._store.update(PODS, pod)
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._events.tell(pod, "Scheduled", message, component="default-scheduler")
        return pod

    def _status(self, pod: Object, seen: list[Seen]) -> Object:
        old = pod.get("status") or {}
        containers = list(zip(pod["spec"]["containers"], seen, strict=True))
        ready = all(one.ready for one in seen)
        started = all(one.running or one.restarts for one in seen)
        unready = [container["name"] for container, one in containers if not one.ready]
        why = (
            {} if ready else {"reason": "ContainersNotReady", "message": f"containers with unready status: {unready}"}
        )
        old_states = {one["name"]: one for one in old.get("containerStatuses") or []}
        return {
            **old,
            "phase": "Running" if started or old.get("phase") == "Running" else "Pending",
            "qosClass": "BestEffort",
            "conditions": [
                _condition(pod, "PodReadyToStartContainers", holds=True),
                _condition(pod, "Initialized", holds=True),
                _condition(pod, "Ready", holds=ready, **why),
                _condition(pod, "ContainersReady", holds=ready, **why),
                _condition(pod, "PodScheduled", holds=True),
            ],
            "containerStatuses": [
                self._container_status(container, one, old_states.get(container["name"]))
                for container, one in containers
            ],
        }

    def _container_status(self, container: Object, seen: Seen, old: Object | None) -> Object:
        image = container["image"]
        pulled = seen.waiting not in ("ErrImagePull", "ImagePullBackOff")
        status: Object = {
            "name": container["name"],
            "image": image,
            "imageID": self.image_id(image) if pulled else "",
            "ready": seen.ready,
            "started": seen.running,
            "restartCount": seen.restarts,
            "state": {},
            "lastState": (old or {}).get("lastState") or {},
        }
        if pulled:
            status["containerID"] = f"stand-in://{hashlib.sha256(image.encode()).hexdigest()}"
        was = (old or {}).get("state") or {}
        if seen.running:
            same = "running" in was and (old or {}).get("restartCount") == seen.restarts
            status["state"] = was if same else {"running": {"startedAt": time_text()}}
        else:
            status["state"] = {"waiting": {"reason": seen.waiting or "ContainerCreating"}}
            if seen.message:
                status["state"]["waiting"]["message"] = seen.message
            if "running" in was:
                end = {"exitCode": seen.exit_code, "reason": "Error", "finishedAt": time_text()}
                status["lastState"] = {"terminated": {**end, "startedAt": was["running"]["startedAt"]}}
        return status

    def image_id(self, image: str) -> str:
        """Return the image with the digest that its tag points to."""
        repository, _, digest = image.partition("@")
        last = repository.rsplit("/", 1)[-1]
        bare = repository[: len(repository) - len(last)] + last.partition(":")[0]
        digest = digest or self._digests.get(image) or "sha256:" + hashlib.sha256(image.encode()).hexdigest()
        return f"{bare}@{digest}"

    def _tell(self, pod: Object, before: Object) -> None:
        old = {one["name"]: one for one in before.get("containerStatuses") or []}
        for one in pod["status"]["containerStatuses"]:
            was = (old.get(one["name"]) or {}).get("state") or {}
            waiting = one["state"].get("waiting") or {}
            if "running" in one["state"] and "running" not in was:
                for reason in ("Created", "Started"):
                    message = f"{reason} container {one['name']}"
                    self._events.tell(pod, reason, message, component=_COMPONENT)
            elif waiting.get("reason") == "ErrImagePull":
                message = f'Failed to pull image "{one["image"]}": {waiting["message"]}'
                self._events.tell(pod, "Failed", message, component=_COMPONENT, warning=True)
            elif waiting.get("reason") in ("ImagePullBackOff", "CrashLoopBackOff"):
                self._events.tell(pod, "BackOff", waiting["message"], component=_COMPONENT, warning=True)


def _condition(pod: Object, kind: str, *, holds: bool, **why: str) -> Object:
    old = condition(pod, kind)
    state = "True" if holds else "False"
    moment = old["lastTransitionTime"] if old and old["status"] == state else time_text()
    return {"type": kind, "status": state, "lastProbeTime": None, "lastTransitionTime": moment, **why}


def is_ready(pod: Object) -> bool:
    """Return true when the pod's Ready condition holds and it is not being deleted."""
    ready = condition(pod, "Ready")
    return bool(ready and ready["status"] == "True") and not is_going(pod)
