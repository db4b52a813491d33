"""How each target stands, as gauges.

Here: which of them are shown. In brief, a gauge that says what is usual is not shown at all: with thousands of
targets, most series would say that nothing is wrong.
Never here: counting what happened; asking whether this process leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import Gauge

from rearguard_controller.model import Outcome, Score
from rearguard_controller.model.checks import REPLICAS_AGREE
from rearguard_controller.model.observations import SCORE_COUNTS


class TargetStates:
    """The gauges of all targets; `brief` leaves the usual out from the next change on."""

    def __init__(self, gauge: Callable[[str], Gauge], checks: Sequence[str]) -> None:
        """Make the gauges.

        Args:
            gauge: makes the one of this name.
            checks: the names of the readiness checks.
        """
        self.brief = False
        self._checks = tuple(checks)
        self._armed = gauge("rearguard_target_armed")
        self._disarmed = gauge("rearguard_target_disarmed")
        self._given_up = gauge("rearguard_target_given_up")
        self._ready = gauge("rearguard_target_ready")
        self._versions = gauge("rearguard_target_version_info")
        self._observed = gauge("rearguard_observed_releases")
        self._shown_versions: dict[tuple[str, str], str] = {}

    def armed(self, target: str, *, armed: bool, by: Outcome | None) -> None:
        """Whether it may be rolled back automatically; `by` is the outcome that left it disarmed."""
        self._armed.labels(target).set(armed)
        for outcome in Outcome:
            self._show(self._disarmed, (target, outcome.value), not armed and outcome is by, usual=0)

    def given_up(self, target: str, *, given_up: bool) -> None:
        """Whether no automatic rollback is tried any more."""
        self._show(self._given_up, (target,), given_up, usual=0)

    def ready(self, target: str, checks: Mapping[str, bool | None]) -> None:
        """The readiness checks; unknown (None) is 0, but for `replicas_agree`, where it is NaN."""
        for check, holds in checks.items():
            is_unknown = holds is None and check == REPLICAS_AGREE
            self._show(self._ready, (target, check), math.nan if is_unknown else holds is True, usual=1)

    def versions(self, target: str, serving: str | None, last_known_good: str | None, bad: str | None) -> None:
        """Which version serves, is trusted, and serves although it is bad; those shown before go."""
        for state, version in (("serving", serving), ("last_known_good", last_known_good), ("bad", bad)):
            shown, new = self._shown_versions.get((target, state)), version or ""
            if shown is not None and shown != new:
                self._versions.remove(target, shown, state)
            self._show(self._versions, (target, new, state), version is not None, usual=0)
            self._shown_versions[target, state] = new

    def observed(self, target: str, score: Score) -> None:
        """The running score of what was only observed."""
        for result in SCORE_COUNTS:
            self._show(self._observed, (target, result), getattr(score, result), usual=0)

    def unknown(self, target: str, *, leads: bool, others: bool = False) -> None:
        """Nothing is known of it: the beginning, and whenever this process does not lead.

        A leader that has not looked yet shows each check as not ready, also in brief: silence would pass for health.
        Where `others` lead targets of their own beside this process, it shows no check of those: it counts as a
        leader, and 0 would pass for its word.
        """
        self.armed(target, armed=False, by=None)
        self.given_up(target, given_up=False)
        self.versions(target, None, None, None)
        self.observed(target, Score())
        for check in self._checks:
            if others and not leads:
                self._ready.remove(target, check)
            else:
                self._show(self._ready, (target, check), 0, usual=1 if leads else 0)

    def forget(self, targets: set[str]) -> None:
        """Their series are gone."""
        self._shown_versions = {key: shown for key, shown in self._shown_versions.items() if key[0] not in targets}

    def _show(self, gauge: Gauge, labels: tuple[str, ...], value: float, *, usual: float) -> None:
        if self.brief and value == usual:
            gauge.remove(*labels)
        else:
            gauge.labels(*labels).set(value)
