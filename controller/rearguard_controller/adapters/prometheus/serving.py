"""Which version of a service serves, by what Prometheus scrapes of its instances.

Here: the questions, and which of several versions counts. A version that is new beside another one serves; one that
is gone and was followed by nothing still does. The back-test tells versions of the past by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.adapters.prometheus.client import Prometheus
from rearguard_controller.adapters.prometheus.promql import duration, selector_text, series_of
from rearguard_controller.errors import SourceError
from rearguard_controller.model import PrometheusRelease, Sample
from rearguard_controller.model.labels import NO_VERSION
from rearguard_controller.times import durations

_LOOKS_BACK = ((7200.0, 30.0), (172_800.0, 600.0))  # seconds, every so many: when was each version first seen?
_GONE_FOR = 86_400.0  # seconds for which a service may be down, and its version still be known
_EVERY = 60.0  # seconds between two moments of that time that are looked at
_NAME_IT = (
    "Give the service its version: Monitor(version=...), REARGUARD_VERSION, or service.version in"
    " OTEL_RESOURCE_ATTRIBUTES."
)


async def serving_version(prometheus: Prometheus, release: PrometheusRelease) -> str:
    """The version that the instances of a target show.

    Raises:
        SourceError: Prometheus did not answer, or no instance tells a version.
    """
    label, series = release.label, series_of(release.metric, release.telemetry)
    shown = await prometheus.query(f"count by ({label}) ({series})")
    named = _versions(shown, label)
    if shown and not named:
        raise SourceError(f"{_nameless(release, shown)} {_NAME_IT}")
    if not named:
        return await _last(prometheus, release, series)
    if len(named) == 1:
        return named.pop()
    for seconds, every in _LOOKS_BACK:
        within = f"[{duration(seconds)}:{duration(every)}]"
        first = await prometheus.query(f"min by ({label}) (min_over_time(timestamp({series}){within}))")
        began = {each.labels.get(label, ""): each.value for each in first if each.labels.get(label, "") in named}
        newest = [version for version in named if began.get(version, 0.0) == max(began.values(), default=0.0)]
        if len(newest) == 1:
            return newest[0]
    return max(named)  # side by side for two days: neither is a release


async def _last(prometheus: Prometheus, release: PrometheusRelease, series: str) -> str:
    """The version that was shown last, of a service that is down."""
    label, within = release.label, f"[{duration(_GONE_FOR)}:{duration(_EVERY)}]"
    seen = await prometheus.query(f"max by ({label}) (max_over_time(timestamp({series}){within}))")
    gone = [each for each in seen if each.labels.get(label, "").lower() not in NO_VERSION]
    if not gone:
        where = f"{release.metric}{selector_text(release.telemetry)}"
        raise SourceError(
            f"Prometheus has no {where}, and had none within {durations.render(_GONE_FOR)}: is the service scraped,"
            " and `match` (or `telemetry`) spelt as Prometheus shows it?"
        )
    return max(gone, key=lambda each: (each.value, each.labels[label])).labels[label]


def _versions(samples: Iterable[Sample], label: str) -> set[str]:
    return {said for each in samples if (said := each.labels.get(label, "")).lower() not in NO_VERSION}


def _nameless(release: PrometheusRelease, shown: Iterable[Sample]) -> str:
    said = {each.labels.get(release.label, "") for each in shown} - {""}
    how = f"{release.label}={min(said)}" if said else f"no {release.label}"
    return f"No instance tells its version: {release.metric}{selector_text(release.telemetry)} has {how}."
