"""The one way in for what people say: trigger, approve, veto, abort, close, arm, disarm, announce.

Here: each word with who says it and why. Whoever calls (a route of the REST interface, a page, a button in a chat)
gets the same refusals. The form of a word is checked here; `intake`, `execution` or `releases` records it and says
whether the present state allows it.

It stands in `api` because that is the lowest room that may import all three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from rearguard_controller.errors import DamagedError, InvalidInputError, NotFoundError
from rearguard_controller.execution.by_people import RollbackWords
from rearguard_controller.intake.by_hand import ByHand, ManualAnswer, ManualRequest
from rearguard_controller.model import Release, Rollback, Said, Target, TargetState
from rearguard_controller.model.observations import unreadable
from rearguard_controller.model.versions import VERSION_HINT, is_version
from rearguard_controller.releases.by_people import ReleaseWords
from rearguard_controller.wording import meant, some

__all__ = ["ManualRequest", "People"]

log = structlog.get_logger(__name__)

MOST_KEY = 255  # characters of an idempotency key


@dataclass(frozen=True, slots=True)
class People:
    """Takes what people say, and hands it to the part that records it.

    Raises (by each method):
        NotFoundError: no such target or rollback.
        ConflictError: the present state does not allow it.
        InvalidInputError: it makes no sense, whatever the state.
    """

    targets: Sequence[Target]
    by_hand: ByHand
    rollbacks: RollbackWords
    releases: ReleaseWords
    clock: Callable[[], float]  # seconds since the epoch

    def target(self, name: str) -> Target:
        """The configured target of this name."""
        for target in self.targets:
            if target.name == name:
                return target
        names = [target.name for target in self.targets]
        hint = f"{meant(name[:100], names)}Configured: {some(names)}."
        raise NotFoundError(f"No target is called {name[:100]!r}.", hint=hint, field="target")

    async def trigger(self, request: ManualRequest) -> ManualAnswer:
        """Judge a request for a rollback, and open the rollback unless it is a dry run."""
        target = self.target(request.target)
        if request.to_version is not None:
            _check_version(request.to_version, "to_version")
        if request.idempotency_key is not None:
            _check_key(request.idempotency_key)
        return await self.by_hand.open(target, request)

    async def approve(self, rollback_id: str, said: Said) -> Rollback:
        """Let a rollback that waits be begun, if a fresh judgement finds it right."""
        return await self.rollbacks.approve(rollback_id, said)

    async def veto(self, rollback_id: str, said: Said) -> Rollback:
        """Close a rollback that waits; nothing is begun."""
        return await self.rollbacks.veto(rollback_id, said)

    async def abort(self, rollback_id: str, said: Said) -> Rollback:
        """End a rollback early; what was begun is undone."""
        return await self.rollbacks.abort(rollback_id, said)

    async def close(self, rollback_id: str, said: Said) -> Rollback:
        """Close a rollback that cannot finish."""
        return await self.rollbacks.close(rollback_id, said)

    async def arm(self, target_name: str, said: Said) -> TargetState:
        """Allow automatic rollbacks of a target."""
        return await self.releases.arm(self.target(target_name), said)

    async def disarm(self, target_name: str, said: Said, until: float | None = None) -> TargetState:
        """Forbid automatic rollbacks of a target, for good or until a moment (seconds since the epoch)."""
        target = self.target(target_name)
        self._check_until(until)
        return await self.releases.disarm(target, said, until)

    async def disarm_all(self, said: Said, until: float | None = None) -> tuple[TargetState, ...]:
        """Forbid automatic rollbacks of every target; their states in the order of the configuration."""
        self._check_until(until)
        return tuple([await self._disarmed(target, said, until) for target in self.targets])

    async def _disarmed(self, target: Target, said: Said, until: float | None) -> TargetState:
        """The target's state after it was disarmed; of a damaged one the state that says so, and nobody judges it."""
        try:
            return await self.releases.disarm(target, said, until)
        except DamagedError as error:
            log.error("record_unreadable", target=target.name, error=error.message, hint=error.hint)
            return unreadable(target.name)

    async def announce(
        self,
        target_name: str,
        version: str,
        *,
        operator: str,
        phase: str | None = None,
        barrier: bool | None = None,
        good: bool | None = None,
    ) -> Release:
        """Note what CI or a person says of a version: see `ReleaseWords.announce`."""
        target = self.target(target_name)
        _check_version(version, "version")
        return await self.releases.announce(
            target, version, operator=operator, phase=phase, barrier=barrier, good=good
        )

    def _check_until(self, until: float | None) -> None:
        if until is not None and until <= self.clock():
            raise InvalidInputError("until must be in the future.", field="until")


def _check_version(text: str, field: str) -> None:
    """Refuse a version that cannot reach a command as an argument."""
    if not is_version(text):
        raise InvalidInputError(
            f"{field} is no version that a command can be given.",
            hint=VERSION_HINT,
            field=field,
        )


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= MOST_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInputError(
            f"Idempotency-Key must have 1 to {MOST_KEY} printable ASCII characters.", field="Idempotency-Key"
        )
