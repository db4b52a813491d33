"""Times by the clock of a Prometheus as times by ours. Everything above this adapter knows our clock only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rearguard_controller.adapters.prometheus.answers import PrometheusAlert, Series
from rearguard_controller.model import Sample


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
