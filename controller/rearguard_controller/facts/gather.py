"""Gathers everything that a judgement may know, once per target for all alerts that are judged together.

Here: who is asked, side by side. The readings themselves stand in `target_facts`, `alert_facts` and `measurements`;
each returns its values together with their evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rearguard_controller.adapters.prometheus import PrometheusAlert
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.facts import dependencies
from rearguard_controller.facts.alert_facts import Confirmation, confirm
from rearguard_controller.facts.alerts_now import READING_HOLDS, AlertsReading
from rearguard_controller.facts.dependencies import NOTHING, Counted
from rearguard_controller.facts.measurements import measure, not_asked
from rearguard_controller.facts.pieces import in_pieces
from rearguard_controller.facts.sources import SourcesOfAll
from rearguard_controller.facts.target_facts import TargetReader, of_companions, of_others, with_others
from rearguard_controller.model import (
    Alert,
    AlertFacts,
    AlertState,
    Companion,
    Condition,
    Facts,
    Measured,
    Target,
    TargetFacts,
)
from rearguard_controller.model.observations import OF_CLUSTER
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime

_UNMEASURED = Measured()


class Alike:
    """The facts of alerts that are judged together; those of which the same is known share one record."""

    def __init__(self, facts: Facts) -> None:
        """`facts` are those of their target."""
        self._facts = facts
        self._known: dict[tuple[object, ...], Facts] = {}

    def of(self, said: AlertFacts, measured: Measured) -> Facts:
        """The facts of an alert."""
        evidence = map(id, said.evidence)  # what is known keeps it, so that no other object gets one of these ids
        key = (said.state, said.detail, said.silencing, said.is_foreign, id(measured), *evidence)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = replace(self._facts, alert=said, measured=measured)
        return known


@dataclass(frozen=True, slots=True)
class Gathered:
    """Facts, with the alert as Prometheus knows it and the condition to watch."""

    facts: Facts
    alert: Alert
    condition: Condition | None


class FactGatherer:
    """Asks the outside world and the journal on behalf of the judgement."""

    def __init__(
        self,
        runtime: Runtime,
        sources: SourcesOfAll,
        releases: Releases,
        targets: Sequence[Target] = (),
    ) -> None:
        """Use these sources; `releases` reads which version serves; `targets` may go back together."""
        self._targets = {target.name: target for target in targets if target.policy.together}
        self._clock = runtime.clock
        self._target, self._releases = TargetReader(runtime, releases), releases
        self._sources = sources
        self._silences, self._troubles = sources.first.silences, sources.first.troubles

    async def gather(
        self,
        target: Target,
        alerts: Sequence[Alert],
        *,
        delivered: float = 0.0,
        max_age: float = READING_HOLDS,
        record: bool = True,
        as_if: PrometheusAlert | None = None,
        spare: bool = False,
    ) -> tuple[Gathered | Exception, ...]:
        """All facts for judging alerts of `target`, in the order of the alerts; what they share is asked once.

        Where a fault of ours keeps one alert from being judged, that fault stands in its place.

        Args:
            target: the one that all these alerts belong to.
            alerts: as they were delivered or found.
            delivered: when the last of them came by webhook, in seconds since the epoch; 0 if none did.
            max_age: how old the reading of Prometheus' alerts may be, in seconds; with 0 it is read anew.
            record: whether a change of version is written down, which a full disk may refuse.
            as_if: an alert that is made up, and judged as if Prometheus had it. No storm follows from it.
            spare: in a storm of very many targets ask neither the target's commands nor for its figures: nothing that
                they say could lead to a rollback. What was not asked is unknown, and said to be.

        Raises:
            JournalError: the journal cannot be read.
        """
        alerts_now = self._sources.of(target).alerts_now
        trouble = alerts_now.trouble
        before, spared = trouble.recent(), trouble.spared() if spare else ""
        reading, facts, companions, elsewhere, _ = await asyncio.gather(
            alerts_now.read(max_age=max_age, alerts=alerts, delivered=delivered),
            self._target.read(target, record=record, spared=spared),
            self._companions(target, spared),
            self._elsewhere(target, max_age),
            self._silences.look(),
        )
        reading = reading if as_if is None else reading.with_one(as_if)
        confirmed = [self._confirmed(target, alert, reading, facts.now) async for alert in in_pieces(alerts)]
        measured = await self._by_cluster(target, alerts, confirmed, facts.now)
        fires = any(isinstance(each, Confirmation) and each.facts.state is AlertState.FIRING for each in confirmed)
        if as_if is None and fires:
            trouble.saw(target.name)
        pending = {name: of for each in (reading, *elsewhere) for name, of in each.pending.items()}
        independent = [each.name for each in self._sources.independent_dependencies(target)]
        known = with_others(
            facts.target,
            target,
            reading.troubled.union(*(each.troubled for each in elsewhere)),
            lasting=reading.lasting.union(*(each.lasting for each in elsewhere)),
            pending={name: pending[name] for name in independent if name in pending},
            lately=before if spared else trouble.recent(),  # it is the storm for whose sake nothing was asked
            storm=trouble.limit,
            fault=next((each.fault for each in (reading, *elsewhere) if each.fault), ""),
        )
        counted = await self._dependencies(target, known, facts.now) if fires and not spared else NOTHING
        others = (of_others(target, known, reading.read_at), *counted.evidence, *of_companions(companions))
        known = replace(known, counted_dependencies=counted.counts, companions=companions)
        facts = replace(facts, target=replace(known, evidence=(*known.evidence, *others)))
        return await self._each(target, facts, confirmed, measured, record=record)

    async def _each(
        self,
        target: Target,
        facts: Facts,
        confirmed: Sequence[Confirmation | Exception],
        measured: list[tuple[Condition, Measured]],
        *,
        record: bool,
    ) -> tuple[Gathered | Exception, ...]:
        """What was found of each alert; a fault of ours in the place of the alert that it kept from being judged."""
        alike, prometheus = Alike(facts), self._sources.of(target).prometheus
        gathered: list[Gathered | Exception] = []
        for said in confirmed:
            try:
                if isinstance(said, Exception):
                    gathered.append(said)
                    continue
                found = await self._with_figures(prometheus, facts, said, measured, alike)
                if record and found.facts.measured.shared is not None:
                    await self._remember(target, found)
                gathered.append(found)
            except Exception as fault:  # noqa: BLE001  # handed on as a value: the others are judged all the same
                gathered.append(fault)
        return tuple(gathered)

    async def _companions(self, target: Target, spared: str) -> tuple[Companion, ...]:
        """What is known of the other targets that go back together with this one."""
        names = target.policy.together if target.name in target.policy.together else ()
        others = [self._targets[name] for name in names if name != target.name and name in self._targets]
        found = await asyncio.gather(*(self._target.read(each, record=False, spared=spared) for each in others))
        return tuple(Companion(each, facts.target) for each, facts in zip(others, found, strict=True))

    async def _elsewhere(self, target: Target, max_age: float) -> Sequence[AlertsReading]:
        """What each other Prometheus says that judges something on which this target depends."""
        asked = self._sources.of_dependencies(target)
        return await asyncio.gather(*(each.alerts_now.read(max_age=max_age) for each in asked))

    async def _dependencies(self, target: Target, known: TargetFacts, now: float) -> Counted:
        """The counts of what the target depends on; nothing if they are in trouble by their alerts already."""
        if known.sick_dependencies or known.dependencies_detail:
            return NOTHING
        return await dependencies.count(self._sources, target, known, now)

    async def _by_cluster(
        self, target: Target, alerts: Sequence[Alert], confirmed: list[Confirmation | Exception], now: float
    ) -> list[tuple[Condition, Measured]]:
        """Confirm the alerts that Kubernetes tells of by Kubernetes, in their places; what it says of them."""
        measured: list[tuple[Condition, Measured]] = []
        for number, alert in enumerate(alerts):
            if alert.source == OF_CLUSTER and self._troubles is not None:
                said, found = await self._troubles.confirm(target, alert, self._silences, now)
                confirmed[number] = said
                if said.condition is not None:
                    measured.append((said.condition, found))
        return measured

    def _confirmed(
        self, target: Target, alert: Alert, reading: AlertsReading, now: float
    ) -> Confirmation | Exception:
        """What is known of one alert, or the fault of ours that kept it from being looked up."""
        try:
            return confirm(target, alert, reading, self._silences, now)
        except Exception as fault:  # noqa: BLE001  # handed on as a value: the others are judged all the same
            return fault

    async def _with_figures(
        self,
        prometheus: Asks,
        facts: Facts,
        said: Confirmation,
        measured: list[tuple[Condition, Measured]],
        alike: Alike,
    ) -> Gathered:
        """The facts of one alert; `measured` remembers the figures of conditions that alerts share."""
        found = next((figures for of, figures in measured if of is said.condition or of == said.condition), None)
        if found is None and said.condition is not None:
            found = not_asked(said.condition, facts) if facts.target.spared else None
            found = found or await measure(prometheus, said.condition, facts, self._clock)
            measured.append((said.condition, found))
        return Gathered(alike.of(said.facts, found or _UNMEASURED), said.alert, said.condition)

    async def _remember(self, target: Target, gathered: Gathered) -> None:
        """Keep what an older version was found to have shown beside the release, so that it holds for good."""
        fault = gathered.facts.measured.shared
        serving = None if fault is None else gathered.facts.target.serving
        if serving is not None and fault is not None and fault not in serving.shared_faults:
            await self._releases.remember_shared(target, serving.version, fault)

    async def readings(self, alerts: Sequence[Alert], delivered: float) -> tuple[AlertsReading, ...]:
        """The alerts of each Prometheus that may have one of these: see `SourcesOfAll.readings`."""
        return await self._sources.readings(alerts, delivered)

    async def reading(self, target: Target) -> AlertsReading:
        """The alerts of the Prometheus that judges this target."""
        return await self._sources.of(target).alerts_now.read()

    async def of_target(self, target: Target, *, record: bool) -> Facts:
        """What is known of a target without any alert: see `TargetReader.read`."""
        return await self._target.read(target, record=record)

    async def with_check(self, target: Target, facts: Facts, version: str) -> Facts:
        """The facts, with the answer of the target's own check of a version: see `TargetReader.check`."""
        return await self._target.check(target, facts, version)
