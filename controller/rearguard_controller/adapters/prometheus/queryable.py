"""Who can be asked PromQL: one protocol, so that a measurement need not know whether its answers are recorded."""

from __future__ import annotations

from typing import Protocol

from rearguard_controller.adapters.prometheus import Series
from rearguard_controller.model import Sample


class Asks(Protocol):
    """Who answers PromQL: Prometheus itself, or `RecordedQueries`, which keeps its answers as evidence."""

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """A vector or scalar at a moment (seconds since the epoch), or now."""

    async def query_range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """A figure from `start` to `end` (seconds since the epoch) every `step` seconds."""
