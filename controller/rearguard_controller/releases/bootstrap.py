"""Trust on day one: reads the past of a new target from Prometheus, once, and keeps what it proves.

Here: when to ask, how far to look back, what is written to the journal and what the log says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from rearguard_controller.adapters.prometheus.figures import LONGEST_LOOK
from rearguard_controller.adapters.prometheus.of_all import PrometheusOf
from rearguard_controller.errors import NotFoundError, SourceError
from rearguard_controller.model import Check, Release, Target, Trust
from rearguard_controller.model.versions import is_version
from rearguard_controller.releases.adoption import (
    History,
    Stretch,
    adopt_earlier,
    adopt_serving,
    not_adopted,
    stretches,
)
from rearguard_controller.releases.past import service_of
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

SHORTER = 0.25  # after each failure the time looked back shrinks to this part of it
MOST_AT_ONCE = 4  # targets whose past is asked for side by side
MOST_NAMED = 20  # versions that a line of the log names
LEAST_LOOK = 2.0  # times `known_good_after`: the shortest time looked back

Listing = Callable[[Target], Awaitable[frozenset[str] | None]]


class Bootstrap:
    """Reads the past of targets that the journal does not know yet, for the leader."""

    def __init__(self, runtime: Runtime, prometheus: PrometheusOf, listing: Listing) -> None:
        """Wire it; `listing` gives the versions that a target can activate."""
        self._lead, self._clock = runtime.lead, runtime.clock
        self._prometheus = prometheus
        self._listing = listing
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)
        self._failed: dict[str, int] = {}  # target -> questions that were not answered
        self._said: dict[str, str] = {}  # target -> what it was last said to wait for

    async def look(self, target: Target, release: Release, against: Sequence[Check]) -> None:
        """Read the past of a target whose serving version is `release`, as soon as it can be read.

        The past is read once, whatever it proves. Without an answer the next poll tries again. It is not read while
        `against` names checks that stand in the way of trust.

        Raises:
            JournalError, LeaseLostError: what was found could not be kept; it is read again.
        """
        if against:
            self._wait(target, " ".join(dict.fromkeys(check.detail for check in against)))
            return
        if release.service_version is None:
            self._wait(target, f"which service_version {release.version} shows is not known yet")
            return
        try:
            async with self._side_by_side:
                by_up, prometheus = target.policy.trust is Trust.BY_UP, self._prometheus(target.name)
                rules = None if by_up else await prometheus.rules()
                history = await service_of(prometheus, target, self._clock(), self._span(target), rules)
            listed = await self._listing(target)
        except SourceError as error:
            self._failed[target.name] = self._failed.get(target.name, 0) + 1
            self._wait(target, error.message)
            return
        await self._adopt(target, release, history, listed)
        await self._lead.change_target(target.name, lambda state: replace(state, adopting=False))

    def _span(self, target: Target) -> float:
        least = min(LONGEST_LOOK, LEAST_LOOK * target.policy.known_good_after)
        return max(LONGEST_LOOK * SHORTER ** self._failed.get(target.name, 0), least)

    async def _adopt(self, target: Target, release: Release, history: History, listed: frozenset[str] | None) -> None:
        needed, past = target.policy.known_good_after, stretches(history)
        serving = next((each for each in past if each.service_version == release.service_version), None)
        nameable = [each for each in past if is_version(each.service_version)]  # a label may be any text
        earlier = adopt_earlier(release, nameable, listed, needed)
        for each in earlier:
            await self._lead.change_release(target.name, each.version, partial(_unless_known, each))
        why = not_adopted(history, serving, needed)
        if serving is not None and not why:
            await self._keep_serving(target, release, serving)
        unproven = {each.service_version for each in past if each is not serving}
        unproven -= {each.service_version or "" for each in earlier}
        log.info(
            "version_not_adopted" if why else "version_adopted",
            target=target.name,
            version=release.version,
            why=why or None,
            earlier=[each.version for each in earlier],
            unproven=sorted(unproven)[:MOST_NAMED],
        )

    async def _keep_serving(self, target: Target, release: Release, serving: Stretch) -> None:
        def adopted(known: Release | None) -> Release:
            if known is None:
                raise NotFoundError("A release that was just read is gone from the journal.")
            return adopt_serving(known, serving, target.policy.known_good_after)

        await self._lead.change_release(target.name, release.version, adopted)

    def _wait(self, target: Target, why: str) -> None:
        if self._said.get(target.name) != why:
            self._said[target.name] = why
            log.info("adoption_waits", target=target.name, why=why)


def _unless_known(found: Release, known: Release | None) -> Release:
    """What history found, unless something is known already: what people said counts more."""
    return found if known is None else known
