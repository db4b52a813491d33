"""The clock of a Prometheus against ours: how far it is ahead, and its times as ours.

Here: the measurement, and moving the times of answers. Everything above this adapter knows our clock only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from rearguard_controller.adapters.prometheus.answers import PrometheusAlert, Series
from rearguard_controller.model import Sample

SHIFT_FROM = 2.0  # seconds of difference, beyond what cannot be measured, from which on times are moved


class Skew(NamedTuple):
    """How far a clock is ahead of ours, in seconds, and how much of that may be the measurement's."""

    ahead: float
    unsure: float

    @property
    def shift(self) -> float:
        """Seconds by which times are moved: none while the clocks may be the same."""
        return round(self.ahead, 3) if abs(self.ahead) - self.unsure > SHIFT_FROM else 0.0


def skew(theirs: float, asked_at: float, answered_after: float) -> Skew:
    """The skew by one answer.

    Args:
        theirs: what their clock said, in seconds since the epoch.
        asked_at: what ours said when they were asked.
        answered_after: seconds until the answer came; their clock was read at some moment in between.
    """
    return Skew(theirs - asked_at - answered_after / 2, answered_after / 2)


def ours_of_samples(samples: Iterable[Sample], shift: float) -> tuple[Sample, ...]:
    """Samples with times of our clock."""
    if not shift:
        return tuple(samples)
    return tuple(each if each.at is None else replace(each, at=each.at - shift) for each in samples)


def ours_of_series(series: Iterable[Series], shift: float) -> tuple[Series, ...]:
    """Series with times of our clock."""
    if not shift:
        return tuple(series)
    return tuple(
        Series(each.labels, tuple((round(at - shift, 3), value) for at, value in each.points)) for each in series
    )


def ours_of_alerts(alerts: Iterable[PrometheusAlert], shift: float) -> tuple[PrometheusAlert, ...]:
    """Alerts that began by our clock."""
    if not shift:
        return tuple(alerts)
    return tuple(
        each if each.active_at is None else replace(each, active_at=each.active_at - shift) for each in alerts
    )
