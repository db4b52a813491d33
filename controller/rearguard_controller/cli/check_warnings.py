"""What `rearguard check` finds that a controller would start with, and that somebody should look at.

Here: the sentences. Each names the target and says what to do. Nothing is run: programs are looked for as the
controller would look for them, on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import combinations

from rearguard_controller.adapters.actions import ActionContext, reach
from rearguard_controller.config import selectors
from rearguard_controller.model import CommandAction, CommandRelease, Target

MOST_OVERLAPS = 5  # pairs of targets that are named
TO_VERSION = "{to_version}"


def warnings(targets: Sequence[Target], *, live: bool = False) -> list[str]:
    """What is worth a look, in the order of the targets; then which targets may take the same alert.

    With `live` without what a live look says itself: programs and overlaps.
    """
    found: list[str] = []
    for target in targets:
        found += [*_destination(target), *_figures(target), *(() if live else _programs(target))]
    return found if live else found + _overlaps(targets)


def _destination(target: Target) -> Iterator[str]:
    release = target.release
    rollback = release.rollback if isinstance(release, CommandRelease) else None
    if rollback is not None and not any(TO_VERSION in word for word in rollback.argv):
        yield (
            f"{target.name}: `rollback` has no {TO_VERSION}, so it is not told which version to put back. Add"
            f' "{TO_VERSION}" to its arguments, unless the program reads REARGUARD_TO_VERSION.'
        )


def _figures(target: Target) -> Iterator[str]:
    told = selectors.differ(target)
    if told:
        yield f"{target.name}: {told}"


def _programs(target: Target) -> Iterator[str]:
    for name, action in _commands(target):
        problem = asyncio.run(reach.obstacle(action, ActionContext(target.name)))
        if problem:
            where = f"in {action.cwd}" if "/" in action.argv[0] else "along PATH"
            yield f"{target.name}: {name} would fail, because {problem} (looked for {where} on this machine)."


def _commands(target: Target) -> Iterator[tuple[str, CommandAction]]:
    release = target.release
    if isinstance(release, CommandRelease):
        parts = {"current": release.current, "versions": release.versions, "rollback": release.rollback}
        yield from ((f"`{name}`", action) for name, action in parts.items() if action is not None)
        if release.check is not None:
            yield "`check`", release.check
    for hook in (*target.before, *target.after):
        actions = {f"hook {hook.name}": hook.action, f"undo of hook {hook.name}": hook.undo}
        yield from ((name, action) for name, action in actions.items() if isinstance(action, CommandAction))


def _overlaps(targets: Sequence[Target]) -> list[str]:
    pairs = [(one, other) for one, other in combinations(targets, 2) if one.may_overlap(other)]
    told = [
        f"{one.name} and {other.name}: an alert may match both. It is left unless exactly one of them has a recent"
        " release: add labels to `match` that tell them apart."
        for one, other in pairs[:MOST_OVERLAPS]
    ]
    more = len(pairs) - len(told)
    return [*told, f"{more} more pairs of targets may match the same alert."] if more else told
