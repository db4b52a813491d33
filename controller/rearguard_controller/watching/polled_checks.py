"""The readiness checks that a poll answers from what it asked Prometheus.

Here: one function for each check. Those that also stand in `TRUST_CHECKS` deny trust while they do not hold; a check
that depends on a target says in its own sentence what cannot be seen and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rearguard_controller.adapters.prometheus import AlertingRule, Prometheus, promql
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Check, Target
from rearguard_controller.model.checks import PROMETHEUS, SCRAPE_INTERVAL, THRESHOLDS, TRIGGER_RULES
from rearguard_controller.model.observations import LONGEST_SCRAPE
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.current_figures import Row
from rearguard_controller.watching.readiness_rules import polled

Intervals = Mapping[tuple[str, str], float] | None  # seconds between scrapes by (job, instance); None: not known


@dataclass(frozen=True, slots=True)
class PolledChecks:
    """Answers the checks of one target after another; `prometheus` is asked what only one target needs."""

    prometheus: Prometheus

    async def intervals(self) -> Intervals:
        """How often every instance is scraped, asked once for all targets; None without an answer."""
        try:
            return await self.prometheus.scrape_intervals()
        except SourceError:
            return None

    async def of(
        self, target: Target, rules: Sequence[AlertingRule], rows: Sequence[Row], intervals: Intervals
    ) -> tuple[Check, ...]:
        """The checks of a target.

        Args:
            target: whose.
            rules: its trigger rules, as Prometheus has loaded them.
            rows: the figures of these rules, of all services.
            intervals: see `intervals`.
        """
        return (
            polled(PROMETHEUS, holds=True),
            _trigger_rules(rules),
            polled(THRESHOLDS, holds=_has_thresholds(target, rows)),
            polled(SCRAPE_INTERVAL, holds=await self._is_scraped_often_enough(target, intervals)),
        )

    async def _is_scraped_often_enough(self, target: Target, intervals: Intervals) -> bool | None:
        if intervals is None:
            return None
        try:
            samples = await self.prometheus.query(promql.presence(target.telemetry))
        except SourceError:
            return None
        mine = [
            intervals.get((sample.labels.get("job", ""), sample.labels.get("instance", ""))) for sample in samples
        ]
        known = [interval for interval in mine if interval is not None]
        return all(interval <= LONGEST_SCRAPE for interval in known) if known else None


def _trigger_rules(rules: Sequence[AlertingRule]) -> Check:
    healths = {rule.health for rule in rules}
    return polled(TRIGGER_RULES, holds=None if healths == {"unknown"} else bool(rules) and healths == {"ok"})


def _has_thresholds(target: Target, rows: Sequence[Row]) -> bool:
    return all(current_figures.threshold_in(row, target.telemetry) is not None for row in rows)
