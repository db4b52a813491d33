"""What the pods of a workload say of the version that serves: since when it serves, and which images really run.

Here: recording it, and telling people when the pods of one template run different images.
Never here: whether a version earns trust.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from rearguard_controller.adapters.kubernetes import Pods
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.model import Release, Target, TargetState
from rearguard_controller.model.observations import short_digests
from rearguard_controller.releases.trust import began_to_serve
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

MOVED = "ImageMoved"  # reason of the Event


class ByPods:
    """Asks the pods at each poll."""

    def __init__(self, runtime: Runtime, kinds: ReleaseKinds) -> None:
        """Wire it."""
        self._journal, self._lead, self._clock = runtime.journal, runtime.lead, runtime.clock
        self._kinds = kinds
        self._seen: dict[str, tuple[str, tuple[str, ...]]] = {}  # by target: version and images of the last look

    async def look(self, target: Target, version: str) -> tuple[Pods, TargetState | None]:
        """What the pods say now; and the target's state if they showed since when the version serves."""
        now, state = self._clock(), None
        pods = await self._kinds.pods(target.release, version)
        if pods.ready_for is not None:
            began = now - pods.ready_for
            state = await self._lead.change_target(target.name, lambda known: began_to_serve(known, version, began))
        if pods.runs:
            await self._record(target, version, pods.runs)
        return pods, state

    async def _record(self, target: Target, version: str, runs: tuple[str, ...]) -> None:
        """Keep which images run; tell people if they are others than before, or several of one."""
        if self._seen.get(target.name) == (version, runs):
            return
        known = next(each for each in await self._journal.releases(target.name) if each.version == version)
        await self._lead.change_release(target.name, version, lambda it: ran(known if it is None else it, runs))
        self._seen[target.name] = (version, runs)
        told = said(known, runs)
        if told:
            log.warning("image_moved", target=target.name, version=version, ran=known.runs, runs=runs)
            await self._kinds.tell(target.release, MOVED, told)


def ran(known: Release, runs: tuple[str, ...]) -> Release:
    """A release whose pods were seen to run these images."""
    return replace(known, ran=known.ran or runs, runs=runs)


def said(known: Release, runs: tuple[str, ...]) -> str:
    """What people are told of the images that the pods of a template run; empty if there is nothing new."""
    if known.runs == runs:
        return ""
    if len({each.partition("@")[0] for each in runs}) < len(runs):
        return f"Pods of {known.version} run different images by one name: {short_digests(runs)}. A tag has moved."
    if not known.runs:
        return ""
    return (
        f"{known.version} ran as {short_digests(known.runs)} and runs as {short_digests(runs)} now: a tag has moved, "
        "and this is other code under the same template."
    )
