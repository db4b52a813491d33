"""Which alerts fire now, as Prometheus has them: one reading that all alerts judged in the same second share.

Here: the reading, and finding a delivered alert in it.
Never here: what an alert means for a target (`gather`), or waiting for the next poll (`watching`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rearguard_controller.adapters.prometheus import Prometheus, PrometheusAlert, Rules
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import Alert, AlertState, Facts, Target

SIGHT_HOLDS = 1.0  # seconds for which alerts share one reading of Prometheus' lists


@dataclass(frozen=True, slots=True)
class Known:
    """Prometheus' alerts and rules at one moment; `fault` says why they are not known."""

    alerts: Mapping[tuple[str, ...], Mapping[tuple[str, ...], Sequence[PrometheusAlert]]]  # label names, then values
    rules: Rules
    fault: str = ""
    troubled: frozenset[str] = frozenset()  # targets of which a trigger alert fires
    read_at: float = 0.0

    def best(self, alert: Alert) -> PrometheusAlert | None:
        """The alert as Prometheus has it, the firing one first: its labels are among those that were delivered."""
        labels = alert.labels
        found = [
            each
            for names, of_values in self.alerts.items()
            for each in of_values.get(tuple(labels.get(name, "") for name in names), ())
        ]
        return min(found, key=lambda each: each.state != "firing", default=None)

    def fires(self, alert: Alert) -> bool:
        """Whether it fires, as far as is known."""
        best = self.best(alert)
        return best is not None and best.state == "firing"


class Sight:
    """Prometheus' lists for all alerts that are judged: a storm of them does not read thousands of times."""

    def __init__(self, prometheus: Prometheus, trouble: Trouble, clock: Callable[[], float]) -> None:
        """Nothing is read yet."""
        self._prometheus = prometheus
        self._trouble = trouble
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: Known | None = None
        self._asked_at = 0.0

    async def known(self, alerts: Sequence[Alert], delivered: float) -> Known:
        """What Prometheus says now of these alerts, or said less than `SIGHT_HOLDS` seconds ago.

        A reading in which one of them does not fire counts only if it is not older than their delivery: Prometheus
        may have begun to say so in between.
        """
        async with self._lock:
            known, now = self._known, self._clock()
            if (
                known is None
                or not 0 <= now - self._asked_at < SIGHT_HOLDS
                or (self._asked_at < delivered and not all(map(known.fires, alerts)))
            ):
                self._asked_at = now
                known = self._known = replace(await self._read(), read_at=now)
            return known

    async def _read(self) -> Known:
        try:
            alerts, rules = await asyncio.gather(self._prometheus.alerts(), self._prometheus.rules())
        except SourceError as error:
            return Known({}, Rules(), error.message)
        found: dict[tuple[str, ...], dict[tuple[str, ...], list[PrometheusAlert]]] = {}
        for each in alerts:
            of_values = found.setdefault(tuple(each.labels), {})
            of_values.setdefault(tuple(each.labels.values()), []).append(each)
        troubled = self._trouble.see(each.labels for each in alerts if each.state is AlertState.FIRING)
        return Known(found, rules, troubled=troubled)


def as_alert(found: PrometheusAlert, source: str) -> Alert:
    """Prometheus' alert as ours."""
    return Alert(
        name=found.labels.get("alertname", ""),
        labels=found.labels,
        annotations=found.annotations,
        firing=found.state == "firing",
        starts_at=found.active_at,
        source=source,
    )


def with_triggers(facts: Facts, target: Target, known: Known) -> Facts:
    """The facts, with what Prometheus says of the targets that this one depends on."""
    firing = {name: "a trigger alert of it fires" for name in target.depends_on if name in known.troubled}
    return replace(facts, sick_dependencies={**firing, **facts.sick_dependencies}, dependencies_detail=known.fault)
