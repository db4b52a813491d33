"""What the last poll saw of one target: alerts, checks, figures, requests. It is replaced whole; nobody locks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rearguard_controller.model import Alert, Check, Condition, Traffic
from rearguard_controller.watching.current_figures import Reading


@dataclass(frozen=True, slots=True)
class LastPoll:
    """What the last poll saw of one target."""

    firing: tuple[Alert, ...] = ()  # every alert of the target, triggers or not
    triggers: tuple[tuple[Alert, Condition | None], ...] = ()  # those that may roll back
    checks: Mapping[str, Check] = field(default_factory=dict)  # by name
    readings: tuple[Reading, ...] = ()
    traffic: tuple[Traffic, ...] = ()
