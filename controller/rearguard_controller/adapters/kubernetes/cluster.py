"""The cluster whose workloads are targets: which version serves, which there are, and going back to one.

Here: the whole of it for everybody outside. Reading comes from mirrors, one for each namespace and kind; changing
reads the workload itself first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from rearguard_controller.adapters.foreign_json import ShapeError, mapping
from rearguard_controller.adapters.kubernetes import draining, events, objects, patches, surroundings
from rearguard_controller.adapters.kubernetes.api import Api, ApiError, Document
from rearguard_controller.adapters.kubernetes.capacity import Move
from rearguard_controller.adapters.kubernetes.following import Changed, Following
from rearguard_controller.adapters.kubernetes.objects import PLURALS, Revision, Workload, list_path, path_of
from rearguard_controller.adapters.kubernetes.orders import Done, Order, Pods
from rearguard_controller.adapters.kubernetes.owners import owners
from rearguard_controller.adapters.kubernetes.permissions import denied
from rearguard_controller.adapters.kubernetes.rights import Lacking, lacking
from rearguard_controller.adapters.kubernetes.rollout import Progress, progress
from rearguard_controller.adapters.kubernetes.troubles import Trouble, troubles
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Drain, KubernetesRelease, Owner, OwnerRule, Ownership, Room, WorkloadKind
from rearguard_controller.wording import span

log = structlog.get_logger(__name__)

SETTLES = 3.0  # seconds in which the revision of a new template appears
LOOK_EVERY = 1.0  # seconds between two readings of a rollout
AGAIN = 0.2  # seconds after which a patch is tried again whose workload changed in its status only
ODD = "Is this the API server of a Kubernetes cluster?"
MOST_MISSING = 5  # things that a sentence names


class Read(NamedTuple):
    """A workload as it was read just now, with its revisions."""

    document: Document
    workload: Workload
    revisions: tuple[Revision, ...]


class Cluster:
    """One cluster. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, settings: KubernetesSettings, changed: Changed | None = None) -> None:
        """Nothing is read or connected yet; `changed` is told of each workload that got another pod template."""
        self._api = Api(settings)
        self._argocd = settings.argocd_namespace
        self._following = Following(self._api, changed)

    async def close(self) -> None:
        """End what is followed, and close open connections."""
        await self._following.close()
        await self._api.close()

    async def current(self, release: KubernetesRelease, *, fresh: bool = False) -> str:
        """The version whose pods are wanted now: the hash of the workload's pod template.

        Args:
            release: the target's.
            fresh: ask the API server itself; else what is followed may be as old as `mirror.STALE`.

        Raises:
            SourceError: it is not known.
        """
        if fresh:
            read = await self._read(release)
            return self._newest(release, read.workload, read.revisions).hash
        deadline = time.monotonic() + SETTLES
        while True:
            mirror = self._following.revisions_of(release)
            moved = asyncio.create_task(mirror.moved())
            try:
                try:
                    workload, revisions = await self._following.workload(release)
                    return self._newest(release, workload, revisions).hash
                except SourceError:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise
                    await asyncio.wait([moved], timeout=min(left, LOOK_EVERY))
            finally:
                moved.cancel()

    async def workloads(self, namespace: str, kind: WorkloadKind) -> tuple[Workload, ...]:
        """Every workload of a kind in a namespace.

        Raises:
            SourceError: they are not known.
        """
        return await self._following.workloads(namespace, kind)

    async def tell(self, release: KubernetesRelease, reason: str, said: str) -> None:
        """Write an Event about a workload; a failure is logged."""
        workload, _ = await self._following.workload(release)
        await events.tell(self._api, release, workload.uid, reason, said)

    async def versions(self, release: KubernetesRelease) -> frozenset[str]:
        """The versions whose templates the cluster still has."""
        _, revisions = await self._following.workload(release)
        return frozenset(each.hash for each in revisions)

    async def described(self, release: KubernetesRelease, version: str) -> str:
        """A version as people know it: its revision and images; empty if the cluster has it no more."""
        _, revisions = await self._following.workload(release)
        found = next((each for each in revisions if each.hash == version), None)
        return "" if found is None else f"revision {found.number}, {', '.join(found.images)}"

    async def pods(self, release: KubernetesRelease, version: str) -> Pods:
        """Whether a version really serves, which its template alone does not say.

        Raises:
            SourceError: it is not known.
        """
        workload, revisions = await self._following.workload(release)
        runs = await self._following.runs(release, version)
        found = next((each for each in revisions if each.hash == version), None)
        if release.kind is WorkloadKind.DEPLOYMENT:
            if found is None or not found.ready:
                return Pods(f"no pod of {version} is ready", runs=runs)
            return Pods(ready_for=self._following.ready_for(found), runs=runs)
        older = workload.total - workload.updated
        serves = workload.updated > 0 and workload.available > older
        unready = "" if serves or not workload.wanted else f"no pod of {version} is known to be available"
        return Pods(unready, runs=runs)

    async def ownership(self, release: KubernetesRelease) -> Ownership:
        """Who else changes a workload; a reading that failed is told in it."""
        try:
            workload, _ = await self._following.workload(release)
        except SourceError as error:
            return Ownership(fault=error.message)
        return Ownership(owners(workload, release.kind, self._argocd))

    async def unpausable(self, release: KubernetesRelease, owned: tuple[Owner, ...]) -> str:
        """Why an owner that is to be paused cannot be; empty if it can, or need not be."""
        return await surroundings.unpausable(self._api, owned) if release.owner is OwnerRule.PAUSE else ""

    async def room(self, release: KubernetesRelease, version: str) -> Room:
        """Whether a version's pods would find room; what could not be asked is told in it."""
        try:
            read = await self._read(release)
            template, why = await self._template(release, read, version)
        except SourceError as error:
            return Room(unknown=(error.message,))
        if template is None:
            return Room(unknown=(f"{why}.",))
        there = next((each.replicas for each in read.revisions if each.hash == version), 0)
        move = Move(release, read.workload, read.document, template, version, there)
        return await surroundings.room(self._api, move)

    async def pause(self, release: KubernetesRelease, order: Order) -> Done:
        """Pause whoever owns a workload. Asked again after any failure it does what is left to do."""
        try:
            workload = (await self._read(release)).workload
            owned = owners(workload, release.kind, self._argocd)
            return await surroundings.pause_all(self._api, release, workload.uid, owned, order.rollback)
        except SourceError as error:
            return Done(False, error.message)

    async def drain(self, it: Drain, rollback: str) -> Done:
        """Lead traffic away, or back. Asked again after any failure it does what is left to do."""
        return await draining.carry_out(self._api, it, rollback)

    async def undrainable(self, it: Drain) -> str:
        """Why an object cannot be drained; empty if it can."""
        return await draining.obstacle(self._api, it)

    async def troubles(self, release: KubernetesRelease) -> tuple[str, tuple[Trouble, ...]]:
        """The version of the newest pod template, and what Kubernetes itself knows of trouble with it.

        Raises:
            SourceError: it is not known.
        """
        workload, revisions = await self._following.workload(release)
        pods = await self._following.pods(release.namespace)
        newest = self._newest(release, workload, revisions)
        return newest.hash, troubles(workload, newest, revisions, pods)

    async def obstacle(self, release: KubernetesRelease) -> str:
        """What the controller's account may not do that a rollback needs, or why the workload cannot be changed."""
        why = await denied(self._api, release)
        if why:
            return why
        workload, _ = await self._following.workload(release)
        owned = owners(workload, release.kind, self._argocd)
        if why := await self.unpausable(release, owned):
            return f"{Ownership(owned)} owns {release.workload} and cannot be paused: {why}"
        return f"{release.workload} is paused" if workload.paused else ""

    async def lacking(self, namespace: str) -> tuple[Lacking, ...]:
        """Which verbs of the shipped Role the controller's account has not in a namespace."""
        return await lacking(self._api, namespace)

    async def prove(self, release: KubernetesRelease, order: Order) -> Done:
        """Whether a version could be gone back to now: it and what it needs are there, and the patch is accepted."""
        try:
            read = await self._read(release)
            template, why = await self._template(release, read, order.to_version)
            if why or template is None:
                return Done(False, why)
            missing, unknown = await self._missing(release, template)
            if missing:
                return Done(False, f"{order.to_version} needs what is not there any more: {missing}")
            await self._tried(release, read, patches.back_to(read.document, template, order))
        except ApiError as error:
            why = error.message.rstrip(".")
            if error.passes:
                return Done(False, f"the API server gave no verdict: {why}", unknown=True)
            return Done(False, f"the API server would not take it: {why}")
        except SourceError as error:
            return Done(False, error.message.rstrip("."))
        except ShapeError as error:
            return Done(False, f"the pod template of {order.to_version} cannot be read: {error}")
        known = f"; not known whether {unknown} are there" if unknown else ""
        return Done(True, f"the API server would take it{known}")

    async def _tried(self, release: KubernetesRelease, read: Read, operations: list[Document]) -> None:
        """Try a patch as a dry run; one that only a change of the status refuses would be tried again, and counts."""
        try:
            await self._api.patch(path_of(release), operations, dry_run=True)
        except ApiError as error:
            if not error.is_conflict or (await self._read(release)).workload.template != read.workload.template:
                raise

    async def activate(self, release: KubernetesRelease, order: Order) -> Done:
        """Put a version's template back, and follow until all pods are of it and available.

        If it serves already, it is only followed. Asked again after any failure it does what is left to do.
        """
        deadline = time.monotonic() + release.timeout
        told: list[str] = []
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + release.timeout):
                refusal = await self._patched(release, order, told)
                if refusal is not None:
                    return refusal
                return await self._rolled_out(release, order, told)
        except TimeoutError:
            last = told[-1] if told else "the API server gave no usable answer"
            detail = f"{order.to_version} was not rolled out within {span(release.timeout)}: {last}"
            log.warning("rollout_too_slow", workload=release.workload, late=time.monotonic() - deadline)
            return Done(False, f"{detail}{_stuck(release)}", "\n".join(told), timed_out=True)

    async def _patched(self, release: KubernetesRelease, order: Order, told: list[str]) -> Done | None:
        """Patch until the template is the destination's; why that was refused, None if it was not."""
        while True:
            try:
                read = await self._read(release)
                serving = self._newest(release, read.workload, read.revisions).hash
                if serving == order.to_version:
                    return None
                template, why = await self._template(release, read, order.to_version)
                if serving != order.from_version:
                    detail = f"{serving} serves, not {order.from_version}: somebody else changed {release.workload}"
                    return Done(False, detail, "\n".join(told), superseded=True)
                if why or template is None:
                    return Done(False, why, "\n".join(told))
                await self._api.patch(path_of(release), patches.back_to(read.document, template, order))
                told.append(
                    f"patched spec.template of {release.workload}: {order.from_version} -> {order.to_version}"
                )
                await events.tell(
                    self._api, release, read.workload.uid, "RolledBack", patches.notes(order)[objects.CHANGE_CAUSE]
                )
            except ApiError as error:
                if not (error.passes or error.is_conflict):
                    return Done(False, f"{release.workload} was not changed: {error.message}", "\n".join(told))
                told.append(error.message)
                await asyncio.sleep(error.wait or (AGAIN if error.is_conflict else LOOK_EVERY))
            except SourceError as error:
                told.append(error.message)
                await asyncio.sleep(LOOK_EVERY)
            except ShapeError as error:
                return Done(False, f"the pod template of {order.to_version} cannot be read: {error}")
            else:
                return None

    async def _rolled_out(self, release: KubernetesRelease, order: Order, told: list[str]) -> Done:
        """Follow the rollout to its end, without a limit."""
        while True:
            try:
                read = await self._read(release)
                serving = self._newest(release, read.workload, read.revisions).hash
            except SourceError as error:
                _tell(told, error.message)
            else:
                if serving != order.to_version:
                    detail = f"{serving} took the place of {order.to_version} while it was rolled out"
                    return Done(False, detail, "\n".join(told), superseded=True)
                at: Progress = progress(read.workload)
                _tell(told, at.detail)
                if at.done or at.failed:
                    return Done(at.done, f"{release.workload}: {at.detail}", "\n".join(told))
            await asyncio.sleep(LOOK_EVERY)

    async def _template(self, release: KubernetesRelease, read: Read, version: str) -> tuple[Document | None, str]:
        """The pod template of a version as it is to be patched in, or why it cannot be."""
        if read.workload.paused:
            return None, f"{release.workload} is paused: kubectl rollout resume lets it be changed"
        found = next((each for each in read.revisions if each.hash == version), None)
        kind = "ReplicaSet" if release.kind is WorkloadKind.DEPLOYMENT else "ControllerRevision"
        if found is None:
            kept = "" if read.workload.history is None else f" (revisionHistoryLimit is {read.workload.history})"
            return None, f"{release.workload} has no {kind} of {version} any more{kept}"
        path = f"{list_path(release.namespace, PLURALS[release.kind].revisions)}/{found.name}"
        try:
            return objects.template_of(await self._api.get(path)), ""
        except ShapeError as error:
            return None, f"the {kind} of {version} cannot be read: {error}"

    async def _missing(self, release: KubernetesRelease, template: Document) -> tuple[str, str]:
        """What a template needs and what is not there, and what the account may not look at."""
        missing, unknown = [], set()
        for plural, name in dict.fromkeys(patches.needed(template)):
            try:
                await self._api.get(f"/api/v1/namespaces/{release.namespace}/{plural}/{name}")
            except ApiError as error:
                if error.is_missing:
                    missing.append(f"{plural[:-1]} {name}")
                elif error.is_refusal:
                    unknown.add(plural)
                else:
                    raise
        return ", ".join(missing[:MOST_MISSING]), " and ".join(sorted(unknown))

    async def _read(self, release: KubernetesRelease) -> Read:
        """The workload and its revisions, by the API server itself."""
        try:
            document = await self._api.get(path_of(release))
            workload = objects.workload(document)
            selector = mapping(document.get("spec"), "spec").get("selector")
            path = list_path(release.namespace, PLURALS[release.kind].revisions)
            found = [
                _revision(release.kind, each)
                async for page, _ in self._api.pages(path, _matching(selector))
                for each in page
            ]
        except ShapeError as error:
            raise SourceError(f"{release.workload} cannot be read: {error}.", hint=ODD) from None
        return Read(document, workload, tuple(each for each in found if each.owner == workload.uid))

    @staticmethod
    def _newest(release: KubernetesRelease, it: Workload, revisions: tuple[Revision, ...]) -> Revision:
        """The revision whose template is wanted now. Of a paused Deployment: the one that was rolled out last."""
        by_age = sorted(revisions, key=lambda each: each.number)
        if release.kind is WorkloadKind.DEPLOYMENT:
            same = [each for each in by_age if each.template == it.template]
            if same:
                return same[-1]
            if it.paused and by_age:
                return by_age[-1]
            raise SourceError(f"{release.workload} has no ReplicaSet of its newest pod template yet.")
        if it.observed < it.generation or not by_age:
            raise SourceError(f"{release.workload} has no ControllerRevision of its newest pod template yet.")
        return next((each for each in by_age if each.name == it.newest), by_age[-1])


def _revision(kind: WorkloadKind, document: Document) -> Revision:
    return objects.replica_set(document) if kind is WorkloadKind.DEPLOYMENT else objects.controller_revision(document)


def _matching(selector: object) -> Mapping[str, str]:
    """The query that lists what a workload's selector matches; without one that can be written, everything."""
    labels = selector.get("matchLabels") if isinstance(selector, dict) else None
    if not isinstance(labels, dict) or not labels:
        return {}
    return {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}


def _tell(told: list[str], sentence: str) -> None:
    if not told or told[-1] != sentence:
        told.append(sentence)


def _stuck(release: KubernetesRelease) -> str:
    """What a person has to know of a StatefulSet: it does not replace a broken pod by itself."""
    if release.kind is not WorkloadKind.STATEFUL_SET:
        return ""
    return "; a StatefulSet waits for its broken pod: kubectl delete pod lets it be made anew"
