"""Who can be asked PromQL: one protocol, so that a measurement need not know whether its answers are recorded.

Here: also how several replicas that are asked as one are asked apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rearguard_controller.adapters.prometheus import Series
from rearguard_controller.adapters.prometheus.answers import About
from rearguard_controller.model import Sample


class Asks(Protocol):
    """Who answers PromQL: Prometheus itself, or `RecordedQueries`, which keeps its answers as evidence."""

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """A vector or scalar at a moment (seconds since the epoch), or now."""

    async def query_range(
        self, expression: str, start: float, end: float, step: float, about: About | None = None
    ) -> tuple[Series, ...]:
        """A figure from `start` to `end` (seconds since the epoch) every `step` seconds; `about`: of these series."""


@runtime_checkable
class Several(Protocol):
    """Who asks several replicas, or may do so."""

    @property
    def replicas(self) -> Sequence[Asks]:
        """Each of them by itself."""


def apart(asks: Asks) -> Sequence[Asks]:
    """Each replica by itself; who has none stands alone."""
    return asks.replicas if isinstance(asks, Several) else (asks,)
