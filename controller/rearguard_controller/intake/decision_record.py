"""The way of a decision once it is made: into the journal, the counters, the log and the notices.

Here: what decisions about alerts and requests by hand have in common around the judgement.
Never here: the judgement itself (`policy`), who asks for it (`intake`, `by_hand`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from rearguard_controller.adapters.notices.notice import Notices
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.facts import evidence
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.journal.store import Journal, OperatorAction
from rearguard_controller.model import Condition, Decision, Facts, Phase, Rollback, Step, Target, Trigger, Verdict

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decisions:
    """Makes decisions about the facts that are found, and keeps them."""

    gatherer: FactGatherer
    telemetry: Telemetry
    notices: Notices  # tells of decisions about alerts; of rollbacks by hand whoever carries them out tells
    new_id: Callable[[str], str]  # makes an id that begins with the given letter
    opened: Callable[[], None]  # called when a rollback was opened; wakes the runner

    async def checked(
        self, target: Target, facts: Facts, decide: Callable[[Facts], Decision]
    ) -> tuple[Facts, Decision]:
        """Decide; a destination that would be gone to is put to the target's own check first, if there is one."""
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
            id=self.new_id("r"),
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

    async def record(
        self,
        journal: Journal,
        decision: Decision,
        rollback: Rollback | None,
        *,
        idempotency_key: str | None = None,
        action: OperatorAction | None = None,
    ) -> None:
        """Keep a decision, and the rollback that it opens.

        Raises:
            ConflictError: the journal's own rule: somebody was faster.
            JournalError, LeaseLostError: it was not kept.
        """
        decision = evidence.kept(decision)
        await journal.record(decision, rollback, idempotency_key=idempotency_key, action=action)
        self.telemetry.decided(decision)
        log.info(
            "decided",
            target=decision.target,
            decision=decision.id,
            verdict=decision.verdict.value,
            alert=decision.alert.name if decision.alert else None,
            rollback=decision.rollback_id,
            because=[reason.code.value for reason in decision.reasons if reason.blocks],
        )
        if decision.trigger is Trigger.ALERT:
            self.notices.decided(decision, rollback)
        if rollback is not None:
            self.opened()
