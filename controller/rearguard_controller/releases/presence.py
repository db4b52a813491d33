"""What Prometheus shows of a target's instances: are all scraped, and which version do they tell? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rearguard_controller.adapters.prometheus.promql import LOOK_BACK
from rearguard_controller.model import VERSION_LABEL, Labels, Sample
from rearguard_controller.model.labels import NO_VERSION

TARGET_INFO = "target_info"
SHOWN_FOR = 2 * LOOK_BACK  # seconds after which Prometheus shows no sample any more, whatever the clocks differ


@dataclass(frozen=True, slots=True)
class Instances:
    """A target's instances as Prometheus showed them at a moment."""

    asked_at: float  # by our clock
    samples: Sequence[Sample] | None = None  # `promql.presence`, one or two of each; None: it could not be asked
    ages: Sequence[Sample] | None = None  # when each was scraped, in seconds from `asked_at` on; None: not asked


@dataclass(frozen=True, slots=True)
class Presence:
    """What Prometheus sees of a target's instances now; None where it could not be asked."""

    up: bool | None = None  # at least one instance, and all of them scraped
    service_version: str | None = None  # when all instances show the same one, scraped since the last change
    named: bool | None = None  # whether any target_info tells a version; None when there is no target_info


def is_long_ago(since: float, asked_at: float) -> bool:
    """Whether every sample that is shown was scraped after `since`."""
    return asked_at - since > SHOWN_FOR


def presence_of(seen: Instances, since: float) -> Presence:
    """What these instances tell; `since` is when another version began to serve."""
    samples = seen.samples
    if samples is None:
        return Presence()
    named = {_address(sample.labels) for sample in samples if VERSION_LABEL in sample.labels}
    versions = {  # `up` names no version, and says nothing of an instance whose target_info does
        sample.labels.get(VERSION_LABEL)
        for sample in samples
        if VERSION_LABEL in sample.labels or _address(sample.labels) not in named
    }
    told = [sample.labels for sample in samples if sample.labels.get("__name__") == TARGET_INFO]
    return Presence(
        named=any(labels.get(VERSION_LABEL, "").lower() not in NO_VERSION for labels in told) if told else None,
        up=bool(samples) and all(sample.value == 1 for sample in samples),
        service_version=versions.pop() if len(versions) == 1 and _is_fresh(seen, since) else None,
    )


def _is_fresh(seen: Instances, since: float) -> bool:
    """Whether every instance was scraped after `since`."""
    if is_long_ago(since, seen.asked_at):
        return True
    return bool(seen.ages) and all(seen.asked_at + sample.value > since for sample in seen.ages or ())


def _address(labels: Labels) -> tuple[str, str]:
    return labels.get("job", ""), labels.get("instance", "")


def tells(instances: Instances | None) -> bool:
    """Whether a change of version would be seen: all instances show one, or Prometheus cannot be asked now."""
    if instances is None:
        return False
    return instances.samples is None or presence_of(instances, 0.0).service_version is not None
