"""Everything that the judgement may know, gathered once per target for all alerts that are judged together.

Here: questions to Prometheus, to the target and to the journal, asked side by side; what gives no answer becomes an
unknown with a sentence, never an exception.
Never here: what follows from the facts (that is `policy`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rearguard_controller.adapters.prometheus import figures
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import evidence_wording
from rearguard_controller.facts.alerts_now import READING_HOLDS, AlertsReading, as_alert
from rearguard_controller.facts.measurements import Measured, measure
from rearguard_controller.facts.sources import Sources
from rearguard_controller.lasting import Lasting
from rearguard_controller.model import (
    Alert,
    AlertState,
    Budget,
    Condition,
    Evidence,
    Facts,
    Outcome,
    Rollback,
    Target,
)
from rearguard_controller.releases.tracking import Releases

NEVER_BEGUN = (Outcome.VETOED, Outcome.EXPIRED, Outcome.NOT_NEEDED)  # outcomes of waits that led to nothing
NO_CONDITION = "the alert has no usable figure, and its rule is not among Prometheus' rules"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What Prometheus says of an alert now."""

    state: AlertState
    detail: str
    evidence: Evidence
    alert: Alert | None = None  # as Prometheus has it
    condition: Condition | None = None


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
        lasting: Lasting,
        sources: Sources,
        releases: Releases,
    ) -> None:
        """Use these sources; `releases` reads which version serves."""
        self._journal, self._clock = lasting.journal, lasting.clock
        self._prometheus, self._alerts_now = sources.prometheus, sources.alerts_now
        self._silences = sources.silences
        self._releases = releases

    async def gather(
        self,
        target: Target,
        alerts: Sequence[Alert],
        *,
        delivered: float = 0.0,
        max_age: float = READING_HOLDS,
        record: bool = True,
    ) -> tuple[Gathered | Exception, ...]:
        """All facts for judging alerts of `target`, in the order of the alerts; what they share is asked once.

        Where a fault of ours keeps one alert from being judged, that fault stands in its place.

        Args:
            target: the one that all these alerts belong to.
            alerts: as they were delivered or found.
            delivered: when the last of them came by webhook, in seconds since the epoch; 0 if none did.
            max_age: how old the reading of Prometheus' alerts may be, in seconds; with 0 it is read anew.
            record: whether a change of version is written down, which a full disk may refuse.

        Raises:
            JournalError: the journal cannot be read.
        """
        reading, facts, _ = await asyncio.gather(
            self._alerts_now.read(max_age=max_age, alerts=alerts, delivered=delivered),
            self.of_target(target, record=record),
            self._silences.look(),
        )
        trouble = self._alerts_now.trouble
        if any(map(reading.has_firing, alerts)):
            trouble.saw(target.name)
        facts = replace(
            with_triggers(facts, target, reading.troubled, reading.fault),
            troubled=trouble.recent(),
            storm=trouble.limit,
        )
        facts = _resting_on(facts, evidence_wording.of_others(target, facts, reading.read_at))
        measured: list[tuple[Condition, Measured]] = []
        gathered: list[Gathered | Exception] = []
        for alert in alerts:
            try:
                gathered.append(await self._of_alert(_confirm(target, alert, reading), alert, facts, measured))
            except Exception as fault:  # noqa: BLE001  # handed on as a value: the others are judged all the same
                gathered.append(fault)
        return tuple(gathered)

    async def _of_alert(
        self, said: Confirmation, alert: Alert, facts: Facts, measured: list[tuple[Condition, Measured]]
    ) -> Gathered:
        """What is known of one alert; `measured` remembers conditions for the others."""
        it = said.alert or alert
        silencing = self._silences.of(it)
        of_alert = replace(
            facts,
            alert_state=said.state,
            alert_detail=said.detail,
            silencing=silencing,
            evidence=(*facts.evidence, said.evidence, *evidence_wording.of_silencing(silencing, facts.now)),
        )
        if said.condition is not None:
            found = next((figures for of, figures in measured if of == said.condition), None)
            if found is None:
                found = await measure(self._prometheus, said.condition, facts, self._clock)
                measured.append((said.condition, found))
            of_alert = _with_figures(of_alert, found)
        return Gathered(of_alert, it, said.condition)

    async def of_target(self, target: Target, *, record: bool) -> Facts:
        """What is known of a target without any alert; a change of version is recorded by the leader only.

        Open rollbacks are read first: of one that closes meanwhile, what its close leaves behind (a mark, a target
        that is disarmed) is then seen for certain.
        """
        look = self._releases.look if record else self._releases.peek
        serving, (activatable, listing) = await asyncio.gather(look(target), self._activatable(target))
        now, budget = self._clock(), target.policy.budget
        still_open = {each.target: each.id for each in await self._journal.open_rollbacks()}
        state, releases, handled, last_action_at, actions, waits = await asyncio.gather(
            self._journal.target_state(target.name),
            self._journal.releases(target.name),
            self._handled(target, serving.version),
            self._journal.last_action_at(target.name),
            self._journal.actions_since(target.name, now - budget.per),
            self._ended_waits(target),
        )
        facts = Facts(
            now=now,
            serving_version=serving.version,
            serving_detail=serving.detail or listing,
            state=state,
            releases=releases,
            activatable=activatable,
            sick_dependencies={
                name: f"its rollback {still_open[name]} is under way"
                for name in target.depends_on
                if name in still_open
            },
            open_rollback=still_open.get(target.name),
            handled_by=handled,
            last_action_at=last_action_at,
            actions_in_budget=len(actions),
            budget_frees_at=_frees_at(actions, budget),
            ended_waits=waits,
        )
        return _resting_on(facts, *evidence_wording.of_target(target, facts, listing))

    async def _ended_waits(self, target: Target) -> tuple[Rollback, ...]:
        pages = [
            await self._journal.rollbacks(target=target.name, outcome=outcome, limit=1) for outcome in NEVER_BEGUN
        ]
        return tuple(rollback for page in pages for rollback in page.items)

    async def _handled(self, target: Target, version: str | None) -> str | None:
        return None if version is None else await self._journal.handled(target.name, version)

    async def _activatable(self, target: Target) -> tuple[frozenset[str] | None, str]:
        try:
            return await self._releases.activatable(target), ""
        except SourceError as error:
            return frozenset(), error.message

    async def with_check(self, target: Target, facts: Facts, version: str) -> Facts:
        """The facts, with whether the target's own `check` lets a version be activated."""
        release = target.release
        if release.check is None or version in facts.checked:
            return facts
        why = await self._releases.check(target, version)
        facts = replace(facts, checked={**facts.checked, version: why})
        return _resting_on(facts, *evidence_wording.of_check(target, facts))


def _resting_on(facts: Facts, *more: Evidence) -> Facts:
    return replace(facts, evidence=(*facts.evidence, *more))


def with_triggers(facts: Facts, target: Target, troubled: Collection[str], fault: str = "") -> Facts:
    """The facts, with what Prometheus says of the targets that this one depends on."""
    firing = {name: "a trigger alert of it fires" for name in target.depends_on if name in troubled}
    return replace(facts, sick_dependencies={**firing, **facts.sick_dependencies}, dependencies_detail=fault)


def _confirm(target: Target, alert: Alert, reading: AlertsReading) -> Confirmation:
    """What Prometheus says of a delivered alert: a delivery may be stale, forged, late or a duplicate."""
    best = reading.find(alert)
    evidence = evidence_wording.of_alert(best, reading.fault, reading.read_at)
    if best is None:
        state = AlertState.UNKNOWN if reading.fault else AlertState.INACTIVE
        return Confirmation(state, reading.fault, evidence)
    state = AlertState.FIRING if best.state == "firing" else AlertState.PENDING
    condition = figures.condition_of(best, reading.rules, target.telemetry)
    detail = "" if condition else NO_CONDITION
    return Confirmation(state, detail, evidence, as_alert(best, alert.source), condition)


def _with_figures(facts: Facts, found: Measured) -> Facts:
    return replace(
        facts,
        alert_detail=facts.alert_detail or found.now_detail,
        measurement=found.now,
        condition_since=found.since,
        condition_detail=found.since_detail,
        condition_own=found.since_own,
        previous_measurement=found.before,
        previous_detail=found.before_detail,
        evidence=(*facts.evidence, *found.evidence),
    )


def _frees_at(actions: Sequence[float], budget: Budget) -> float | None:
    """When so many of these automatic rollbacks, newest first, lie outside the period that one is left again."""
    used_up = 0 < budget.rollbacks <= len(actions)
    return actions[budget.rollbacks - 1] + budget.per if used_up else None
