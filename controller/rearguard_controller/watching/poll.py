"""Polls Prometheus and every target. An alert whose webhook was lost is found here one poll later.

Here: one poll after another of Prometheus' own alerts and rules, each target's serving version and trust, and the
figures that the dashboard shows. What the last poll saw is kept, so that others can read it without waiting. The
alerts found are handed to the intake, which judges them. What each readiness check says is in `polled_checks`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from rearguard_controller.adapters.prometheus import PrometheusAlert, Rules, figures
from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.facts.alerts_now import AlertsReading, as_alert
from rearguard_controller.facts.owners import Owners
from rearguard_controller.facts.pieces import in_pieces
from rearguard_controller.facts.sources import Sources
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.model import (
    Alert,
    AlertsSeen,
    AlertState,
    Check,
    Condition,
    Target,
    Traffic,
    is_subset,
)
from rearguard_controller.model.checks import (
    CLOCK,
    CURRENT,
    FIGURES,
    ONE_PROCESS,
    PROMETHEUS,
    READY_CHECKS,
    REPLICAS_AGREE,
    SCRAPE_INTERVAL,
    SERVICE_VERSION,
    THRESHOLDS,
    TRIGGER_RULES,
)
from rearguard_controller.model.shards import NOBODYS
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.past import as_seen
from rearguard_controller.releases.presence import Instances
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.releases.trust import most_apart
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching import attention, current_figures, instances, overlaps, readiness_rules
from rearguard_controller.watching.attention import Attention, Look, Remembered
from rearguard_controller.watching.coverage import Coverage
from rearguard_controller.watching.current_figures import Reading, Table
from rearguard_controller.watching.curves import Curves
from rearguard_controller.watching.each_target import EachTarget, Kept
from rearguard_controller.watching.faults import Faults
from rearguard_controller.watching.last_poll import LastPoll
from rearguard_controller.watching.pace import Pace
from rearguard_controller.watching.polled_checks import Asked, PolledChecks
from rearguard_controller.watching.readiness import Readiness
from rearguard_controller.watching.replicas_agree import ReplicasAgree
from rearguard_controller.watching.side_by_side import Figures, SideBySide
from rearguard_controller.watching.unmatched import Unmatched

log = structlog.get_logger(__name__)

ASKED_OF_PROMETHEUS = (
    SCRAPE_INTERVAL,
    ONE_PROCESS,
    TRIGGER_RULES,
    THRESHOLDS,
    FIGURES,
    SERVICE_VERSION,
    REPLICAS_AGREE,
    CLOCK,
)
READ_BESIDE = (CURRENT, SERVICE_VERSION)  # by a task for each target, which may be slower than the poll
MOST_AT_ONCE = 8  # targets that are checked side by side
SETTLES_FOR = 2.0  # seconds that a poll waits for its looks before it notes them; at most a quarter of its interval


@dataclass(frozen=True, slots=True)
class _Known:
    """What a poll knows when it checks a target."""

    look: Look
    alerts: Sequence[PrometheusAlert]  # of the target, pending or firing
    reading: AlertsReading
    table: Table
    asked: Asked


class Watcher:
    """Polls for ever; answers what it saw last."""

    def __init__(
        self,
        runtime: Runtime,
        sources: Sources,
        releases: Releases,
        readiness: Readiness,
        *,
        poll_interval: float,
        care: Attention | None = None,
        noted: Sequence[Target] | None = None,
    ) -> None:
        """Wire the watcher of the targets of one Prometheus; while this replica does not lead, it only looks.

        So each can answer what is going on; it tracks no target and hands no alert on. `care` remembers what was seen
        before a reload; `noted` are the targets of all watchers, which share one note.
        """
        self._lead, self._journal = runtime.lead, runtime.journal
        self._clock, self._steady = runtime.clock, runtime.steady
        self._telemetry = runtime.telemetry
        self._targets = targets = sources.targets
        self._owners, self._noted = Owners(targets), targets if noted is None else noted
        self._prometheus, self._alerts_now = sources.prometheus, sources.alerts_now
        self._silences, self._troubles = sources.silences, sources.troubles
        self._coverage = Coverage(sources.prometheus, targets, runtime.steady)
        self._checks = PolledChecks(sources.prometheus, targets, self._coverage, runtime.steady)
        self._replicas = ReplicasAgree(sources.prometheus, targets)
        self._releases = releases
        self._readiness = readiness
        self._poll_interval = poll_interval
        self._last = {target.name: LastPoll() for target in targets}
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)
        self._answered_at: float | None = None
        self._matches = overlaps.checks(targets)
        self._pace = Pace(runtime.steady, poll_interval)
        self._faults, self._care = Faults(), care or Attention()
        self._loaded, self.unmatched = attention.Loaded(), Unmatched()
        kept = Kept(self._coverage, self._pace, self._care, self._faults, self._last)
        beside = SideBySide(runtime, sources.prometheus, releases)
        self.each = EachTarget(runtime, releases, readiness, beside, kept, poll_interval=poll_interval)

    # --- what was seen last -----------------------------------------------------------------------------------

    def firing(self, target_name: str) -> tuple[Alert, ...]:
        """The target's alerts that fired at the last poll, and what Kubernetes told of it at the last look."""
        of_cluster = () if self._troubles is None else self._troubles.firing(target_name)
        return self._last[target_name].firing + of_cluster

    def triggers(self, target: Target) -> tuple[tuple[Alert, Condition | None], ...]:
        """Those of them that may roll the target back, each with the condition that must be over after it."""
        return self._last[target.name].triggers

    def ready(self, target_name: str) -> Mapping[str, bool | None]:
        """The checks that say whether the target is ready to be rolled back; None is unknown."""
        return {name: check.holds for name, check in self._known(target_name).items()}

    def polled(self, target_name: str) -> Mapping[str, Check]:
        """Those of them that the last poll answered, by name."""
        return self._last[target_name].checks

    def speaking(self, target_name: str) -> tuple[str, ...]:
        """The trigger rules that can tell how a target is, by the figures of the polls so far."""
        return self._coverage.names(target_name)

    def not_ready(self, target_name: str) -> tuple[Check, ...]:
        """The checks that do not hold or are not known, with what to do about each."""
        known = self._known(target_name)
        lacking = [name for name in READY_CHECKS if name not in known]
        waits = self._pace.looking_for(target_name) if lacking and self.each.is_looking(target_name) else None
        follows = self._journal.shared and not self._leads(target_name)
        missing = [readiness_rules.not_looked(name, follows=follows, waits=waits) for name in lacking]
        found = {check.name: check for check in (*missing, *known.values()) if check.holds is not True}
        return (*(found.pop(name) for name in READY_CHECKS if name in found), *found.values())

    def _known(self, target_name: str) -> Mapping[str, Check]:
        found = self._readiness.found(target_name) if self._leads(target_name) else ()
        return {**self._last[target_name].checks, **{check.name: check for check in found}}

    def figures(self, target_name: str) -> tuple[Reading, ...]:
        """The target's figures as they stood at the last poll."""
        return self._last[target_name].readings

    def traffic(self, target_name: str) -> tuple[Traffic, ...]:
        """What it answered at the last poll, by version."""
        return self._last[target_name].traffic

    def curves(self, _target_name: str) -> Curves:
        """What is drawn over time; this alone asks Prometheus again."""
        return Curves(self._prometheus)

    def prometheus_age(self, _target_name: str = "") -> float | None:
        """Seconds since Prometheus last answered; None when it never did."""
        return None if self._answered_at is None else self._steady() - self._answered_at

    def clock_skew(self) -> float:
        """Seconds that Prometheus' clock is ahead of ours, of several replicas the largest; not known: NaN."""
        return max(self._prometheus.skews.values(), key=abs, default=math.nan)

    def poll_seconds(self) -> float:
        """How long the last poll lasted; the one that runs counts as soon as it has lasted longer."""
        return self._pace.seconds()

    def most_apart(self, target_name: str) -> float:
        """Seconds that two looks at a target may lie apart, so that its service still counts as unbroken."""
        return most_apart(self._pace.every(target_name), self._poll_interval)

    def _leads(self, target_name: str) -> bool:
        return self._lead.of(target_name).epoch is not None

    # --- polling ------------------------------------------------------------------------------------------------

    async def run(self, intake: Intake) -> None:
        """Poll for ever, handing the trigger alerts that fire to the intake."""
        try:
            while True:
                started = self._steady()
                try:
                    await self.poll(intake)
                except LeaseLostError:
                    pass  # another replica watches now
                except JournalError as error:
                    self._telemetry.journal_failed()
                    log.error("poll_failed", error=error.message, hint=error.hint)
                await asyncio.sleep(max(0.0, self._poll_interval - (self._steady() - started)))
        finally:
            await self.each.close()
            await self._readiness.close()  # last: a look at a target may begin a look at whether it is ready

    async def poll(self, intake: Intake) -> None:
        """Look once at everything. A fault of ours makes unknown what was not looked at; the next poll looks again.

        Raises:
            JournalError, LeaseLostError: what was found could not be handed on.
        """
        self._pace.begin()
        self._care.begin(self._lead.epoch)
        try:
            await self._poll(intake)
        except (JournalError, LeaseLostError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever an answer makes of our code: others still wait for the next poll
            self._faults.note("poll_failed", error)
            for target in self._targets:
                self._not_asked(target, readiness_rules.broke, readiness_rules.broke(PROMETHEUS))
        finally:
            self._pace.end()
        await self.each.settled(min(SETTLES_FOR, self._poll_interval / 4))
        await self._releases.remembered.note(self._noted)

    def _not_asked(
        self, target: Target, why: Callable[[str], Check], *known: Check, look: Look | None = Look.CLOSELY
    ) -> None:
        """Nothing of Prometheus counts for a target at this poll; only what serves is looked at."""
        before = self._last[target.name].checks
        names = (*ASKED_OF_PROMETHEUS, *(name for name in before if name not in READ_BESIDE))
        checks = {name: why(name) for name in names}
        own = (*known, self._pace.check(target.name), self._matches[target.name])
        checks |= {check.name: check for check in own}
        checks |= {name: before[name] for name in READ_BESIDE if name in before}
        self._last[target.name] = replace(self._last[target.name], checks=checks)
        if look is not None:
            watch = Watch(instances=instances.NOTHING, closely=look is Look.CLOSELY)
            self.each.look(target, watch, None, partial(self.ready, target.name))

    async def _poll(self, intake: Intake) -> None:
        await self._prometheus.compare_clocks()
        reading, _ = await asyncio.gather(self._alerts_now.read(max_age=0.0), self._silences.look())
        if reading.fault:
            log.warning("prometheus_away", error=reading.fault, hint=reading.hint)
            away = readiness_rules.prometheus(reading.fault, reading.hint)
            remembered = await self._remembered()
            for target in self._targets:
                look = self._how(target, (), None, remembered)
                self._not_asked(target, readiness_rules.while_away, away, look=look)
            return
        self._answered_at = self._steady()
        mine: dict[str, list[PrometheusAlert]] = {target.name: [] for target in self._targets}
        nobodys: list[PrometheusAlert] = []
        async for alert in in_pieces(reading.alerts):
            owners = self._owners.of(alert.labels)
            for target in owners:
                mine[target.name].append(alert)
            if not owners and self._owners.may_trigger(alert.labels):
                nobodys.append(alert)
        self.unmatched.see(nobodys)
        for target in self._targets:
            await self._see(target, mine[target.name], reading.rules)
        self._look_for_storm()
        if self._lead.epoch is not None:  # before anything else is asked, which may take long
            triggers = [alert for target in self._targets for alert in self._to_judge(target)]
            self._telemetry.alert_received("prometheus", len(triggers))
            await intake.consider(triggers)
        (table, asked), _ = await asyncio.gather(
            self._checks.ask(reading.rules, self._clock, ages=self._releases.shown.wants_ages()),
            self._replicas.look(reading.rules.alerting),
        )
        remembered = await self._remembered()
        self._loaded.see(reading.rules)
        async with asyncio.TaskGroup() as group:
            async for target in in_pieces(self._targets):
                alerts, there = mine[target.name], asked.instances.seen_of(target)
                look = self._how(target, alerts, there, remembered)
                if look is not None:
                    known = _Known(look, alerts, reading, table, asked)
                    group.create_task(self._check_alone(target, known))

    def _to_judge(self, target: Target) -> list[Alert]:
        """Its triggers, if they are judged here; who leads what is nobody's also sees those of several."""
        triggers = [alert for alert, _ in self._last[target.name].triggers]
        if self._leads(target.name) or not self._leads(NOBODYS):
            return triggers if self._leads(target.name) else []
        return [alert for alert in triggers if len(self._owners.of(alert.labels)) > 1]

    async def _remembered(self) -> Remembered:
        """What the journal says of all targets; nothing while it cannot be read: then they are looked at closely."""
        if self._lead.epoch is not None:
            with suppress(JournalError):
                return Remembered(await self._journal.target_states(), await self._journal.targets_under_way())
        return Remembered()

    def _how(
        self, target: Target, alerts: Sequence[PrometheusAlert], there: Instances | None, known: Remembered
    ) -> Look | None:
        """How this poll looks at a target."""
        in_storm = self._alerts_now.trouble.spared() != ""
        signs = attention.signs_of(target, () if in_storm else alerts, there, known, self._loaded.changes)
        look = self._care.look(target.name, signs, attention.turns(max(self._poll_interval, self.poll_seconds())))
        is_wanted = self.each.is_looking(target.name) or not self._last[target.name].checks or (in_storm and alerts)
        return Look.IN_TURN if look is None and is_wanted else look

    async def _see(self, target: Target, alerts: Sequence[PrometheusAlert], rules: Rules) -> None:
        firing: list[Alert] = []
        triggers: list[tuple[Alert, Condition | None]] = []
        async for alert in in_pieces(alerts):
            if alert.state != AlertState.FIRING:
                continue
            firing.append(as_alert(alert, "prometheus", prometheus=self._alerts_now.name))
            if is_subset(target.policy.alerts, alert.labels):
                triggers.append((firing[-1], self._condition_of(alert, rules, target)))
        self._last[target.name] = replace(self._last[target.name], firing=tuple(firing), triggers=tuple(triggers))

    def _condition_of(self, alert: PrometheusAlert, rules: Rules, target: Target) -> Condition | None:
        """The condition of an alert; None also if its figure breaks our reader: then nothing is known of it."""
        try:
            return figures.condition_of(alert, rules, target)
        except Exception as error:  # noqa: BLE001  # one rule must not hide the alerts of all others
            self._faults.note("condition_unreadable", error, target=target.name, alert=alert.name)
            return None

    def _look_for_storm(self) -> None:
        trouble = self._alerts_now.trouble
        troubled, limit = trouble.recent(), trouble.limit
        if len(troubled) > limit.targets:
            log.warning("storm", targets=list(troubled), most=limit.targets, within=limit.within)

    async def _check_alone(self, target: Target, known: _Known) -> None:
        """Check one target; a fault of ours makes its checks unknown, and those of no other."""
        try:
            await self._check(target, known)
        except Exception as error:  # noqa: BLE001  # the others are checked all the same
            self._faults.note("target_not_checked", error, target=target.name)
            self._not_asked(target, readiness_rules.broke, readiness_rules.broke(PROMETHEUS))

    async def _check(self, target: Target, known: _Known) -> None:
        wanted, table, asked = target.policy.alerts, known.table, known.asked
        mine = [voice.rule for voice in asked.of(target)]
        rows = current_figures.rows_of(table, mine)
        spoken = self._coverage.hear(target, asked.of(target))
        async with self._side_by_side:
            there = await asked.instances.of(target)
            answered = await self._checks.of(target, asked, rows, there)
            agree = await self._replicas.check(target, mine)
        own = (agree, self._pace.check(target.name), self._matches[target.name])
        checks = {check.name: check for check in (*answered, *own)}
        before = self._last[target.name].checks
        self._last[target.name] = replace(
            self._last[target.name],
            checks={**checks, **{name: before[name] for name in READ_BESIDE if name in before}},
            readings=tuple(figure for row in rows for figure in current_figures.readings(row, target.telemetry)),
            traffic=asked.traffic.of(target),
        )
        triggers = [alert for alert in known.alerts if is_subset(wanted, alert.labels)]
        concerning = tuple(alert.labels for alert in triggers)
        seen, closely = AlertsSeen(known.reading.read_at, as_seen(known.alerts)), known.look is Look.CLOSELY
        in_storm = self._alerts_now.trouble.spared() != ""
        watch = Watch(answered, concerning, spoken, seen, _began(triggers), there, closely, in_storm)
        shown = Figures(known.reading.rules, mine, table, triggers, there)
        self.each.look(target, watch, shown, partial(self.ready, target.name))
        if not self._leads(target.name):
            self._care.found(target.name, calm=True)


def _began(alerts: Iterable[PrometheusAlert]) -> dict[str, float]:
    """Since when the first alert of each name has been pending or firing, where Prometheus says so."""
    began: dict[str, float] = {}
    for alert in alerts:
        name = alert.labels.get("alertname", "")
        if alert.active_at is not None:
            began[name] = min(alert.active_at, began.get(name, alert.active_at))
    return began
