"""Records a decision: journal first, then counters, log and notices.

Here: what decisions about alerts and decisions about people's requests have in common around the judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from rearguard_controller.facts import evidence
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.model import (
    Condition,
    Decision,
    Facts,
    OperatorAction,
    Phase,
    Rollback,
    Step,
    Target,
    Verdict,
)
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Makes decisions about the facts that are found, and keeps them."""

    runtime: Runtime
    gatherer: FactGatherer
    opened: Callable[[], None]  # called when a rollback was opened; wakes the runner

    async def checked(
        self, target: Target, facts: Facts, decide: Callable[[Facts], Decision]
    ) -> tuple[Facts, Decision]:
        """Decide; if a rollback would follow, ask the target's own `check` about its destination and decide again.

        Returns:
            The facts, which now hold what the check said, and the decision.
        """
        while True:
            decision = decide(facts)
            version = decision.to_version
            if decision.would is Verdict.LEAVE or version is None:
                return facts, decision
            checked = await self.gatherer.with_check(target, facts, version)
            if checked is facts:
                return facts, decision
            facts = checked

    def rollback(
        self,
        decision: Decision,
        facts: Facts,
        steps: tuple[Step, ...],
        conditions: tuple[Condition, ...],
        reason: str,
    ) -> Rollback:
        """The rollback that a decision opens."""
        return Rollback(
            id=self.runtime.new_id("r"),
            decision_id=decision.id,
            target=decision.target,
            trigger=decision.trigger,
            reason=reason,
            from_version=decision.from_version or "",
            to_version=decision.to_version or "",
            phase=Phase.RUNNING,
            opened_at=facts.now,
            steps=steps,
            conditions=conditions,
        )

    async def record(self, decision: Decision, rollback: Rollback | None, others: Sequence[Rollback] = ()) -> None:
        """Keep the leader's decision about an alert, and the rollbacks that it opens; people are told of it.

        Raises:
            ConflictError: the journal's own rule: somebody was faster.
            JournalError, LeaseLostError: it was not kept.
        """
        decision = evidence.kept(decision)
        await self.runtime.lead.record(decision, rollback, others=others)
        self._count(decision)
        self._tell_opened(rollback)
        self.runtime.notices.decided(decision, rollback)

    async def record_several(self, decisions: Sequence[Decision]) -> None:
        """Keep the leader's decisions about alerts that open nothing, all or none; people are told of each.

        Raises:
            JournalError, LeaseLostError: none was kept.
        """
        kept = evidence.all_kept(decisions)
        await self.runtime.lead.record_several(kept)
        self._count(*kept)
        for each in kept:
            self.runtime.notices.decided(each, None)

    async def record_by_hand(
        self,
        decision: Decision,
        rollback: Rollback | None,
        action: OperatorAction,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Keep any replica's decision about a person's request, and the rollback that it opens.

        People are told of it by whoever carries it out.

        Raises:
            ConflictError: the journal's own rule: somebody was faster, maybe with the same key.
            JournalError: it was not kept.
        """
        decision = evidence.kept(decision)
        await self.runtime.journal.record(decision, rollback, idempotency_key=idempotency_key, action=action)
        self._count(decision)
        self._tell_opened(rollback)

    def _count(self, *decisions: Decision) -> None:
        """Count and log decisions; those that are alike share a line, which says how many more there are."""
        self.runtime.telemetry.decided(*decisions)
        alike: dict[tuple[object, ...], list[Decision]] = {}
        for each in decisions:
            key = (each.target, each.alert.name if each.alert else None, each.verdict, id(each.reasons))
            alike.setdefault(key, []).append(each)
        for decision, *others in alike.values():
            log.info(
                "decided",
                target=decision.target,
                decision=decision.id,
                verdict=decision.verdict.value,
                alert=decision.alert.name if decision.alert else None,
                rollback=decision.rollback_id,
                because=[reason.code.value for reason in decision.reasons if reason.blocks],
                **({"alike": len(others)} if others else {}),
            )

    def _tell_opened(self, rollback: Rollback | None) -> None:
        if rollback is not None:
            self.opened()
