"""The watchers of several Prometheus as one: each polls its own targets, side by side, and holds up no other.

Here: whose answer counts for a target, and what is said of all of them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rearguard_controller.adapters.prometheus.of_all import PrometheusOf
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.model import Alert, Check, Condition, Target, Traffic
from rearguard_controller.watching.current_figures import Reading
from rearguard_controller.watching.curves import Curves
from rearguard_controller.watching.poll import Watcher


@dataclass(frozen=True, slots=True)
class _Said:
    """What all of them say."""

    said: str


class Watchers:
    """What `Watcher` is for one Prometheus; every method does what the one of the same name does there."""

    def __init__(self, each: Mapping[str, Watcher], targets: Sequence[Target], asked: PrometheusOf) -> None:
        """Watch by these, by the name of the Prometheus; `targets` are those of all, `asked` is whom they ask."""
        self._each, self._asked = each, asked
        self._of = {target.name: each[target.prometheus] for target in targets}

    async def run(self, intake: Intake) -> None:
        """Poll for ever."""
        async with asyncio.TaskGroup() as group:
            for one in self._each.values():
                group.create_task(one.run(intake))

    async def poll(self, intake: Intake) -> None:
        """Look once at everything."""
        await asyncio.gather(*(one.poll(intake) for one in self._each.values()))

    @property
    def unmatched(self) -> _Said:
        """Trigger alerts that match no target of the Prometheus that has them."""
        told = {name: one.unmatched.said for name, one in self._each.items()}
        return _Said(" ".join(f"Prometheus{name and f' {name}'}: {said}" for name, said in told.items() if said))

    def firing(self, target_name: str) -> tuple[Alert, ...]:
        """The alerts that fire."""
        return self._of[target_name].firing(target_name)

    def triggers(self, target: Target) -> tuple[tuple[Alert, Condition | None], ...]:
        """Those that may roll the target back."""
        return self._of[target.name].triggers(target)

    def ready(self, target_name: str) -> Mapping[str, bool | None]:
        """The readiness checks."""
        return self._of[target_name].ready(target_name)

    def polled(self, target_name: str) -> Mapping[str, Check]:
        """Those that the last poll answered."""
        return self._of[target_name].polled(target_name)

    def speaking(self, target_name: str) -> tuple[str, ...]:
        """The trigger rules that can tell how a target is."""
        return self._of[target_name].speaking(target_name)

    def not_ready(self, target_name: str) -> tuple[Check, ...]:
        """The checks that do not hold or are not known."""
        return self._of[target_name].not_ready(target_name)

    def figures(self, target_name: str) -> tuple[Reading, ...]:
        """The target's figures."""
        return self._of[target_name].figures(target_name)

    def traffic(self, target_name: str) -> tuple[Traffic, ...]:
        """What it answered."""
        return self._of[target_name].traffic(target_name)

    def curves(self, target_name: str) -> Curves:
        """What is drawn over time."""
        return Curves(self._asked(target_name))  # of one that is no target any more, too

    def most_apart(self, target_name: str) -> float:
        """Seconds that two looks at a target may lie apart."""
        return self._of[target_name].most_apart(target_name)

    def prometheus_age(self, target_name: str = "") -> float | None:
        """Seconds since the target's Prometheus last answered; without a target of the one that is silent longest."""
        if target_name:
            return self._of[target_name].prometheus_age()
        ages = [one.prometheus_age() for one in self._each.values()]
        known = [age for age in ages if age is not None]
        return max(known) if len(known) == len(ages) else None

    def poll_seconds(self) -> float:
        """How long the last poll lasted, of all the longest."""
        return max(one.poll_seconds() for one in self._each.values())

    def clock_skew(self) -> float:
        """Seconds that a Prometheus' clock is ahead of ours, of all the largest."""
        known = [skew for one in self._each.values() if not math.isnan(skew := one.clock_skew())]
        return max(known, key=abs, default=math.nan)
