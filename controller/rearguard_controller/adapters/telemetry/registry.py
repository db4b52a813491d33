"""The controller's own metrics; those of a target start at 0, all of them or the few that `Detail.BRIEF` leaves.

Here: one registry that belongs to this process, and small verbs that other modules call when something has happened.
Metrics follow from what was recorded; no decision reads a metric. No label carries text from an alert: the sets of
values are closed, or come from the configuration.
"""

from __future__ import annotations

import time
from collections import Counter as Counted
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum, unique
from functools import partial
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from rearguard_controller.adapters.telemetry.families import OWN_FAMILIES
from rearguard_controller.adapters.telemetry.target_states import TargetStates
from rearguard_controller.model import (
    Condition,
    Decision,
    Detail,
    Outcome,
    Phase,
    ReasonCode,
    Rollback,
    Score,
    Step,
    StepState,
    Target,
    Trigger,
    Verdict,
)
from rearguard_controller.model.checks import READY_CHECKS
from rearguard_controller.model.shards import ONE, shard_of
from rearguard_controller.rollback.plan import plan


@unique
class Span(StrEnum):
    """The stretches of time between an alert and its end."""

    ALERT_TO_RECEIPT = "alert_to_receipt"
    RECEIPT_TO_DECISION = "receipt_to_decision"
    DECISION_TO_COMMAND = "decision_to_command"
    COMMAND = "command"
    HEALTH = "health"
    RECOVERY = "recovery"
    TOTAL = "total"


Age = Callable[[], float | None]  # seconds; None: never seen
SOURCES = ("webhook", "prometheus", "kubernetes")
WEBHOOK_CODES = (202, 400, 401, 403, 408, 413, 500, 503)
RESOURCES = ("file descriptors", "memory", "processes")
NOTIFIED = ("sent", "failed", "refused", "dropped")
ENDED = (StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.INTERRUPTED)
MANY = 100  # targets beyond which little is shown of each, unless the configuration says otherwise
ALERTED = (Outcome.FAILED, Outcome.NEEDS_A_PERSON, Outcome.NOT_RECOVERED)  # counted from 0 by the shipped alerts
_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
_HOLDS = {True: "true", False: "false", None: "unknown"}

_BY_NAME = {family.name: family for family in OWN_FAMILIES}


class Telemetry:
    """The metrics of one controller process."""

    def __init__(
        self,
        targets: Sequence[Target],
        detail: Detail | None = None,
        *,
        checks: Sequence[str] = READY_CHECKS,
        shards: int = ONE,
    ) -> None:
        """Create the series that start at 0.

        Args:
            targets: as configured; their names and the names of their steps become label values.
            detail: how much is shown of each; see `know`.
            checks: the names of the readiness checks that `ready` will report.
            shards: how many parts of the targets are led one by one.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library lacks the annotation; a second series for each counter, which no rule here reads
        self.registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        alerts = self._counter("rearguard_alerts_received_total")
        self._alerts = {source: alerts.labels(source) for source in SOURCES}
        self._decisions = self._counter("rearguard_decisions_total")
        self._reasons = self._counter("rearguard_decision_reasons_total")
        self._rollbacks = self._counter("rearguard_rollbacks_total")
        self._in_progress = self._gauge("rearguard_rollback_in_progress")
        self._spans = self._histogram("rearguard_rollback_seconds")
        self._steps = self._histogram("rearguard_step_seconds")
        self._states = TargetStates(self._gauge, checks)
        self._watchdog_age = self._gauge("rearguard_watchdog_age_seconds")
        self._poll_seconds = self._gauge("rearguard_poll_seconds")
        self._clock_skew = self._gauge("rearguard_clock_skew_seconds")
        self._prometheus_age = self._gauge("rearguard_prometheus_age_seconds")
        self._other_ages = self._gauge("rearguard_other_prometheus_age_seconds")
        self._reload = self._gauge("rearguard_config_reload_success")
        self._reload.set(1)
        self._leader = self._gauge("rearguard_leader")
        self._shards, self._holds = shards, dict[int, Callable[[], bool]]()  # of each shard that is led here
        self._leader.set_function(lambda: float(any(holds() for holds in self._holds.values())))
        leaders = self._gauge("rearguard_shard_leader")
        for shard in range(shards):
            leaders.labels(str(shard)).set_function(partial(self._holds_shard, shard))
        self._journal_errors = self._counter("rearguard_journal_errors_total")
        shortages = self._counter("rearguard_resource_shortages_total")
        self._shortages = {resource: shortages.labels(resource) for resource in RESOURCES}
        self._webhooks = self._counter("rearguard_webhook_requests_total")
        self._answered = {code: self._webhooks.labels(str(code)) for code in WEBHOOK_CODES}
        self._notifications = self._counter("rearguard_notifications_total")
        self._services: set[str] = set()
        self._configured: set[str] = set()
        self._open: dict[str, set[str]] = {}  # the rollbacks of each target that are driven here
        self._brief = False
        self.know(targets, detail)
        self._started = time.monotonic()
        self.feed_ages(prometheus=lambda: None, watchdog=lambda: None)

    def know(self, targets: Sequence[Target], detail: Detail | None = None) -> None:
        """Start the series of targets that are configured; those that exist keep their values.

        Series of other targets end now. Those of a target whose rollback is still open end at the next call.

        Args:
            targets: as configured.
            detail: how much is shown of each. None: full until there are more than `MANY`, brief from then on, so
                that no target's counters are lost when one leaves.
        """
        self._brief = detail is Detail.BRIEF or (detail is None and (self._brief or len(targets) > MANY))
        self._states.brief = self._brief
        before, self._configured = self._configured, {target.name for target in targets}
        open_now = {name for name, rollbacks in self._open.items() if rollbacks}
        gone = (before | self._open.keys()) - self._configured - open_now
        for name in gone:
            self._open.pop(name, None)
        self._forget(gone)
        for target in targets:
            if target.name not in before:
                self._start_at_zero(target)

    def know_services(self, services: Sequence[str]) -> None:
        """Start the series of receivers of notices; those that exist keep their values, those of others end."""
        before, self._services = self._services, set(services)
        for service, result in product(before - self._services, NOTIFIED):
            self._notifications.remove(service, result)
        for service, result in product(self._services, NOTIFIED):
            self._notifications.labels(service, result)

    def reloaded(self, *, success: bool) -> None:
        """The configuration was read again, or could not be used."""
        self._reload.set(success)

    # --- what happened ------------------------------------------------------------------------------------

    def alert_received(self, source: str, count: int = 1) -> None:
        """Alerts came in from `source`: webhook or prometheus."""
        self._alerts[source].inc(count)

    def webhook_answered(self, code: int) -> None:
        """Alertmanager got an answer with this HTTP status."""
        (self._answered.get(code) or self._webhooks.labels(str(code))).inc()

    def journal_failed(self) -> None:
        """A read or write of the journal failed."""
        self._journal_errors.inc()

    def short_of(self, resource: str) -> None:
        """A command or request could not begin, because the controller had none of this resource left."""
        self._shortages[resource].inc()

    def notified(self, service: str, result: str) -> None:
        """A notice to a receiver was sent, failed or dropped; receivers that are gone are not counted."""
        if service in self._services:
            self._notifications.labels(service, result).inc()

    def judged(self, target: str, decided_at: float, received_at: float | None, fired_at: float | None) -> None:
        """An alert led to a rollback: how long that took, if it came by webhook. All moments by the same clock."""
        if received_at is None:
            return
        self.span(target, Span.RECEIPT_TO_DECISION, decided_at - received_at)
        if fired_at is not None:
            self.span(target, Span.ALERT_TO_RECEIPT, received_at - fired_at)

    def decided(self, *decisions: Decision) -> None:
        """Decisions were recorded. Alerts that belong to no target count under an empty target."""
        verdicts = Counted((each.target, each.verdict.value) for each in decisions)
        reasons: Counted[tuple[str, str, str]] = Counted()
        shared = {id(each.reasons): each.reasons for each in decisions}  # alerts that are alike share their reasons
        for (target, those), many in Counted((each.target, id(each.reasons)) for each in decisions).items():
            for reason in shared[those]:
                reasons[target, reason.code.value, _HOLDS[reason.holds]] += many
        for metric, counted in ((self._decisions, verdicts), (self._reasons, reasons)):
            for values, many in counted.items():
                metric.labels(*values).inc(many)

    def opened(self, rollback: Rollback) -> None:
        """This process drives an open rollback from now on."""
        self._open.setdefault(rollback.target, set()).add(rollback.id)
        self._in_progress.labels(rollback.target).set(1)

    def let_go(self, rollback: Rollback) -> None:
        """This process drives the rollback no more: it is closed, or another leader's."""
        left = self._open.get(rollback.target)
        if left is not None:  # else it was never begun here, or its target is forgotten
            left.discard(rollback.id)
            self._in_progress.labels(rollback.target).set(bool(left))

    def closed(self, rollback: Rollback) -> None:
        """A rollback was closed; counts its outcome and the span `total`."""
        if rollback.phase is not Phase.CLOSED or rollback.outcome is None:
            raise ValueError(f"rollback {rollback.id} is not closed")
        self.let_go(rollback)
        self._rollbacks.labels(rollback.target, rollback.outcome.value, rollback.trigger.value).inc()
        if rollback.closed_at is not None:
            self.span(rollback.target, Span.TOTAL, rollback.closed_at - rollback.opened_at)

    def step_ended(self, target: str, step: Step) -> None:
        """A step is done, failed, skipped or interrupted; one that never started took no time."""
        seconds = 0.0
        if step.started_at is not None and step.ended_at is not None:
            seconds = max(0.0, step.ended_at - step.started_at)
        self._steps.labels(target, step.name, step.state.value).observe(seconds)

    def span(self, target: str, span: Span, seconds: float) -> None:
        """A stretch of the way took this long; clocks that differ between hosts never give less than 0."""
        self._spans.labels(target, span.value).observe(max(0.0, seconds))

    # --- how things stand ---------------------------------------------------------------------------------

    def armed(self, target: str, *, armed: bool, by: Outcome | None = None) -> None:
        """Whether the target may be rolled back automatically now; only a leader shows it.

        `by` is the outcome of the rollback that left it disarmed; None when a person did.
        """
        if self._shows(target):
            self._states.armed(target, armed=armed, by=by)

    def given_up(self, target: str, *, given_up: bool) -> None:
        """Whether no automatic rollback away from the serving version is tried any more; only a leader shows it."""
        if self._shows(target):
            self._states.given_up(target, given_up=given_up)

    def leads(self, *, leading: bool, holds: Callable[[], bool] = lambda: True, shard: int = 0) -> None:
        """Whether this process leads now, or a shard. `holds` says at every scrape whether the lease still does.

        When that changes, all that is shown of the targets is unknown again, as at the start.
        """
        self._holds.pop(shard, None)
        if leading:
            self._holds[shard] = holds
        for name in self._configured:
            if shard_of(name, self._shards) == shard:
                self._know_nothing(name)

    def ready(self, target: str, checks: Mapping[str, bool | None]) -> None:
        """The readiness checks of a target; unknown (None) is shown as 0. Only a leader shows them.

        `replicas_agree` is NaN while it is unknown: one replica of Prometheus is away, and the others decide. 0 would
        raise an alert for each target.
        """
        if self._shows(target):
            self._states.ready(target, checks)

    def versions(
        self, target: str, *, serving: str | None, last_known_good: str | None, bad: str | None = None
    ) -> None:
        """Which version serves, which is the newest trusted one, and which serves although it is bad.

        Versions that were shown before go. Only a leader shows any.
        """
        if self._shows(target):
            self._states.versions(target, serving, last_known_good, bad)

    def observed(self, target: str, score: Score) -> None:
        """The running score of what was only observed, as the journal has it. Only a leader shows it."""
        if self._shows(target):
            self._states.observed(target, score)

    def feed_ages(self, *, prometheus: Age, watchdog: Age, others: Mapping[str, Age] | None = None) -> None:
        """Read the ages at every scrape; `others` are those of `prometheus.others`, by name.

        None (never seen) is shown as the time since this call, that of the heartbeat as the time since the start: a
        reload asks another Prometheus, but waits for the same heartbeat.
        """
        since = time.monotonic()
        self._prometheus_age.set_function(partial(_age, prometheus, since))
        self._watchdog_age.set_function(partial(_age, watchdog, self._started))
        self._other_ages.clear()
        for name, age in (others or {}).items():
            self._other_ages.labels(name).set_function(partial(_age, age, since))

    def feed_poll(self, seconds: Callable[[], float], *, skew: Callable[[], float]) -> None:
        """Read at every scrape how long polls last, and how far Prometheus' clock is ahead."""
        self._poll_seconds.set_function(seconds)
        self._clock_skew.set_function(skew)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """The exposition that the Accept header asks for, and its content type."""
        encoder, content_type = choose_encoder(accept or "")
        return encoder(self.registry), content_type

    def _shows(self, target: str) -> bool:
        """Whether a look at the target counts: the lead may be lost, or the target removed, since it began."""
        return target in self._configured and self._leads(target)

    def _leads(self, target: str) -> bool:
        return shard_of(target, self._shards) in self._holds

    def _holds_shard(self, shard: int) -> float:
        return float(shard in self._holds and self._holds[shard]())

    def _know_nothing(self, target: str) -> None:
        """Nothing is known of a target; of one that another replica leads beside us nothing is shown, either."""
        self._states.unknown(target, leads=self._leads(target), others=self._shards != ONE)

    # --- the beginning, and the end -----------------------------------------------------------------------

    def _start_at_zero(self, target: Target) -> None:
        name = target.name
        self._know_nothing(name)
        if self._brief:
            for outcome, trigger in product(ALERTED, Trigger):
                self._rollbacks.labels(name, outcome.value, trigger.value)
            self._reasons.labels(name, ReasonCode.NO_STORM.value, _HOLDS[False])
            return
        self._in_progress.labels(name)
        for verdict in Verdict:
            self._decisions.labels(name, verdict.value)
        for code, holds in product(ReasonCode, _HOLDS.values()):
            self._reasons.labels(name, code.value, holds)
        for outcome, trigger in product(Outcome, Trigger):
            self._rollbacks.labels(name, outcome.value, trigger.value)
        for span in Span:
            self._spans.labels(name, span.value)
        for step, state in product(step_names(target), ENDED):
            self._steps.labels(name, step, state.value)

    def _forget(self, gone: set[str]) -> None:
        """End every series of these targets."""
        for family, metric in self._made.items() if gone else ():
            names = _BY_NAME[family].labels
            shown = [sample.labels for found in metric.collect() for sample in found.samples]
            theirs = [labels for labels in shown if labels.get("target") in gone]
            for values in {tuple(labels[each] for each in names) for labels in theirs}:
                metric.remove(*values)
        self._states.forget(gone)

    def _counter(self, name: str) -> Counter:
        family = _BY_NAME[name]
        counter = Counter(name, family.help, family.labels, registry=self.registry)
        self._made[name] = counter
        return counter

    def _gauge(self, name: str) -> Gauge:
        family = _BY_NAME[name]
        gauge = Gauge(name, family.help, family.labels, registry=self.registry)
        self._made[name] = gauge
        return gauge

    def _histogram(self, name: str) -> Histogram:
        family = _BY_NAME[name]
        histogram = Histogram(name, family.help, family.labels, registry=self.registry, buckets=_BOUNDS)
        self._made[name] = histogram
        return histogram


def step_names(target: Target) -> tuple[str, ...]:
    """The names of all steps that a rollback of the target can have, in their order."""
    some = Condition(alert="", figure="", threshold="", selector={})
    return tuple(dict.fromkeys(step.name for step in plan(target, conditions=(some,))))


def _age(read: Age, since: float) -> float:
    age = read()
    return time.monotonic() - since if age is None else max(0.0, age)
