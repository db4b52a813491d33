"""What stands beside a target for a rollback: its programs, the hosts of its hooks, and who is told.

Here: `current` is run, because it only reads. No other command is, and no request is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rearguard_controller.adapters.actions import ActionContext
from rearguard_controller.errors import SourceError, sentences
from rearguard_controller.model import CommandRelease, KubernetesRelease, PrometheusRelease, Target
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.watching.live.finding import Finding, Weight
from rearguard_controller.watching.readiness import Readiness
from rearguard_controller.watching.readiness_rules import current

MOST_AT_ONCE = 4  # programs that run side by side


async def of_targets(targets: Sequence[Target], releases: Releases, readiness: Readiness) -> list[Finding]:
    """Whether programs and hosts are there, `current` prints a version, and people can be told."""
    side_by_side = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(target: Target) -> list[Finding]:
        async with side_by_side:
            return await _of_target(target, releases, readiness)

    told = await readiness.notify(connect=True)
    found = [] if told.holds else [Finding("notify", told.detail, Weight.LOOK)]
    return found + [each for several in await asyncio.gather(*map(one, targets)) for each in several]


async def _of_target(target: Target, releases: Releases, readiness: Readiness) -> list[Finding]:
    serving, checks = "", []
    found: list[Finding] = []
    if not isinstance(target.release, KubernetesRelease):  # of a workload the API server is asked
        why = ""
        try:
            serving = await releases.current(target)
            who = "`current`" if isinstance(target.release, CommandRelease) else "Prometheus"
            found.append(Finding(target.name, f"{who} says that {serving} serves.", Weight.GOOD))
        except SourceError as error:
            why = sentences(error) if isinstance(target.release, PrometheusRelease) else error.message
        checks += [current(serving or None, why, target.release), await readiness.rollback_command(target)]
    if target.before or target.after:
        context = ActionContext(target.name, from_version=serving, to_version=serving, rollback_id="check")
        checks.append(await readiness.hooks(target, context))
    return found + [Finding(target.name, each.detail, Weight.BLOCKS) for each in checks if each.holds is False]
