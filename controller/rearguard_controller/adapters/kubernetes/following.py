"""What is followed of a cluster: workloads and their revisions, by one mirror for each namespace and kind.

Here: which mirrors there are, what of them belongs together, and when the first pod of a version became ready.
Never here: questions to the API server itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from rearguard_controller.adapters.kubernetes import objects
from rearguard_controller.adapters.kubernetes.api import Api
from rearguard_controller.adapters.kubernetes.mirror import Mirror
from rearguard_controller.adapters.kubernetes.objects import PLURALS, Revision, Workload, list_path
from rearguard_controller.adapters.kubernetes.troubles import Pod, pod
from rearguard_controller.errors import SourceError
from rearguard_controller.model import KubernetesRelease, WorkloadKind

Key = tuple[str, str]  # namespace and plural
Changed = Callable[[str], None]  # told of a workload as people write it: deployment shop/checkout


class Following:
    """Follows what it is asked about, from the first question on."""

    def __init__(self, api: Api, changed: Changed | None) -> None:
        """Nothing is followed yet; `changed` is told of each workload that got another pod template."""
        self._api = api
        self._changed = changed
        self._workloads: dict[Key, Mirror[Workload]] = {}
        self._revisions: dict[Key, Mirror[Revision]] = {}
        self._pods: dict[str, Mirror[Pod]] = {}  # by namespace
        self._tasks: list[asyncio.Task[None]] = []
        self._ready_at: dict[str, float] = {}  # uid of a ReplicaSet -> when its first pod became ready, steady clock

    async def close(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def workload(self, release: KubernetesRelease) -> tuple[Workload, tuple[Revision, ...]]:
        """A workload and its revisions.

        Raises:
            SourceError: they are not known, or there is no such workload.
        """
        mirror, revisions = self._workloads_of(release.namespace, release.kind), self.revisions_of(release)
        workload = (await mirror.objects()).get(release.name)
        if workload is None:
            raise SourceError(f"There is no {release.workload}.", hint="Are namespace, kind and name right?")
        every = (await revisions.objects()).values()
        return workload, tuple(each for each in every if each.owner == workload.uid)

    async def workloads(self, namespace: str, kind: WorkloadKind) -> tuple[Workload, ...]:
        """Every workload of a kind in a namespace.

        Raises:
            SourceError: they are not known.
        """
        return tuple((await self._workloads_of(namespace, kind).objects()).values())

    async def pods(self, namespace: str) -> tuple[Pod, ...]:
        """Every pod of a namespace.

        Raises:
            SourceError: they are not known.
        """
        if namespace not in self._pods:
            self._pods[namespace] = Mirror(self._api, f"/api/v1/namespaces/{namespace}/pods", pod)
            self._follow(self._pods[namespace], (namespace, "pods"))
        return tuple((await self._pods[namespace].objects()).values())

    async def runs(self, release: KubernetesRelease, version: str) -> tuple[str, ...]:
        """The images with their digests that the pods of a version run; empty where they are not known."""
        try:
            workload, revisions = await self.workload(release)
            pods = await self.pods(release.namespace)
        except SourceError:
            return ()
        owners = {workload.uid, *(each.uid for each in revisions)}
        own = (each for each in pods if each.template == version and each.owner in owners and not each.going)
        return tuple(sorted({run for each in own for run in each.runs}))

    def revisions_of(self, release: KubernetesRelease) -> Mirror[Revision]:
        """The revisions of all workloads of a kind in the namespace."""
        key = release.namespace, PLURALS[release.kind].revisions
        if key not in self._revisions:
            read = objects.replica_set if release.kind is WorkloadKind.DEPLOYMENT else objects.controller_revision
            self._revisions[key] = Mirror(self._api, list_path(*key), read, self._note_ready)
            self._follow(self._revisions[key], key)
        return self._revisions[key]

    def ready_for(self, revision: Revision) -> float | None:
        """Seconds since the first pod of a ReplicaSet became ready; None where that was not seen."""
        at = self._ready_at.get(revision.uid)
        return None if at is None else time.monotonic() - at

    def _workloads_of(self, namespace: str, kind: WorkloadKind) -> Mirror[Workload]:
        key = namespace, PLURALS[kind].workloads
        if key not in self._workloads:
            self._workloads[key] = Mirror(self._api, list_path(*key), objects.workload, self._telling(kind))
            self._follow(self._workloads[key], key)
        return self._workloads[key]

    def _follow(self, mirror: Mirror[Any], key: Key) -> None:
        self._tasks.append(asyncio.create_task(mirror.run(), name=f"follow {'/'.join(key)}"))

    def _note_ready(self, before: Revision, now: Revision) -> None:
        if now.ready and not before.ready:
            self._ready_at[now.uid] = time.monotonic()
        elif not now.ready:
            self._ready_at.pop(now.uid, None)

    def _telling(self, kind: WorkloadKind) -> Callable[[Workload, Workload], None]:
        def told(before: Workload, now: Workload) -> None:
            same = (before.template, before.newest, before.uid) == (now.template, now.newest, now.uid)
            if self._changed is not None and not same:
                self._changed(f"{kind} {now.namespace}/{now.name}")

        return told
