"""Everything that the judgement may know, gathered once per target for all alerts that are judged together.

Here: questions to Prometheus, to the target and to the journal, asked side by side; what gives no answer becomes an
unknown with a sentence, never an exception.
Never here: what follows from the facts (that is `policy`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rearguard_controller import figures
from rearguard_controller.errors import SourceError
from rearguard_controller.journal.store import Journal
from rearguard_controller.model import (
    VERSION_LABEL,
    Alert,
    AlertState,
    Condition,
    Facts,
    Measurement,
    Outcome,
    Release,
    Rollback,
    Target,
)
from rearguard_controller.prometheus import Prometheus, PrometheusAlert, Rules
from rearguard_controller.releases import Releases
from rearguard_controller.silences import Silences
from rearguard_controller.snapshot import changed_after, own_labels
from rearguard_controller.trouble import Trouble

SIGHT_HOLDS = 1.0  # seconds for which alerts share one reading of Prometheus' lists
NEVER_BEGUN = (Outcome.VETOED, Outcome.EXPIRED, Outcome.NOT_NEEDED)  # outcomes of waits that led to nothing
NO_RELEASE = "there is no release to compare with"
NO_VERSION_BEFORE = "no version before is known by its service_version"
NO_CONDITION = "the alert has no usable figure, and its rule is not among Prometheus' rules"
NOT_HELD = "it has not held in the last minute"
BESIDE = "beside the new version, {} shows "
BEFORE = "in the ten minutes before the release, {} showed a median of "
BEFORE_RELEASE = 600.0  # seconds before a release in which the version before is judged, and a fault may have begun


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What Prometheus says of an alert now."""

    state: AlertState
    detail: str = ""
    alert: Alert | None = None  # as Prometheus has it
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Facts, with the alert as Prometheus knows it and the condition to watch."""

    facts: Facts
    alert: Alert
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class _Figures:
    now: Measurement | None = None
    now_detail: str = ""
    since: float | None = None
    since_detail: str = ""
    since_own: tuple[str, ...] = ()
    before: Measurement | None = None
    before_detail: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Prometheus' alerts and rules at one moment; `fault` says why they are not known."""

    alerts: Mapping[tuple[str, ...], Mapping[tuple[str, ...], Sequence[PrometheusAlert]]]  # label names, then values
    rules: Rules
    fault: str = ""
    troubled: frozenset[str] = frozenset()  # targets of which a trigger alert fires

    def best(self, alert: Alert) -> PrometheusAlert | None:
        """The alert as Prometheus has it, the firing one first: its labels are among those that were delivered."""
        labels = alert.labels
        found = [
            each
            for names, of_values in self.alerts.items()
            for each in of_values.get(tuple(labels.get(name, "") for name in names), ())
        ]
        return min(found, key=lambda each: each.state != "firing", default=None)

    def fires(self, alert: Alert) -> bool:
        """Whether it fires, as far as is known."""
        best = self.best(alert)
        return best is not None and best.state == "firing"


class Sight:
    """Prometheus' lists for all alerts that are judged: a storm of them does not read thousands of times."""

    def __init__(self, prometheus: Prometheus, trouble: Trouble, clock: Callable[[], float]) -> None:
        """Nothing is read yet."""
        self._prometheus = prometheus
        self._trouble = trouble
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: Known | None = None
        self._asked_at = 0.0

    async def known(self, alerts: Sequence[Alert], delivered: float) -> Known:
        """What Prometheus says now of these alerts, or said less than `SIGHT_HOLDS` seconds ago.

        A reading in which one of them does not fire counts only if it is not older than their delivery: Prometheus
        may have begun to say so in between.
        """
        async with self._lock:
            known, now = self._known, self._clock()
            if (
                known is None
                or not 0 <= now - self._asked_at < SIGHT_HOLDS
                or (self._asked_at < delivered and not all(map(known.fires, alerts)))
            ):
                self._asked_at = now
                known = self._known = await self._read()
            return known

    async def _read(self) -> Known:
        try:
            alerts, rules = await asyncio.gather(self._prometheus.alerts(), self._prometheus.rules())
        except SourceError as error:
            return Known({}, Rules(), error.message)
        found: dict[tuple[str, ...], dict[tuple[str, ...], list[PrometheusAlert]]] = {}
        for each in alerts:
            of_values = found.setdefault(tuple(each.labels), {})
            of_values.setdefault(tuple(each.labels.values()), []).append(each)
        troubled = self._trouble.see(each.labels for each in alerts if each.state is AlertState.FIRING)
        return Known(found, rules, troubled=troubled)


class FactGatherer:
    """Asks the outside world and the journal on behalf of the judgement."""

    def __init__(
        self,
        journal: Journal,
        prometheus: Prometheus,
        releases: Releases,
        trouble: Trouble,
        silences: Silences,
        clock: Callable[[], float],
    ) -> None:
        """Use these sources."""
        self._journal = journal
        self._prometheus = prometheus
        self._releases = releases
        self._trouble = trouble
        self._silences = silences
        self._clock = clock

    def sight(self) -> Sight:
        """A look at Prometheus that alerts which are judged at about the same time share."""
        return Sight(self._prometheus, self._trouble, self._clock)

    async def gather(
        self, target: Target, alerts: Sequence[Alert], sight: Sight, delivered: float
    ) -> tuple[Gathered | Exception, ...]:
        """All facts for judging alerts of `target`, in their order; what they share is asked once.

        `delivered` is when the last of them came by webhook; 0 if none did. Where a fault of ours keeps one alert
        from being judged, that fault stands in its place.
        """
        known, facts, _ = await asyncio.gather(
            sight.known(alerts, delivered), self.of_target(target, record=True), self._silences.look()
        )
        if any(map(known.fires, alerts)):
            self._trouble.saw(target.name)
        facts = replace(
            with_triggers(facts, target, known), troubled=self._trouble.recent(), storm=self._trouble.limit
        )
        measured: list[tuple[Condition, _Figures]] = []
        gathered: list[Gathered | Exception] = []
        for alert in alerts:
            try:
                gathered.append(await self._of_alert(_confirm(target, alert, known), alert, facts, measured))
            except Exception as fault:  # noqa: BLE001  # handed on as a value: the others are judged all the same
                gathered.append(fault)
        return tuple(gathered)

    async def _of_alert(
        self, said: Confirmation, alert: Alert, facts: Facts, measured: list[tuple[Condition, _Figures]]
    ) -> Gathered:
        """What is known of one alert; `measured` remembers conditions for the others."""
        it = said.alert or alert
        silencing = self._silences.of(it)
        of_alert = replace(facts, alert_state=said.state, alert_detail=said.detail, silencing=silencing)
        if said.condition is not None:
            found = next((figures for of, figures in measured if of == said.condition), None)
            if found is None:
                found = await self._figures(said.condition, facts)
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
        return Facts(
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
            ended_waits=waits,
        )

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

    async def _figures(self, condition: Condition, facts: Facts) -> _Figures:
        shown = _shown(facts.release(facts.serving_version))
        now, since, before = await asyncio.gather(
            self._now(condition, shown), self._since(condition, facts), self._before(condition, facts)
        )
        began, why, own = since
        return _Figures(*now, began, why, own, *before)

    async def _now(self, condition: Condition, version: str | None) -> tuple[Measurement | None, str]:
        try:
            return await figures.measure(self._prometheus, condition, version=version), ""
        except SourceError as error:
            return None, error.message

    async def _since(self, condition: Condition, facts: Facts) -> tuple[float | None, str, tuple[str, ...]]:
        began = facts.now if facts.state is None or facts.state.serving_since is None else facts.state.serving_since
        earliest = max(began, facts.now - figures.LONGEST_LOOK) - BEFORE_RELEASE
        try:
            start = await figures.episode_start(self._prometheus, condition, earliest, facts.now)
            own = await self._own(condition, facts, start, earliest)
        except SourceError as error:
            return None, error.message, ()
        return start, "" if start is not None else NOT_HELD, own

    async def _own(self, condition: Condition, facts: Facts, start: float | None, earliest: float) -> tuple[str, ...]:
        """The service_versions that alone showed a condition which began before the release, if it was so."""
        changed, own = changed_after(facts.state), own_labels(facts)
        if start is None or changed is None or start >= changed or not own:
            return ()
        others = await figures.episode_start(self._prometheus, condition, earliest, changed, but_not=own)
        return own if others is None else ()

    async def _before(self, condition: Condition, facts: Facts) -> tuple[Measurement | None, str]:
        state = facts.state
        if state is None or state.serving_since is None or not state.is_release:
            return None, NO_RELEASE
        previous = facts.release(state.previous_version)
        shown = _shown(previous)
        if previous is None or shown is None:
            return None, NO_VERSION_BEFORE
        end = changed_after(state) or state.serving_since
        try:
            serves, beside, before = await asyncio.gather(
                self._serves(condition, shown),
                figures.measure(self._prometheus, condition, version=shown),
                figures.median_over(self._prometheus, condition, end - BEFORE_RELEASE, end, version=shown),
            )
        except SourceError as error:
            return None, error.message
        if serves and beside.past is not None and shown != _shown(facts.release(facts.serving_version)):
            return beside, BESIDE.format(previous.version)
        return before, BEFORE.format(previous.version)

    async def _serves(self, condition: Condition, version: str) -> bool:
        """Whether instances of a version are scraped now: a figure may outlive the process that it was about."""
        samples = await self._prometheus.query(figures.presence(condition.selector))
        return any(sample.labels.get(VERSION_LABEL) == version and sample.value == 1 for sample in samples)

    async def with_check(self, target: Target, facts: Facts, version: str) -> Facts:
        """The facts, with whether the target's own `check` lets a version be activated."""
        release = target.release
        if release.check is None or version in facts.checked:
            return facts
        why = await self._releases.check(target, version)
        return replace(facts, checked={**facts.checked, version: why})


def _confirm(target: Target, alert: Alert, known: Known) -> Confirmation:
    """What Prometheus says of a delivered alert: a delivery may be stale, forged, late or a duplicate."""
    if known.fault:
        return Confirmation(AlertState.UNKNOWN, known.fault)
    best = known.best(alert)
    if best is None:
        return Confirmation(AlertState.INACTIVE)
    state = AlertState.FIRING if best.state == "firing" else AlertState.PENDING
    condition = figures.condition_of(best, known.rules, target.telemetry)
    detail = "" if condition else NO_CONDITION
    return Confirmation(state, detail, as_alert(best, alert.source), condition)


def with_triggers(facts: Facts, target: Target, known: Known) -> Facts:
    """The facts, with what Prometheus says of the targets that this one depends on."""
    firing = {name: "a trigger alert of it fires" for name in target.depends_on if name in known.troubled}
    return replace(facts, sick_dependencies={**firing, **facts.sick_dependencies}, dependencies_detail=known.fault)


def _with_figures(facts: Facts, found: _Figures) -> Facts:
    return replace(
        facts,
        alert_detail=facts.alert_detail or found.now_detail,
        measurement=found.now,
        condition_since=found.since,
        condition_detail=found.since_detail,
        condition_own=found.since_own,
        previous_measurement=found.before,
        previous_detail=found.before_detail,
    )


def as_alert(found: PrometheusAlert, source: str) -> Alert:
    """Prometheus' alert as ours."""
    return Alert(
        name=found.labels.get("alertname", ""),
        labels=found.labels,
        annotations=found.annotations,
        firing=found.state == "firing",
        starts_at=found.active_at,
        source=source,
    )


def _shown(release: Release | None) -> str | None:
    return None if release is None else release.service_version
