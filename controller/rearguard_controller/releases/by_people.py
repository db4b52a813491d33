"""What CI and people say of targets and releases: arm, disarm, announce.

Here: each word with its record in the audit, in one transaction. Any replica may be told, so no lease is needed.
"""

from __future__ import annotations

from dataclasses import replace

from rearguard_controller.errors import InvalidInputError
from rearguard_controller.model import Release, ReleasePhase, Said, Target, TargetState
from rearguard_controller.releases.trust import announced
from rearguard_controller.runtime import Runtime


class ReleaseWords:
    """Records what people say of targets and releases."""

    def __init__(self, runtime: Runtime) -> None:
        """Wire it."""
        self._journal, self._clock = runtime.journal, runtime.clock

    async def arm(self, target: Target, said: Said) -> TargetState:
        """Switch automatic rollbacks of a target on; returns its new state."""
        return await self._turn(target, said, armed=True, until=None)

    async def disarm(self, target: Target, said: Said, until: float | None = None) -> TargetState:
        """Switch automatic rollbacks of a target off, for good or until a moment (seconds since the epoch)."""
        return await self._turn(target, said, armed=False, until=until)

    async def _turn(self, target: Target, said: Said, *, armed: bool, until: float | None) -> TargetState:
        now = self._clock()
        return await self._journal.change_target(
            target.name,
            lambda state: replace(
                state,
                armed=armed,
                armed_reason=said.reason,
                armed_changed_at=now,
                disarmed_until=until,
                disarmed_by=None,
            ),
            action=said.action("arm" if armed else "disarm", target.name, now),
        )

    async def announce(
        self,
        target: Target,
        version: str,
        *,
        operator: str,
        phase: str | None = None,
        barrier: bool | None = None,
        good: bool | None = None,
    ) -> Release:
        """Record what CI or a person says of a release.

        Args:
            target: whose release.
            version: as `current` prints it.
            operator: who says so. What is said is the reason that the audit shows.
            phase: `started` or `finished`; None when only the release's marks are meant.
            barrier: never go back past it automatically.
            good: trust it from now on; clears a bad or suspect mark. False takes trust away.

        Returns:
            What is now remembered of the release.

        Raises:
            InvalidInputError: there is no such phase.
        """
        if phase not in (None, *ReleasePhase):
            raise InvalidInputError(f"phase is {phase!r}.", hint="It is `started` or `finished`.", field="phase")
        now = self._clock()
        marks = ", ".join(part for part in (phase, _mark("barrier", barrier), _mark("good", good)) if part)
        said = Said(operator, f"{version}: {marks or 'announced'}")
        release = await self._journal.change_release(
            target.name,
            version,
            lambda known: announced(known, target.name, version, now, barrier=barrier, good=good),
            action=said.action("release", target.name, now),
        )
        if phase is not None:
            started = now if phase == ReleasePhase.STARTED else None
            await self._journal.change_target(target.name, lambda state: replace(state, deploy_started_at=started))
        return release


def _mark(name: str, value: bool | None) -> str:  # a mark and its value belong together
    return "" if value is None else name if value else f"not {name}"
