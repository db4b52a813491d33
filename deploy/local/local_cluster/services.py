"""Services: an address of their own on loopback that forwards to the ready pods they select, and an EndpointSlice.

A client finds a service at `spec.clusterIP` and the port of its manifest, as in a cluster, but without its DNS name.
A port that cannot be opened is told as an Event, and the service is not reached there.
"""

import asyncio
import itertools
from contextlib import suppress

from local_cluster.events import Events
from local_cluster.kinds import ENDPOINT_SLICES, PODS, SERVICES
from local_cluster.objects import (
    Object,
    copied,
    is_going,
    labels_of,
    loopback_addresses,
    name_of,
    namespace_of,
    owner_reference,
)
from local_cluster.pods import is_ready
from local_cluster.selectors import matches
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

_CHUNK = 64 * 1024
_Target = tuple[str, int]


class ServiceController:
    """Keeps the address, the endpoints and the forwarding of every Service."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._addresses = loopback_addresses("127.128.0.0")
        self._forwarders: dict[tuple[Key, int], _Forwarder] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.queue = WorkQueue(self._look)
        store.listen(SERVICES, lambda change: self.queue.add(_key(change.object)))
        store.listen(PODS, self._when_pod_changed)

    def _when_pod_changed(self, change: Change) -> None:
        for service in self._store.all(SERVICES, namespace_of(change.object)):
            self.queue.add(_key(service))

    def _look(self, key: Key) -> None:
        service = self._store.find(SERVICES, *key)
        if service is None:
            for one in [one for one in self._forwarders if one[0] == key]:
                self._forwarders.pop(one).close()
            return
        if not service["spec"].get("selector"):
            return
        if not service["spec"].get("clusterIP"):
            service = self._with_address(service)
        pods = self.pods_of(service)
        self._write_slice(service, pods)
        if service["spec"]["clusterIP"] != "None":
            for port in service["spec"].get("ports") or []:
                self._forward(key, service, port, [pod for pod in pods if is_ready(pod)])

    def pods_of(self, service: Object) -> list[Object]:
        """Return the pods that a service selects and that have an address, ready or not."""
        selector = {"matchLabels": service["spec"]["selector"]}
        pods = self._store.all(PODS, namespace_of(service))
        return [
            pod
            for pod in pods
            if matches(selector, labels_of(pod)) and (pod.get("status") or {}).get("podIP") and not is_going(pod)
        ]

    def _with_address(self, service: Object) -> Object:
        address = next(self._addresses)
        addressed = copied(service)
        addressed["spec"].update(clusterIP=address, clusterIPs=[address])
        return self._store.update(SERVICES, addressed)

    def _write_slice(self, service: Object, pods: list[Object]) -> None:
        name = f"{name_of(service)}-stand-in"
        ports = [
            {"name": port.get("name", ""), "port": number, "protocol": "TCP"}
            for port in service["spec"].get("ports") or []
            if (number := _target_port(port, pods[0] if pods else None))
        ]
        metadata = {
            "name": name,
            "namespace": namespace_of(service),
            "labels": {**labels_of(service), "kubernetes.io/service-name": name_of(service)},
            "ownerReferences": [owner_reference(service)],
        }
        content = {"addressType": "IPv4", "endpoints": [_endpoint(pod) for pod in pods], "ports": ports}
        old = self._store.find(ENDPOINT_SLICES, namespace_of(service), name)
        if old is None:
            self._store.create(ENDPOINT_SLICES, {"metadata": metadata, **content})
        else:
            self._store.update(ENDPOINT_SLICES, {**old, **content})

    def _forward(self, key: Key, service: Object, port: Object, ready: list[Object]) -> None:
        number = int(port["port"])
        targets = [(str(pod["status"]["podIP"]), _target_port(port, pod)) for pod in ready]
        if forwarder := self._forwarders.get((key, number)):
            forwarder.targets = targets
            return
        forwarder = self._forwarders[key, number] = _Forwarder(targets)
        task = asyncio.get_running_loop().create_task(self._open(forwarder, service, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, forwarder: "_Forwarder", service: Object, port: int) -> None:
        try:
            await forwarder.open(service["spec"]["clusterIP"], port)
        except OSError as error:
            message = f"port {port} cannot be opened: {error}"
            self._events.tell(service, "NotReachable", message, component="kube-proxy", warning=True)

    def close(self) -> None:
        """Close every address."""
        for task in self._tasks:
            task.cancel()
        for forwarder in self._forwarders.values():
            forwarder.close()
        self._forwarders.clear()


class _Forwarder:
    """One open port, and where its connections go."""

    def __init__(self, targets: list[_Target]) -> None:
        self.targets = targets
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, address: str, port: int) -> None:
        """Listen; raises `OSError`."""
        self._server = await asyncio.start_server(self._serve, address, port)

    def close(self) -> None:
        """Close the port and its connections."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            if self.targets:
                address, port = self.targets[next(self._turn) % len(self.targets)]
                there_reader, there_writer = await asyncio.open_connection(address, port)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, there_writer))
                    group.create_task(_pass_on(there_reader, writer))
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


def _key(value: Object) -> Key:
    return namespace_of(value), name_of(value)


def _target_port(port: Object, pod: Object | None) -> int:
    """Return the number of the port in the pod, 0 for a name that the pod does not have."""
    target: int | str = port.get("targetPort") or port["port"]
    if not isinstance(target, str):
        return int(target)
    containers = pod["spec"]["containers"] if pod else []
    named = [one for container in containers for one in container.get("ports") or [] if one.get("name") == target]
    return int(named[0]["containerPort"]) if named else 0


def _endpoint(pod: Object) -> Object:
    reference = {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": pod["metadata"]["uid"]}
    ready = is_ready(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "nodeName": pod["spec"].get("nodeName"),
        "targetRef": reference,
    }
