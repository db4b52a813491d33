"""What the targets that one depends on showed in the past, beside a release of that one.

Here: their counts around each release, and their alerts that pended. What follows from both is worked out by the same
function as for the present (`judgement.dependencies`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.backtest import counted
from rearguard_controller.backtest.archive import Progress, together
from rearguard_controller.backtest.nouns import Change, CountsKey, World
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import counting
from rearguard_controller.judgement.evidence import WINDOWS
from rearguard_controller.model import Counts, Facts, PendingAlert, Target


async def read(
    prometheus: Prometheus,
    world: World,
    changed: Mapping[str, Sequence[Change]],
    progress: Progress,
) -> dict[CountsKey, dict[str, Counts]]:
    """The counts of what a target depends on, around each release; none where Prometheus cannot say."""
    targets = {each.name: each for each in world.targets}
    asked = [
        (target, number, of, dependency)
        for target, number, of in counted.releases(world, changed)
        for dependency in target.independent_dependencies(targets)
    ]
    found: dict[CountsKey, dict[str, Counts]] = {}
    done = 0

    async def one(target: Target, number: int, of: Sequence[Change], dependency: Target) -> None:
        nonlocal done
        change = of[number]
        time = change.at - WINDOWS[-1], counted.looked_at_until(world, target, number, of)
        released = counted.released_at(change)
        try:
            counts = await counting.of_all_versions(prometheus, dependency.telemetry, released, time)
        except SourceError:
            counts = None
        if counts is not None:
            found.setdefault((target.name, change.at), {})[dependency.name] = counts
        done += 1
        progress("requests of what targets depend on", done, len(asked))

    await together(one(*each) for each in asked)
    return found


def beside(facts: Facts, world: World, target: Target, pending: Mapping[str, tuple[PendingAlert, ...]]) -> Facts:
    """The facts, with what the dependencies of a target show at their moment."""
    known = facts.target
    since = None if known.state is None else known.state.serving_since
    around = world.around.get((target.name, since or 0.0), {})
    counts = {name: counted.until(each, facts.now) for name, each in around.items()}
    known = replace(known, counted_dependencies=counts, pending_dependencies=pending)
    return replace(facts, target=known)
