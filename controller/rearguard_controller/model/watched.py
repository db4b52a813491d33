"""What one note in the journal says of all targets at once: until when each was seen as its own record says.

Here: the note, and what it makes of a target's state. So a fleet in which nothing happens costs one small write for
each poll, and a restart still knows until when each target was watched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rearguard_controller.model.observations import TargetState

MOST_LEFT_OUT = 200  # targets that a note may name; with more there is none, and the one before it stays
MOST_APART = 400  # targets with moments of their own in it; the records of more are written themselves


@dataclass(frozen=True, slots=True)
class Watched:
    """At `at`, whoever leads since `since` had seen every target, as the target's record says, but for `but_not`.

    `apart` are targets that were looked at closely, with later moments of their own.
    """

    since: float
    at: float
    but_not: tuple[str, ...] = ()
    apart: Mapping[str, float] = field(default_factory=dict)

    def of(self, state: TargetState) -> TargetState:
        """The state of a target, seen until then; only moments that were recorded since `since` are moved on."""
        if state.target in self.but_not:
            return state
        alerts, at = state.alerts, self.apart.get(state.target, self.at)
        return replace(
            state,
            looked_at=self._later(state.looked_at, at),
            clean_checked_at=self._later(state.clean_checked_at, at),
            alerts=None if alerts is None else replace(alerts, at=self._later(alerts.at, at) or alerts.at),
        )

    def _later(self, moment: float | None, at: float) -> float | None:
        return moment if moment is None or not self.since <= moment < at else at
