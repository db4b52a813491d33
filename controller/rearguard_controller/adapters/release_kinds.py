"""How a target's version is read and changed, whichever kind of release it has.

Here: the one place that tells the kinds apart for everybody above.
Never here: how a kind does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import assert_never

from rearguard_controller.adapters.actions import ActionContext, ActionResult, Actions
from rearguard_controller.adapters.actions.context import Refused, fill_argument
from rearguard_controller.adapters.kubernetes import Cluster, Done, Order, Pods, Trouble
from rearguard_controller.adapters.prometheus.of_all import PrometheusOf
from rearguard_controller.adapters.prometheus.serving import serving_version
from rearguard_controller.errors import SourceError
from rearguard_controller.model import (
    VERSION_LABEL,
    CommandRelease,
    Drain,
    KubernetesRelease,
    Ownership,
    PauseOwner,
    PrometheusRelease,
    ReleaseKind,
    Room,
)

NO_WAY_BACK = "the file names no way to put a version back: release.command.rollback, or release.kubernetes"


class ReleaseKinds:
    """Reads and changes versions. One per controller; it closes what it uses."""

    def __init__(
        self, actions: Actions, cluster: Cluster | None = None, prometheus: PrometheusOf | None = None
    ) -> None:
        """Wire it; without a cluster no target may be a workload of one, without Prometheus none is read there."""
        self._actions = actions
        self._cluster = cluster
        self._prometheus = prometheus

    @property
    def cluster(self) -> Cluster | None:
        """The cluster whose workloads are targets, if there are any."""
        return self._cluster

    async def use(self, cluster: Cluster | None) -> None:
        """Ask another cluster from now on, after a reload; let go of the one before."""
        before, self._cluster = self._cluster, cluster
        if before is not None and before is not cluster:
            await before.close()

    async def close(self) -> None:
        """Let go of what is open."""
        await self._actions.close()
        if self._cluster is not None:
            await self._cluster.close()

    async def current(self, release: ReleaseKind, context: ActionContext, *, fresh: bool = False) -> str:
        """The version that serves: what `current` prints, or the workload's pod template.

        Args:
            release: of the target.
            context: for the command.
            fresh: something is about to be changed, so that what is followed may be too old.

        Raises:
            SourceError: it could not be read.
            ShortageError: the controller could not start the command for want of a resource.
        """
        match release:
            case CommandRelease():
                return await self._actions.read_version(release.current, context)
            case KubernetesRelease():
                return await self._of(release).current(release, fresh=fresh)
            case PrometheusRelease():
                if self._prometheus is None:
                    raise SourceError(
                        "No Prometheus is known that names the version.", hint="Restart the controller."
                    )
                return await serving_version(self._prometheus(context.target), release)
        assert_never(release)

    async def versions(self, release: ReleaseKind, context: ActionContext) -> frozenset[str] | None:
        """The versions that are ready to be activated; None when the target cannot list them.

        Raises:
            SourceError: it should list them and could not.
        """
        match release:
            case CommandRelease():
                if release.versions is None:
                    return None
                return frozenset(await self._actions.read_versions(release.versions, context))
            case KubernetesRelease():
                return await self._of(release).versions(release)
            case PrometheusRelease():
                return None
        assert_never(release)

    async def pods(self, release: ReleaseKind, version: str) -> Pods:
        """What is known of a version's pods; of any other version nothing is, and nothing stands against it."""
        if not isinstance(release, KubernetesRelease):
            return Pods()
        try:
            return await self._of(release).pods(release, version)
        except SourceError as error:
            return Pods(f"it is not known whether its pods are ready: {error.message.rstrip('.')}")

    async def tell(self, release: ReleaseKind, reason: str, said: str) -> None:
        """Write an Event about a workload; a failure is logged. Nothing for any other target."""
        if isinstance(release, KubernetesRelease):
            with suppress(SourceError):
                await self._of(release).tell(release, reason, said)

    async def troubles(self, release: KubernetesRelease) -> tuple[str, tuple[Trouble, ...]]:
        """The version that a workload wants, and what Kubernetes itself knows of trouble with it.

        Raises:
            SourceError: it is not known.
        """
        return await self._of(release).troubles(release)

    async def described(self, release: ReleaseKind, version: str) -> str:
        """How people know a version, where its identity does not say so; empty where it does, or nothing is known."""
        if not isinstance(release, KubernetesRelease):
            return ""
        try:
            return await self._of(release).described(release, version)
        except SourceError:
            return ""

    def shown(self, release: ReleaseKind, version: str) -> str | None:
        """The `service_version` that a version has for certain; None where it has to be learned."""
        itself = isinstance(release, PrometheusRelease) and release.label == VERSION_LABEL
        return version if itself else None

    async def prove(self, release: ReleaseKind, context: ActionContext, *, alone: bool = True) -> ActionResult | None:
        """Ask whether `to_version` can be activated; changes nothing. None where there is nothing to ask.

        Args:
            release: of the target.
            context: with the version to be activated.
            alone: wait until no command of the target runs, and let none begin meanwhile.
        """
        match release:
            case CommandRelease():
                if release.check is None:
                    return None
                ask = self._actions.run if alone else self._actions.look
                return await ask(release.check, context)
            case KubernetesRelease():
                return await _timed(self._of(release).prove(release, _order(context)))
            case PrometheusRelease():
                return None
        assert_never(release)

    async def activate(self, release: ReleaseKind, context: ActionContext) -> ActionResult:
        """Activate `to_version`. A failure is a result."""
        match release:
            case CommandRelease() if release.rollback is not None:
                return await self._actions.run(release.rollback, context)
            case KubernetesRelease():
                return await _timed(self._of(release).activate(release, _order(context)))
            case CommandRelease() | PrometheusRelease():
                return ActionResult(False, "", NO_WAY_BACK, 0.0)
        assert_never(release)

    async def ownership(self, release: ReleaseKind) -> Ownership | None:
        """Who else changes what serves, as far as it is followed; None where only a command does."""
        match release:
            case CommandRelease() | PrometheusRelease():
                return None
            case KubernetesRelease():
                try:
                    return await self._of(release).ownership(release)
                except SourceError as error:
                    return Ownership(fault=error.message)
        assert_never(release)

    async def surroundings(
        self, release: ReleaseKind, ownership: Ownership | None, version: str
    ) -> tuple[Ownership | None, Room | None]:
        """What the API server is asked only when a rollback is near: can the owner be paused, is there room?"""
        match release:
            case CommandRelease() | PrometheusRelease():
                return None, None
            case KubernetesRelease():
                owned = ownership or Ownership()
                cluster = self._of(release)
                unpausable, room = await asyncio.gather(
                    cluster.unpausable(release, owned.owners), cluster.room(release, version)
                )
                return replace(owned, unpausable=unpausable), room
        assert_never(release)

    async def pause(self, action: PauseOwner, context: ActionContext) -> ActionResult:
        """Pause whoever owns a workload. A failure is a result."""
        try:
            async with asyncio.timeout(action.timeout):
                return await _timed(self._of(action.release).pause(action.release, _order(context)))
        except TimeoutError:
            detail = f"no answer within {action.timeout:g} s"
            return ActionResult(False, "", detail, action.timeout, timed_out=True)

    async def drain(self, action: Drain, context: ActionContext) -> ActionResult:
        """Lead traffic away inside a cluster, or back. A failure is a result."""
        try:
            selector = {name: fill_argument(value, context) for name, value in action.selector.items()}
        except Refused as error:
            return ActionResult(False, "", str(error), 0.0)
        if self._cluster is None:
            return ActionResult(False, "", f"no cluster is known for {action}: restart the controller", 0.0)
        return await _timed(self._cluster.drain(replace(action, selector=selector), context.rollback_id))

    async def undrainable(self, action: Drain) -> str:
        """Why traffic could not be led away, found out without changing anything; empty if it could."""
        if self._cluster is None:
            return f"no cluster is known for {action}: restart the controller"
        return await self._cluster.undrainable(action)

    async def settle(self, release: ReleaseKind, context: ActionContext) -> None:
        """Return when nothing that an earlier controller began acts on the target any more."""
        await self._actions.settle(context.target, release.timeout)

    async def obstacle(self, release: ReleaseKind, context: ActionContext) -> str:
        """Why a version could not be activated, found out without changing anything; empty if it could."""
        match release:
            case CommandRelease() if release.rollback is not None:
                return await self._actions.obstacle(release.rollback, context)
            case KubernetesRelease():
                try:
                    return await self._of(release).obstacle(release)
                except SourceError as error:
                    return error.message.rstrip(".")
            case CommandRelease() | PrometheusRelease():
                return NO_WAY_BACK
        assert_never(release)

    def _of(self, release: KubernetesRelease) -> Cluster:
        if self._cluster is None:
            raise SourceError(f"No cluster is known for {release.workload}.", hint="Restart the controller.")
        return self._cluster


async def _timed(doing: Awaitable[Done]) -> ActionResult:
    """What a cluster did, as the result of an action."""
    began = time.monotonic()
    done = await doing
    seconds = time.monotonic() - began
    return ActionResult(
        done.ok,
        done.output,
        done.detail,
        seconds,
        timed_out=done.timed_out,
        never_began=done.unknown,
        superseded=done.superseded,
    )


def _order(context: ActionContext) -> Order:
    return Order(context.target, context.from_version, context.to_version, context.rollback_id)
