"""What a view shows beside its own record, as far as it can be read: damage there takes no view away.

Here: the decision of a rollback, the state and the last drill of a target, and open rollbacks that cannot be read.
Whoever asks for a damaged record by itself is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from rearguard_controller.api.services import Services
from rearguard_controller.errors import DamagedError, NotFoundError
from rearguard_controller.model import Decision, Drill, Release, Rollback, TargetState
from rearguard_controller.model.observations import unreadable

log = structlog.get_logger(__name__)

LOOKED_THROUGH = 20  # drills


async def decision_of(services: Services, rollback: Rollback) -> Decision | None:
    """The decision that opened a rollback; None where its record is damaged or gone."""
    try:
        return await services.journal.decision(rollback.decision_id)
    except (DamagedError, NotFoundError) as error:
        log.error("decision_unreadable", target=rollback.target, rollback=rollback.id, error=error.message,
                  hint=error.hint)  # fmt: skip
        return None


async def state_of(services: Services, target: str) -> TargetState:
    """What is remembered of a target; where its record is damaged, a state that says so."""
    try:
        return await services.journal.target_state(target)
    except DamagedError as error:
        log.error("record_unreadable", target=target, error=error.message, hint=error.hint)
        return unreadable(target)


async def last_drill(services: Services, target: str) -> Drill | None:
    """The newest drill of a target that can be read; None if there is none."""
    page = await services.journal.drills(target=target, limit=1)
    if page.unreadable:
        page = await services.journal.drills(target=target, limit=LOOKED_THROUGH)
    return page.items[0] if page.items else None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the journal says of a target, as far as it can be read."""

    state: TargetState
    releases: tuple[Release, ...]
    last_drill: Drill | None


async def remembered(services: Services, target: str) -> Remembered:
    """What is remembered of one target."""
    state, releases = await state_of(services, target), await services.journal.releases(target)
    return Remembered(state, releases, await last_drill(services, target))


async def remembered_of(services: Services, targets: Iterable[str]) -> Mapping[str, Remembered]:
    """The same of many, by a number of questions that does not grow with them; only a drilled one takes one more."""
    journal = services.journal
    states, releases, drilled = await asyncio.gather(
        journal.target_states(), journal.all_releases(), journal.drilled()
    )
    return {
        target: Remembered(
            states.get(target) or TargetState(target),
            releases.get(target, ()),
            await last_drill(services, target) if target in drilled else None,
        )
        for target in targets
    }


async def lost_rollbacks(services: Services) -> Mapping[str, str]:
    """The open rollback of each target for which the journal cannot read it: nothing is done for it."""
    lost: dict[str, str] = {}
    under_way = await services.journal.targets_under_way()
    if not under_way:
        return lost
    readable = {rollback.id for rollback in await services.journal.open_rollbacks()}
    for target, rollback_id in under_way.items():
        if rollback_id not in readable:  # or closed since
            try:
                await services.journal.rollback(rollback_id)
            except DamagedError:
                lost[target] = rollback_id
            except NotFoundError:
                continue
    return lost


def told(lost: Mapping[str, str]) -> list[str]:
    """What follows from open rollbacks that cannot be read, in sentences."""
    return [
        f"Rollback {rollback_id} of {target} is open, and the journal's record of it is damaged: nothing is done for"
        f" it, and no other rollback of {target} can begin. Restore the journal from a copy."
        for target, rollback_id in lost.items()
    ]
