"""Whom the controller asks about the world, and what it remembers of their answers: a record for each Prometheus.

Here: the records, and which of them a target has. A reload makes new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.facts.alerts_now import AlertsNow, AlertsReading
from rearguard_controller.facts.cluster_troubles import ClusterTroubles
from rearguard_controller.facts.lists import PATIENCE
from rearguard_controller.facts.owners import Owners
from rearguard_controller.facts.silences import Silences
from rearguard_controller.model import Alert, Target


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom the controller asks about some targets.

    Attributes:
        prometheus: for alerts, rules and figures.
        alertmanager: for silences and drills; None where none is configured.
        silences: what Alertmanager holds back, as it was read last.
        alerts_now: what Prometheus says fires, as it was read last.
        troubles: what Kubernetes itself tells of workloads; None where no target can be one.
        name: of the Prometheus: see `Target.prometheus`.
        targets: those that it judges.
    """

    prometheus: Prometheus
    alertmanager: Alertmanager | None
    silences: Silences
    alerts_now: AlertsNow
    troubles: ClusterTroubles | None = None
    name: str = ""
    targets: tuple[Target, ...] = ()


class SourcesOfAll:
    """Those of every target. Alertmanager and Kubernetes are the same for all, Prometheus may be another one."""

    def __init__(self, each: Sequence[Sources]) -> None:
        """That of `prometheus.url` stands first in `each`."""
        self._by_name = {one.name: one for one in each}
        self._targets = {target.name: target for one in each for target in one.targets}
        self._owners = Owners(tuple(self._targets.values()))

    def __iter__(self) -> Iterator[Sources]:
        return iter(self._by_name.values())

    @property
    def are_several(self) -> bool:
        """Whether there are several Prometheus."""
        return len(self._by_name) > 1

    @property
    def first(self) -> Sources:
        """Those with the Prometheus of `prometheus.url`; all of them know the same of anything else."""
        return next(iter(self))

    def of(self, target: Target) -> Sources:
        """Those of a target."""
        return self._by_name[target.prometheus]

    def of_dependencies(self, target: Target) -> tuple[Sources, ...]:
        """Those of what a target depends on, other than its own."""
        known = (self._targets[name] for name in target.dependencies if name in self._targets)
        return tuple(self._by_name[name] for name in {each.prometheus for each in known} - {target.prometheus})

    def independent_dependencies(self, target: Target) -> tuple[Target, ...]:
        """See `Target.independent_dependencies`."""
        return target.independent_dependencies(self._targets)

    async def readings(self, alerts: Sequence[Alert], delivered: float) -> tuple[AlertsReading, ...]:
        """The alerts that each Prometheus has which may have one of these; see `AlertsNow.read`.

        A delivery does not say which Prometheus it comes from. One that does not answer soon is left out, so that it
        holds up no alert of another: its own alerts are judged as they were delivered, and found by its poll.
        """
        if not self.are_several:
            return (await self.first.alerts_now.read(alerts=alerts, delivered=delivered),)
        wanted: dict[str, list[Alert]] = {name: [] for name in self._by_name}
        for alert in alerts:
            owners = {target.prometheus for target in self._owners.of(alert.labels)}
            for name in owners or wanted:
                wanted[name].append(alert)
        found = await self._read({name: of for name, of in wanted.items() if of}, 0.0)
        known = {id(each) for name, reading in found.items() for each in wanted[name] if reading.has_firing(each)}
        new = {name: [each for each in wanted[name] if id(each) not in known] for name in found}
        found |= await self._read({name: of for name, of in new.items() if of}, delivered)
        return tuple(found.values())

    async def _read(self, wanted: dict[str, list[Alert]], delivered: float) -> dict[str, AlertsReading]:
        tasks = {
            asyncio.create_task(self._by_name[name].alerts_now.read(alerts=alerts, delivered=delivered)): name
            for name, alerts in wanted.items()
        }
        if not tasks:
            return {}
        try:
            done, _ = await asyncio.wait(tasks, timeout=PATIENCE)
        finally:
            for task in tasks:
                task.cancel()  # a reading that is shared goes on
        return {tasks[task]: task.result() for task in done}
