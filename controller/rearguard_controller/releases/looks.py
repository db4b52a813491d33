"""What one look at a target is given, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rearguard_controller.model import AlertsSeen, Check, Labels, TargetState
from rearguard_controller.releases.presence import Instances


@dataclass(frozen=True, slots=True)
class Watch:
    """What the watcher saw of a target in this poll."""

    checks: tuple[Check, ...] = ()  # that this poll answered
    alerts: tuple[Labels, ...] = ()  # labels of trigger alerts, pending or firing
    figures: frozenset[str | None] = frozenset()  # service_versions that trigger rules speak of; None: of any
    seen: AlertsSeen | None = None  # every alert of the target; None when Prometheus could not be asked
    began: Mapping[str, float] = field(
        default_factory=dict
    )  # since when the first trigger alert of each name is there
    instances: Instances | None = None  # as the poll saw them; None: Prometheus is asked for this target alone
    closely: bool = True  # something may have changed, so that the version is read, and what was seen is written
    in_storm: bool = False  # so many targets have alerts that these alone are no reason for a close look


@dataclass(frozen=True, slots=True)
class Serving:
    """The answer to: which version serves now?"""

    version: str | None
    detail: str  # why it is not known
    state: TargetState
    named: bool | None = None  # see `Presence.named`
    unready: str = ""  # why the version does not serve although it is wanted; empty if nothing speaks against it
    read: bool = True  # by this look; otherwise it was read before, and nothing has told of a change since
