"""The last check of a proof of recovery: no trigger alert of the target fires for longer than it may need to clear.

Here: what Prometheus itself lists, so that a figure that was measured wrongly, or is about something else, never
proves a recovery; and whether what told of the fault is still scraped.
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.adapters.prometheus import PrometheusAlert, Rules, figures, origins
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.execution.recovery import Subject
from rearguard_controller.facts.sources import SourcesOfAll
from rearguard_controller.model import AlertState, Target
from rearguard_controller.model.observations import EXISTS
from rearguard_controller.wording import span

MOST_NAMED = 3  # alerts that a sentence names


class StillFiring:
    """Looks for the trigger alerts that fire after a rollback."""

    def __init__(self, sources: SourcesOfAll, targets: Sequence[Target]) -> None:
        """Look for the triggers of these targets, each in its own Prometheus."""
        self._sources = sources
        self._targets = {target.name: target for target in targets}

    async def after(self, subject: Subject, passed: float, *, time_is_up: bool) -> str:
        """What stands in the way of `recovered`, as a sentence; empty if nothing does.

        An alert stands in the way while it fires. Exception: by its own figure its fault is over for the destination,
        and it may still need to clear. Without a figure the exception holds only once the time is up, because such an
        alert ends with its expression.

        Args:
            subject: whose recovery is to be proved.
            passed: seconds since the version was put back.
            time_is_up: whether this is the last look.
        """
        target = self._targets.get(subject.target)
        if target is None:  # no target of the configuration any more: its triggers are not known
            return ""
        own = self._sources.of(target)
        reading = await own.alerts_now.read(max_age=0.0)
        if reading.fault:
            return f"it is not known which alerts fire: {reading.fault}"
        names: list[str] = []
        for alert in reading.alerts:
            if alert.state != AlertState.FIRING or alert.name in names or not target.triggered_by(alert.labels):
                continue
            if not await self._may_clear(own.prometheus, alert, reading.rules, target, subject, passed, time_is_up):
                names.append(alert.name)
            if len(names) == MOST_NAMED:
                break
        if not names:
            return await self._source_gone(own.prometheus, subject, reading.rules)
        fire = "fires" if len(names) == 1 else "fire"
        return f"{', '.join(names)} still {fire} in Prometheus, {span(passed)} after the rollback"

    async def _source_gone(self, prometheus: Asks, subject: Subject, rules: Rules) -> str:
        """Why the end of an alert without a figure proves nothing: what told of it is not scraped any more."""
        for condition in subject.conditions:
            if condition.threshold != EXISTS:
                continue
            try:
                jobs = await origins.gone(prometheus, condition.figure, rules, subject.acted_at)
            except SourceError as error:
                return f"it is not known whether what told of {condition.alert} is scraped: {error.message}"
            if jobs:
                named = ", ".join(jobs[:MOST_NAMED])
                return f"nothing of {named}, which told of {condition.alert}, is scraped now"
        return ""

    async def _may_clear(
        self,
        prometheus: Asks,
        alert: PrometheusAlert,
        rules: Rules,
        target: Target,
        subject: Subject,
        passed: float,
        time_is_up: bool,
    ) -> bool:
        condition = figures.condition_of(alert, rules, target)
        if condition is None or passed > condition.clears:
            return False
        if condition.threshold == EXISTS and not time_is_up:
            return False
        left = None if subject.shows else subject.left
        try:
            measured = await figures.measure(prometheus, condition, version=subject.shows, but_not=left)
        except SourceError:
            return False
        return measured.past is False
