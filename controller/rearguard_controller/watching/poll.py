"""Polls Prometheus and every target. An alert whose webhook was lost is found here one poll later.

Here: one poll after another of Prometheus' own alerts and rules, each target's serving version and trust, the checks
that say whether a target is ready to be rolled back, and the figures that the dashboard shows. What the last poll
saw is kept, so that others can read it without waiting. The alerts found are handed to the intake, which judges them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, Rules, figures, promql
from rearguard_controller.errors import JournalError, LeaseLostError, SourceError
from rearguard_controller.facts.alerts_now import AlertsReading, as_alert
from rearguard_controller.facts.sources import Sources
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.model import Alert, AlertsSeen, Check, Condition, Target, is_subset
from rearguard_controller.model.checks import (
    CURRENT,
    PROMETHEUS,
    READY_CHECKS,
    SCRAPE_INTERVAL,
    THRESHOLDS,
    TRIGGER_RULES,
)
from rearguard_controller.model.observations import LONGEST_SCRAPE, is_armed, last_known_good
from rearguard_controller.releases.past import as_seen
from rearguard_controller.releases.returned import Returns
from rearguard_controller.releases.tracking import Releases, Watch
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.current_figures import Reading, Row, Table
from rearguard_controller.watching.readiness import Readiness
from rearguard_controller.watching.readiness_rules import polled

log = structlog.get_logger()

MOST_AT_ONCE = 8  # targets that are checked side by side

Intervals = Mapping[tuple[str, str], float] | None  # seconds between scrapes by (job, instance); None: not known


@dataclass(frozen=True, slots=True)
class LastPoll:
    """What the last poll saw of one target."""

    firing: tuple[Alert, ...] = ()  # every alert of the target, triggers or not
    triggers: tuple[tuple[Alert, Condition | None], ...] = ()  # those that may roll back
    checks: Mapping[str, bool | None] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()


class Watcher:
    """Polls for ever; answers what it saw last."""

    def __init__(
        self,
        runtime: Runtime,
        targets: Sequence[Target],
        sources: Sources,
        releases: Releases,
        readiness: Readiness,
        *,
        poll_interval: float,
    ) -> None:
        """Wire the watcher.

        While this replica does not lead, it only looks, so that every replica can answer what is going on: it tracks
        no target and hands no alert on.
        """
        self._lead, self._journal = runtime.lead, runtime.journal
        self._clock, self._steady = runtime.clock, runtime.steady
        self._telemetry = runtime.telemetry
        self._targets = targets
        self._prometheus, self._alerts_now = sources.prometheus, sources.alerts_now
        self._silences = sources.silences
        self._releases = releases
        self._returns = Returns(runtime)
        self._readiness = readiness
        self._poll_interval = poll_interval
        self._last = {target.name: LastPoll() for target in targets}
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)
        self._tracking: dict[str, asyncio.Task[None]] = {}
        self._answered_at: float | None = None

    # --- what was seen last -----------------------------------------------------------------------------------

    def firing(self, target_name: str) -> tuple[Alert, ...]:
        """The target's alerts that fired at the last poll."""
        return self._last[target_name].firing

    def triggers(self, target: Target) -> tuple[tuple[Alert, Condition | None], ...]:
        """Those of them that may roll the target back, each with the condition that must be over after it."""
        return self._last[target.name].triggers

    def ready(self, target_name: str) -> Mapping[str, bool | None]:
        """The checks that say whether the target is ready to be rolled back; None is unknown."""
        known = self._readiness.holds(target_name) if self._leads() else {}
        return {**self._last[target_name].checks, **known}

    def not_ready(self, target_name: str) -> tuple[Check, ...]:
        """The checks that do not hold or are not known, with what to do about each."""
        said = {check.name: check for check in self._readiness.found(target_name)} if self._leads() else {}
        seen = {**dict.fromkeys(READY_CHECKS), **self.ready(target_name)}  # not looked: unknown
        return tuple(said.get(name) or polled(name, holds) for name, holds in seen.items() if holds is not True)

    def figures(self, target_name: str) -> tuple[Reading, ...]:
        """The target's figures as they stood at the last poll."""
        return self._last[target_name].readings

    def prometheus_age(self) -> float | None:
        """Seconds since Prometheus last answered; None when it never did."""
        return None if self._answered_at is None else self._steady() - self._answered_at

    def _leads(self) -> bool:
        return self._lead.epoch is not None

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
            await self._readiness.close()
            for task in self._tracking.values():
                task.cancel()
            await asyncio.gather(*self._tracking.values(), return_exceptions=True)

    async def poll(self, intake: Intake) -> None:
        """Look once at everything."""
        reading, _ = await asyncio.gather(self._alerts_now.read(max_age=0.0), self._silences.look())
        if reading.fault:
            log.warning("prometheus_away", error=reading.fault, hint=reading.hint)
            for target in self._targets:
                unknown = {**dict.fromkeys(self._last[target.name].checks), PROMETHEUS: False}
                self._last[target.name] = replace(self._last[target.name], checks=unknown)
                self._track(target, Watch())
            return
        self._answered_at = self._steady()
        mine = {
            target.name: [alert for alert in reading.alerts if target.owns(alert.labels)] for target in self._targets
        }
        for target in self._targets:
            self._see(target, mine[target.name], reading.rules)
        self._look_for_storm()
        if self._leads():  # before anything else is asked: what may take long must not hold up a judgement
            triggers = [alert for target in self._targets for alert, _ in self._last[target.name].triggers]
            self._telemetry.alert_received("prometheus", len(triggers))
            await intake.consider(triggers)
        table, intervals = await asyncio.gather(
            current_figures.tabulate(self._prometheus, reading.rules.alerting), self._intervals()
        )
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(self._check(target, mine[target.name], reading, table, intervals))

    def _see(self, target: Target, alerts: Sequence[PrometheusAlert], rules: Rules) -> None:
        firing = [alert for alert in alerts if alert.state == "firing"]
        self._last[target.name] = replace(
            self._last[target.name],
            firing=tuple(as_alert(alert, "prometheus") for alert in firing),
            triggers=tuple(
                (as_alert(alert, "prometheus"), figures.condition_of(alert, rules, target.telemetry))
                for alert in firing
                if is_subset(target.policy.alerts, alert.labels)
            ),
        )

    def _look_for_storm(self) -> None:
        trouble = self._alerts_now.trouble
        troubled, limit = trouble.recent(), trouble.limit
        if len(troubled) > limit.targets:
            log.warning("storm", targets=list(troubled), most=limit.targets, within=limit.within)

    async def _check(
        self,
        target: Target,
        alerts: Sequence[PrometheusAlert],
        reading: AlertsReading,
        table: Table,
        intervals: Intervals,
    ) -> None:
        wanted = target.policy.alerts
        mine = [rule for rule in reading.rules.alerting if is_subset(wanted, rule.labels)]
        rows = current_figures.rows_of(table, mine)
        async with self._side_by_side:
            checks = await self._checks(target, mine, rows, intervals)
        before = self._last[target.name].checks
        self._last[target.name] = replace(
            self._last[target.name],
            checks={**checks, CURRENT: before[CURRENT]} if CURRENT in before else checks,  # read beside, and slower
            readings=tuple(figure for row in rows for figure in current_figures.readings(row, target.telemetry)),
        )
        healthy = bool(mine) and all(rule.health == "ok" for rule in mine)
        concerning = tuple(alert.labels for alert in alerts if is_subset(wanted, alert.labels))
        seen = AlertsSeen(reading.read_at, as_seen(alerts))
        self._track(target, Watch(healthy, concerning, seen))

    async def _intervals(self) -> Intervals:
        try:
            return await self._prometheus.scrape_intervals()
        except SourceError:
            return None

    async def _checks(
        self, target: Target, rules: Sequence[AlertingRule], rows: Sequence[Row], intervals: Intervals
    ) -> dict[str, bool | None]:
        healths = {rule.health for rule in rules}
        return {
            PROMETHEUS: True,
            TRIGGER_RULES: None if healths == {"unknown"} else bool(rules) and healths == {"ok"},
            THRESHOLDS: all(current_figures.threshold_in(row, target.telemetry) is not None for row in rows),
            SCRAPE_INTERVAL: await self._scraped_often_enough(target, intervals),
        }

    async def _scraped_often_enough(self, target: Target, intervals: Intervals) -> bool | None:
        if intervals is None:
            return None
        try:
            samples = await self._prometheus.query(promql.presence(target.telemetry))
        except SourceError:
            return None
        mine = [
            intervals.get((sample.labels.get("job", ""), sample.labels.get("instance", ""))) for sample in samples
        ]
        known = [interval for interval in mine if interval is not None]
        return all(interval <= LONGEST_SCRAPE for interval in known) if known else None

    # --- each target by itself: a slow one holds up no other ------------------------------------------------------

    def _track(self, target: Target, watch: Watch) -> None:
        before = self._tracking.get(target.name)
        if self._leads() and (before is None or before.done()):
            self._tracking[target.name] = asyncio.create_task(self._track_one(target, watch))

    async def _track_one(self, target: Target, watch: Watch) -> None:
        name = target.name
        try:
            serving = await self._releases.track(target, watch, poll_interval=self._poll_interval)
            known = await self._journal.releases(name)
            now_serving = serving.version or serving.state.serving_version
            current = next((each for each in known if each.version == now_serving), None)
            await self._returns.look(serving.state, current)
        except LeaseLostError:
            return
        except JournalError as error:
            self._telemetry.journal_failed()
            log.error("target_not_tracked", target=name, error=error.message, hint=error.hint)
            return
        except Exception as error:  # a fault of ours must not pass for a target that is well
            log.error("target_not_tracked", target=name, exc_info=error)
            self._last[name] = replace(self._last[name], checks={**self._last[name].checks, CURRENT: None})
            self._telemetry.ready(name, self.ready(name))
            return
        best = last_known_good(known)
        self._last[name] = replace(
            self._last[name], checks={**self._last[name].checks, CURRENT: serving.version is not None}
        )
        self._readiness.see(target, serving.version, known)
        self._telemetry.ready(name, self.ready(name))
        armed, by = is_armed(serving.state, self._clock()), serving.state.disarmed_by
        self._telemetry.armed(name, armed=armed, by=None if armed else by)
        self._telemetry.observed(name, serving.state.score)
        bad = current.version if current is not None and current.distrusted else None
        self._telemetry.versions(name, serving=now_serving, last_known_good=best.version if best else None, bad=bad)
        if serving.version is None:
            log.warning("target_unreadable", target=name, error=serving.detail)
