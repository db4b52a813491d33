"""A judgement of this moment, as if a trigger alert of a target fired: for people who ask before there is a decision.

Here: judging an alert that is made up, by the facts and questions of a real one. Nothing is left behind: no decision
is recorded, nothing is counted, nobody is told.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection

from rearguard_controller.facts import evidence, made_up
from rearguard_controller.facts.alerts_now import as_alert
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.judgement import policy
from rearguard_controller.model import Decision, Target
from rearguard_controller.runtime import Runtime


class AsIf:
    """Judges alerts that are made up."""

    def __init__(
        self,
        runtime: Runtime,
        gatherer: FactGatherer,
        decisions: Decisions,
        *,
        speaking: Callable[[str], Collection[str]],
    ) -> None:
        """Wire it; `speaking` names the trigger rules that have spoken of a target."""
        self._runtime, self._gatherer, self._decisions = runtime, gatherer, decisions
        self._speaking = speaking
        self._one_by_one: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def judge(self, target: Target) -> Decision:
        """What would be decided if the first trigger alert of this target fired now; one at a time of a target.

        Raises:
            JournalError: the journal cannot be read.
        """
        async with self._one_by_one[target.name]:
            reading = await self._gatherer.reading(target)
            made = made_up.alert(target, reading, self._speaking(target.name), self._runtime.clock())
            (found,) = await self._gatherer.gather(target, [as_alert(made, "made up")], record=False, as_if=made)
            if isinstance(found, Exception):
                raise found
            number = self._runtime.new_id("d")
            _, decision = await self._decisions.checked(
                target, found.facts, lambda facts: policy.decide(number, found.alert, target, facts)
            )
            return evidence.kept(decision)
