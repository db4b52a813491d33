"""The readiness check `replicas_agree`: whether all replicas of Prometheus see a target, and see the same.

Here: what each replica is asked by itself, once for all targets, and the sentence that says where they differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rearguard_controller.adapters.prometheus import AlertingRule, Prometheus
from rearguard_controller.adapters.prometheus.figures import worst
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Check, Measurement, Sample, Target, compare
from rearguard_controller.model.checks import REPLICAS_AGREE
from rearguard_controller.watching import current_figures, instances
from rearguard_controller.watching.current_figures import Row, Table
from rearguard_controller.watching.instances import InstancesOfAll
from rearguard_controller.wording import address, describe

DOWN = "up == 0"  # the instances that a replica cannot scrape
_MOST_NAMED = 3  # differences that a sentence names

Instance = tuple[str, str]  # job and instance


@dataclass(frozen=True, slots=True)
class _Look:
    """What one replica said."""

    one: Prometheus
    down: frozenset[Instance]
    table: Table
    instances: InstancesOfAll

    @property
    def url(self) -> str:
        """Its address as a sentence may show it."""
        return address(self.one.address)


class ReplicasAgree:
    """Compares the replicas; with one address it asks nothing."""

    def __init__(self, prometheus: Prometheus, targets: Sequence[Target]) -> None:
        """Nobody was asked yet."""
        self._prometheus, self._targets = prometheus, targets
        self._looks: tuple[_Look, ...] = ()

    async def look(self, rules: Sequence[AlertingRule]) -> None:
        """Ask each replica for the figures of these rules, and for what it cannot scrape."""
        replicas = self._prometheus.replicas
        if len(replicas) > 1:
            found = await asyncio.gather(*(_look(each, rules, self._targets) for each in replicas))
            self._looks = tuple(each for each in found if each is not None)
        else:
            self._looks = ()

    async def check(self, target: Target, rules: Sequence[AlertingRule]) -> Check:
        """Whether the replicas agree about a target; `rules` are its trigger rules."""
        away = self._prometheus.away
        if len(self._looks) > 1:
            seen = await asyncio.gather(*(_scraped(each, target) for each in self._looks))
            differences = [*_unscraped(self._looks, seen), *self._figures(target, rules, seen)]
            if differences:
                more = len(differences) - _MOST_NAMED
                told = "; ".join(differences[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
                detail = f"The replicas of Prometheus disagree: {told}. No fault of this target is judged by them."
                return Check(REPLICAS_AGREE, False, detail)
        if away:
            told = " ".join(away.values())
            return Check(REPLICAS_AGREE, None, f"Not all replicas of Prometheus answer; the others are used. {told}")
        if len(self._looks) > 1:
            return Check(REPLICAS_AGREE, True, f"All {len(self._looks)} replicas of Prometheus say the same.")
        return Check(REPLICAS_AGREE, True, "One address of Prometheus is asked.")

    def _figures(
        self, target: Target, rules: Sequence[AlertingRule], seen: Sequence[frozenset[Instance]]
    ) -> Iterable[str]:
        """Where the figures of a target are past their thresholds at one replica only, or are lacking at one."""
        for key in dict.fromkeys(current_figures.keys_of(rules)):
            rows = [each.table.get(key) for each in self._looks]
            measured = [None if row is None else _measured(row, target) for row in rows]
            known = [each for each in measured if each is not None]
            lacking = [scrapes for each, scrapes in zip(measured, seen, strict=True) if each is None and scrapes]
            name = next((row.alert for row in rows if row is not None), "")
            if known and (len({each.past for each in known}) > 1 or lacking):
                told = ", ".join(
                    f"{look.url}: {'no figure' if each is None else describe(each)}"
                    for look, each, scrapes in zip(self._looks, measured, seen, strict=True)
                    if each is not None or scrapes
                )
                yield f"{name} by {told}"


async def _look(one: Prometheus, rules: Sequence[AlertingRule], targets: Sequence[Target]) -> _Look | None:
    try:
        down, table = await asyncio.gather(one.query(DOWN), current_figures.tabulate(one, rules))
    except SourceError:  # it is away, which the next question to all of them notes
        return None
    seen = await instances.read(one, targets, ages=False)
    return _Look(one, frozenset(map(_instance, down)), table, seen)


async def _scraped(look: _Look, target: Target) -> frozenset[Instance]:
    seen = await look.instances.of(target)
    return frozenset(_instance(sample) for sample in seen.samples or () if sample.value == 1)


def _unscraped(looks: Sequence[_Look], seen: Sequence[frozenset[Instance]]) -> Iterable[str]:
    """The instances that one replica scrapes and another one cannot."""
    for look in looks:
        for other, shown in zip(looks, seen, strict=True):
            for job, instance in sorted(look.down & shown):
                yield f"{look.url} cannot scrape {instance} (job {job}), and {other.url} can"


def _measured(row: Row, target: Target) -> Measurement | None:
    """The worst value of a target in a row against its threshold; None without one of them."""
    found = [reading.value for reading in current_figures.readings(row, target.telemetry)]
    value, threshold = worst(found, row.operator), current_figures.threshold_in(row, target.telemetry)
    if value is None or threshold is None:
        return None
    return Measurement(value, threshold, row.operator, compare(value, row.operator, threshold))


def _instance(sample: Sample) -> Instance:
    return sample.labels.get("job", ""), sample.labels.get("instance", "")
