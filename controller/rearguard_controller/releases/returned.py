"""Tells people once when a version serves again that a rollback had led away from, whatever brought it back.

Here: noticing the return, remembering in the journal that people were told, and finding the rollback. Nothing is done
about it: at most one automatic rollback ever leads away from the same version.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from rearguard_controller.model import Release, Rollback, StepKind, TargetState
from rearguard_controller.releases.trust import has_returned
from rearguard_controller.runtime import Runtime
from rearguard_controller.wording import moment

log = structlog.get_logger(__name__)

LOOKED_THROUGH = 100  # newest rollbacks of a target that are searched for the one that led away


class Returns:
    """Tells of returns, for the leader."""

    def __init__(self, runtime: Runtime) -> None:
        """Wire it."""
        self._journal, self._lead = runtime.journal, runtime.lead
        self._notices = runtime.notices

    async def look(self, state: TargetState, release: Release | None) -> None:
        """Tell of the serving version, if it is a return that nobody was told of yet.

        Raises:
            JournalError, LeaseLostError: it could not be remembered, and was not told.
        """
        began = state.serving_since
        if release is None or began is None or not has_returned(state, release) or state.told_bad_since == began:
            return
        led_away = await self._led_away(release)
        await self._lead.change_target(state.target, lambda known: replace(known, told_bad_since=began))
        log.warning(
            "bad_version_serves",
            target=state.target,
            version=release.version,
            since=moment(began),
            bad_since=moment(release.distrusted_since),
            rollback=None if led_away is None else led_away.id,
        )
        self._notices.bad_version(release, led_away, began)

    async def _led_away(self, release: Release) -> Rollback | None:
        """The newest rollback whose roll_back step away from the version has started, if it is still kept."""
        page = await self._journal.rollbacks(target=release.target, limit=LOOKED_THROUGH)
        for each in page.items:
            step = each.step_of(StepKind.ROLL_BACK)
            if each.from_version == release.version and step is not None and step.started_at is not None:
                return each
        return None
