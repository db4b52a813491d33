"""Rollbacks that people ask for: judged on the same facts as an alert, and opened once for each key.

Here: requests and what became of them. Any replica may judge and open one, so no lease is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import structlog

from rearguard_controller.errors import ConflictError, InvalidInputError, JournalError
from rearguard_controller.facts import evidence
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.judgement import policy, score
from rearguard_controller.model import (
    Alert,
    Condition,
    Decision,
    Facts,
    OperatorAction,
    ReasonCode,
    Rollback,
    Step,
    Target,
    Trigger,
    Verdict,
)
from rearguard_controller.rollback.plan import distinct, plan
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ManualRequest:
    """A rollback that a person asks for."""

    target: str
    reason: str
    operator: str
    to_version: str | None = None
    force: bool = False
    dry_run: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ManualAnswer:
    """What a request led to."""

    decision_id: str
    decision: Decision | None  # None for a repeated request that is no dry run: nobody is shown it
    rollback: Rollback | None  # None for a dry run
    plan: tuple[Step, ...]
    repeated: bool = False  # the idempotency key was used before; this is what it led to then


class ByHand:
    """Judges requests and opens their rollbacks."""

    def __init__(
        self,
        runtime: Runtime,
        decisions: Decisions,
        *,
        alone: Callable[[str], AbstractAsyncContextManager[object]],
        firing: Callable[[Target], tuple[tuple[Alert, Condition | None], ...]],
    ) -> None:
        """Wire it; `alone` lets one judgement of a target run at a time, `firing` are its triggers as last seen."""
        self._runtime = runtime
        self._journal = runtime.journal
        self._decisions = decisions
        self._alone = alone
        self._firing = firing

    async def open(self, target: Target, request: ManualRequest) -> ManualAnswer:
        """Judge a person's request, and open the rollback unless it is a dry run.

        Of one target only one judgement runs at a time, be it of an alert or of a request.

        Raises:
            ConflictError: a rollback of the target is under way.
            InvalidInputError: there is no destination, a rollback cannot go there, or the key was used for another
                request.
        """
        before = await self._repeated(request)
        if before is not None:
            return before
        async with self._alone(target.name):
            return await self._repeated(request) or await self._open(target, request)

    async def _repeated(self, request: ManualRequest) -> ManualAnswer | None:
        """What the request's key led to before; None when it is new.

        Target and destination are compared. `force` is not: it only says which destinations are allowed.

        Raises:
            InvalidInputError: the key was used for another target or destination.
        """
        key = request.idempotency_key
        before = None if key is None else await self._journal.rollback_by_key(key)
        if before is None:
            return None
        if before.target != request.target or request.to_version not in (None, before.to_version):
            raise InvalidInputError(
                f"This key led to {before.id}, which takes {before.target} to {before.to_version}.",
                hint="Use a new key for each rollback, and the same one only to repeat a request.",
                field="Idempotency-Key",
            )
        decision = await self._journal.decision(before.decision_id) if request.dry_run else None
        return ManualAnswer(before.decision_id, decision, before, before.steps, repeated=True)

    async def _open(self, target: Target, request: ManualRequest) -> ManualAnswer:
        facts = await self._decisions.gatherer.of_target(target, record=False)
        wish = policy.Wish(request.to_version, force=request.force, note=request.reason)
        number = self._runtime.new_id("d")
        facts, decision = await self._decisions.checked(
            target, facts, lambda facts: policy.decide_by_hand(number, wish, target, facts)
        )
        decision = evidence.kept(decision)
        conditions = distinct(condition for _, condition in self._firing(target) if condition is not None)
        steps = plan(target, conditions=conditions)
        if request.dry_run:
            return ManualAnswer(number, decision, None, steps)
        action = OperatorAction(facts.now, request.operator, "trigger", target.name, request.reason)
        if decision.verdict is not Verdict.ROLL_BACK:
            before = await self._repeated(request)  # what is in the way may be this very request, at another replica
            if before is not None:
                return before
            error = refusal(decision)
            await self._decisions.record_by_hand(decision, None, _refused(action, error))
            raise error
        rollback = self._decisions.rollback(decision, facts, steps, conditions, request.reason)
        decision = replace(decision, rollback_id=rollback.id)
        key = request.idempotency_key
        try:
            await self._decisions.record_by_hand(decision, rollback, action, idempotency_key=key)
        except ConflictError as error:  # the journal's own rule: somebody was faster, maybe with the same key
            before = await self._repeated(request)
            if before is not None:
                return before
            await self._journal.change_target(target.name, lambda state: state, action=_refused(action, error))
            raise
        await self._count(target, facts, rollback)
        return ManualAnswer(number, decision, rollback, steps)

    async def _count(self, target: Target, facts: Facts, rollback: Rollback) -> None:
        """Count for the score that people go back; not after an automatic attempt, which they only repeat.

        The rollback is open already and stays so. If the score cannot be stored now, the poll that sees the change
        of version counts it.
        """
        if facts.target.handled_by is not None:
            return
        window = target.policy.watch_window
        try:
            await self._journal.change_target(
                target.name, lambda state: score.went_back(state, rollback.from_version, facts.now, window=window)
            )
        except JournalError as error:
            self._runtime.telemetry.journal_failed()
            log.error(
                "score_not_kept", target=target.name, rollback=rollback.id, error=error.message, hint=error.hint
            )


def _refused(action: OperatorAction, error: ConflictError | InvalidInputError) -> OperatorAction:
    return replace(action, reason=f"{action.reason} (refused: {error.message})")


def refusal(decision: Decision) -> ConflictError | InvalidInputError:
    """The error that tells a person why a rollback by hand is refused."""
    reason = next(each for each in decision.reasons if each.blocks)
    if reason.code is ReasonCode.NO_OPEN_ROLLBACK:
        return ConflictError(
            reason.detail, hint="Wait for it, or end it with `rearguard abort ID`; approve or veto one that waits."
        )
    if reason.code is ReasonCode.OWNER_ALLOWS:
        return ConflictError(reason.detail, hint=reason.remedy)
    if decision.trigger is Trigger.MANUAL and reason.code is ReasonCode.KNOWN_GOOD_EXISTS:
        hint = "Name a version (to_version, or --to); force (or --force) allows one that is bad, barred or unproven."
        return InvalidInputError(reason.detail, hint=hint, field="to_version")
    return InvalidInputError(reason.detail, field=None)
