"""An alert that Prometheus does not have: as the first rule that may roll a target back would raise it now.

Here: which rule, and the alert's labels. `gather` takes it as if Prometheus had it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.facts.alerts_now import AlertsReading
from rearguard_controller.model import AlertState, Target

NO_RULE = "AnyTrigger"  # the name of an alert that no rule could raise


def alert(target: Target, reading: AlertsReading, speaking: Collection[str], now: float) -> PrometheusAlert:
    """The alert; of the first rule that has spoken of the target (`speaking`), if any has."""
    return _of_rule(target, _first(reading.rules.alerting, target, speaking), now)


def _first(rules: Sequence[AlertingRule], target: Target, speaking: Collection[str]) -> AlertingRule | None:
    """The first rule that may roll the target back; one that has spoken of it, if any has."""
    able = [rule for rule in rules if can_raise(rule, target.policy.alerts)]
    return next((rule for rule in able if rule.name in speaking), next(iter(able), None))


def _of_rule(target: Target, rule: AlertingRule | None, now: float) -> PrometheusAlert:
    labels = dict(next(iter(target.trigger_labels()), next(iter(target.match), {})))
    if rule is None:
        return PrometheusAlert({**labels, "alertname": NO_RULE}, {}, AlertState.FIRING, now, None)
    static = {name: value for name, value in rule.labels.items() if "{{" not in value}
    return PrometheusAlert(
        {**static, **labels, "alertname": rule.name}, rule.annotations, AlertState.FIRING, now, None
    )
