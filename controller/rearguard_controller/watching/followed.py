"""Targets that are followed by a watch: a new version is recorded when it comes, not at the next poll.

Here: one look after the other at each target, as long as changes come.
Never here: trust, which polls earn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.model import KubernetesRelease, Target
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)


class Followed:
    """Looks at a target when its workload changed, while this replica leads."""

    def __init__(self, runtime: Runtime, targets: Sequence[Target], releases: Releases) -> None:
        """Wire it."""
        self._lead, self._telemetry = runtime.lead, runtime.telemetry
        self._releases = releases
        self._targets: dict[str, list[Target]] = {}
        for target in targets:
            if isinstance(target.release, KubernetesRelease):
                self._targets.setdefault(target.release.workload, []).append(target)
        self._again: set[str] = set()
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def changed(self, workload: str) -> None:
        """A workload got another pod template; it is named as `KubernetesRelease.workload` does."""
        if self._closed:
            return
        for target in self._targets.get(workload, ()):
            if self._lead.of(target.name).epoch is None:
                continue
            task = self._looking.get(target.name)
            if task is None or task.done():
                self._looking[target.name] = asyncio.create_task(self._look(target), name=f"look {target.name}")
            else:
                self._again.add(target.name)

    async def close(self) -> None:
        """End what is being looked at; what is told later is for the targets of another configuration."""
        self._closed = True
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, target: Target) -> None:
        while True:
            self._again.discard(target.name)
            try:
                await self._releases.look(target)
            except LeaseLostError:
                return
            except JournalError as error:  # the next poll looks again
                self._telemetry.journal_failed()
                log.error("target_not_looked_at", target=target.name, error=error.message, hint=error.hint)
                return
            if target.name not in self._again:
                return
