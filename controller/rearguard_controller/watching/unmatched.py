"""Trigger alerts that fire and match no target: nobody would be rolled back for them, and nobody would know.

Here: which ones the last poll saw, in one sentence. Each set of them is logged once.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from rearguard_controller.adapters.prometheus import PrometheusAlert
from rearguard_controller.model import DRILL_LABEL, AlertState, Labels
from rearguard_controller.wording import clock_time

log = structlog.get_logger(__name__)

MOST_TOLD = 3  # alerts that are named
TELLING = ("service_name", "deployment_environment_name", "namespace", "job")  # labels that say whose an alert is
HINT = "Add a target whose `match` fits, or correct the labels of a target's `match`: rearguard check --live."


class Unmatched:
    """What the last poll saw."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._said, self._names = "", frozenset[str]()

    @property
    def said(self) -> str:
        """What fires and what to do; empty without such an alert."""
        return f"{self._said} {HINT}".strip() if self._said else ""

    def see(self, alerts: Sequence[PrometheusAlert]) -> None:
        """These trigger alerts match no target; drills and what is only pending are left out."""
        found: dict[str, float | None] = {}
        for each in alerts:
            if each.state == AlertState.FIRING and not each.labels.get(DRILL_LABEL):
                found.setdefault(_called(each.name, each.labels), each.active_at)
        self._said = _sentence(found) if found else ""
        if found and not found.keys() <= self._names:
            log.warning("alert_without_target", error=self._said, hint=HINT)
        self._names = frozenset(found)


def _sentence(found: dict[str, float | None]) -> str:
    told = [
        name if at is None else f"{name} since {clock_time(at)}"
        for name, at in sorted(found.items(), key=lambda each: each[0])
    ]
    more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    what = "A trigger alert fires and matches" if len(told) == 1 else f"{len(told)} trigger alerts fire and match"
    return f"{what} no target: {', '.join(told[:MOST_TOLD])}{more}."


def _called(name: str, labels: Labels) -> str:
    own = ", ".join(f'{label}="{labels[label]}"' for label in TELLING if labels.get(label))
    return f"{name} ({own})" if own else name
