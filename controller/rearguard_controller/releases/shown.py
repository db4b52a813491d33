"""What Prometheus shows of a target's instances: as a poll saw them, or asked for one target alone.

Here: asking, and since when each target's version serves, which says whether the age of a sample counts.
"""

from __future__ import annotations

from collections.abc import Callable

from rearguard_controller.adapters.prometheus.of_all import PrometheusOf
from rearguard_controller.adapters.prometheus.promql import presence
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Target
from rearguard_controller.releases.presence import Instances, Presence, is_long_ago, presence_of


class Shown:
    """Tells what is shown of each target."""

    def __init__(self, prometheus: PrometheusOf, clock: Callable[[], float]) -> None:
        """Nothing was seen yet; `clock` gives seconds since the epoch."""
        self._prometheus, self._clock = prometheus, clock
        self._arrived: dict[str, float] = {}  # target -> since when its version serves, as the last poll read it

    async def of(self, target: Target, since: float = 0.0) -> Presence:
        """What Prometheus sees of a target's instances now; `since` is when another version began to serve."""
        selector, prometheus = presence(target.telemetry), self._prometheus(target.name)
        asked_at = self._clock()
        try:
            samples = await prometheus.query(selector)
            asked_at = self._clock()
            old = is_long_ago(since, asked_at)
            ages = None if old else await prometheus.query(f"timestamp({selector}) - time()")  # below 0
        except SourceError:
            return Presence()
        return presence_of(Instances(asked_at, samples, ages), since)

    async def in_poll(self, target: Target, instances: Instances | None, since: float) -> Presence:
        """What a poll saw of the instances; without these Prometheus is asked for this target alone."""
        if instances is None:
            return await self.of(target, since)
        self._arrived[target.name] = since
        return presence_of(instances, since)

    def wants_ages(self) -> bool:
        """Whether a target changed so lately that the age of what Prometheus shows counts (see `Instances.ages`)."""
        now = self._clock()
        return not self._arrived or not all(is_long_ago(since, now) for since in self._arrived.values())
