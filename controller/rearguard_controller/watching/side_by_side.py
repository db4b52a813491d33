"""Looks at each poll whether an older version shows the same fault beside a release, and remembers it.

Here: which figures of which targets are worth a look. The rule that looks for a fault may be silent while both
versions show it, so no alert need fire. Only a target that shows two versions is asked about, with a query or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rearguard_controller.adapters.prometheus import (
    AlertingRule,
    Prometheus,
    PrometheusAlert,
    Rules,
    figures,
)
from rearguard_controller.errors import SourceError
from rearguard_controller.judgement import beside
from rearguard_controller.judgement.beside import Beside, Limit, Pair, Reading
from rearguard_controller.model import (
    VERSION_LABEL,
    AlertState,
    Condition,
    Release,
    Sample,
    Target,
    TargetFacts,
    TargetState,
)
from rearguard_controller.model.observations import EXISTS
from rearguard_controller.releases.presence import Instances
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.current_figures import Table

Values = tuple[tuple[str, float], ...]  # (service_version, value)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a poll read of a target's trigger rules.

    Attributes:
        rules: all that are loaded.
        triggers: those whose alerts may roll the target back.
        table: the figures of all rules, of all services.
        alerts: the target's trigger alerts, pending or firing.
        instances: the target's.
    """

    rules: Rules
    triggers: Sequence[AlertingRule]
    table: Table
    alerts: Sequence[PrometheusAlert]
    instances: Instances


class SideBySide:
    """Follows both versions from poll to poll."""

    def __init__(self, runtime: Runtime, prometheus: Prometheus, releases: Releases) -> None:
        """Nothing was seen yet; what is seen is kept by `releases`."""
        self._clock = runtime.clock
        self._prometheus = prometheus
        self._releases = releases
        self._known: dict[str, tuple[str, dict[tuple[str, str], Beside]]] = {}  # by target: version, by figure

    async def look(self, target: Target, state: TargetState, known: Sequence[Release], shown: Figures) -> None:
        """Compare what the versions of a target show in this poll.

        Raises:
            JournalError, LeaseLostError: what was seen could not be kept; the next poll sees it again.
        """
        facts = TargetFacts(serving_version=state.serving_version, state=state, releases=tuple(known))
        release = facts.serving
        if release is None or not state.is_release or not any(beside.is_older(each, release) for each in known):
            self._known.pop(target.name, None)
            return
        found = _of_figures(target, shown) + _of_expressions(target, shown)
        pair = beside.pair_of(facts, {version for _, _, values in found for version, _ in values})
        if pair is None:
            return
        version, so_far = self._known.get(target.name, ("", {}))
        if version != release.version:
            so_far = {}
        telling = [each for each in found if _tells(each, pair, release, so_far)]
        if not telling:
            return
        if shown.instances.samples is None:  # looked at again at the next poll
            return
        scraped = frozenset(each.labels.get(VERSION_LABEL, "") for each in shown.instances.samples if each.value == 1)
        try:
            for condition, limit, values in telling:
                reading = beside.reading_of(self._clock(), limit, values, pair, scraped)
                key = (condition.figure, condition.threshold)
                before = so_far.get(key) or Beside(release.shared(condition))
                reading = await self._with_traffic(condition, reading, pair)
                after = so_far[key] = beside.follow(before, condition, reading)
                if after.fault is not None and after.fault != before.fault:
                    await self._releases.remember_shared(target, release.version, after.fault)
        except SourceError:  # looked at again at the next poll
            return
        self._known[target.name] = release.version, so_far

    async def _with_traffic(self, condition: Condition, reading: Reading, pair: Pair) -> Reading:
        """The reading, with whether both versions have enough traffic; asked only while both show the fault."""
        both = reading.own and reading.own.past and reading.older and reading.older.past
        if not both or not condition.comparable:
            return reading
        samples = await self._prometheus.query(condition.comparable)
        having = {version for version, _ in _own(samples, condition)}
        return replace(reading, enough=pair.own in having and reading.version in having)


_Found = tuple[Condition, Limit, Values]


def _of_figures(target: Target, shown: Figures) -> list[_Found]:
    """The target's figures of which at least two versions have a value."""
    found: dict[tuple[str, str], _Found] = {}
    for rule in shown.triggers:
        for key in current_figures.keys_of([rule]):
            row = shown.table.get(key)
            if row is None or key in found:
                continue
            values = _own(row.values_near(target.telemetry), Condition("", *key, target.telemetry))
            if len({version for version, _ in values}) > 1:
                limit = (row.operator, current_figures.threshold_in(row, target.telemetry))
                found[key] = (_condition(target, rule, shown.rules), limit, values)
    return list(found.values())


def _of_expressions(target: Target, shown: Figures) -> list[_Found]:
    """Alerts without a figure: their rule's expression returned something of each version that has such an alert."""
    values: dict[str, set[str]] = {}
    for alert in shown.alerts:
        if VERSION_LABEL in alert.labels and not alert.annotations.get("figure", "").strip():
            values.setdefault(alert.name, set()).add(alert.labels[VERSION_LABEL])
    found: list[_Found] = []
    for rule in shown.triggers:
        versions = values.get(rule.name, set())
        condition = _condition(target, rule, shown.rules) if versions else None
        if condition is not None and condition.threshold == EXISTS:
            found.append((condition, (EXISTS, None), tuple((version, 1.0) for version in sorted(versions))))
    return found


def _condition(target: Target, rule: AlertingRule, rules: Rules) -> Condition:
    labels = {**rule.labels, "alertname": rule.name}
    alert = PrometheusAlert(labels, rule.annotations, AlertState.FIRING, None, None)
    found = figures.condition_of(alert, rules, target, known=(rule,))
    return found or Condition(rule.name, rule.query, EXISTS, target.telemetry)


def _tells(found: _Found, pair: Pair, release: Release, so_far: dict[tuple[str, str], Beside]) -> bool:
    """Whether a look may change anything: a version shows the fault, or it was shown before."""
    condition, (operator, threshold), values = found
    if (condition.figure, condition.threshold) in so_far or release.shared(condition) is not None:
        return True
    reading = beside.reading_of(0.0, (operator, threshold), values, pair, {pair.own, *pair.older})
    return bool(reading.own and reading.own.past and reading.older and reading.older.past)


def _own(samples: Sequence[Sample], condition: Condition) -> Values:
    """(service_version, value) of the target's own samples that name a version."""
    return tuple(
        (each.labels[VERSION_LABEL], each.value)
        for each in samples
        if each.labels.get(VERSION_LABEL) and figures.is_about(each.labels, condition, None)
    )
