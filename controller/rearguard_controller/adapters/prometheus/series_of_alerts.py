"""Alerts made of the series `ALERTS` and `ALERTS_FOR_STATE`, which Prometheus writes for each alert it evaluates.

Here: what these series say, which of them nobody writes any more, and the annotations that the alert's rule adds.
"""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.adapters.prometheus.alert_rules import filled, rules_of
from rearguard_controller.adapters.prometheus.answers import AlertingRule, PrometheusAlert, Rules
from rearguard_controller.model import AlertState, Labels, Sample

_STATES = {"firing": AlertState.FIRING, "pending": AlertState.PENDING}
_MISSED = 3  # evaluations without a word of an alert, after which it is over
_OF_SERIES = frozenset({"__name__", "alertstate"})  # labels that an alert's series have and the alert has not


def alerts(shown: Iterable[Sample], since: Iterable[Sample], rules: Rules) -> tuple[PrometheusAlert, ...]:
    """The alerts of these series.

    Args:
        shown: of `timestamp(ALERTS)`. A Prometheus that was killed could not end its series: they stay in sight for
            five minutes, so the moment of the last sample tells whether the alert is still evaluated.
        since: of `ALERTS_FOR_STATE`, whose value is when the alert's condition became true.
        rules: where annotations come from.
    """
    active = {frozenset(_own(each.labels).items()): each.value for each in since}
    found: list[PrometheusAlert] = []
    for each in shown:  # there may be thousands: of each its labels and its rule are looked for once
        labels = _own(each.labels)
        rule = next(iter(rules_of(labels, rules)), None)
        if not _is_left_behind(each, rule):
            found.append(
                PrometheusAlert(
                    labels=labels,
                    annotations=_annotations(labels, rule),
                    state=_STATES.get(each.labels.get("alertstate", ""), AlertState.UNKNOWN),
                    active_at=active.get(frozenset(labels.items())),
                    value=None,
                )
            )
    return tuple(found)


def _is_left_behind(shown: Sample, rule: AlertingRule | None) -> bool:
    """Whether the alert's rule was evaluated since, and did not write this series again. Not known: no."""
    return rule is not None and shown.at is not None and shown.at - shown.value > _MISSED * rule.interval > 0


def _own(labels: Labels) -> Labels:
    return {name: value for name, value in labels.items() if name not in _OF_SERIES}


def _annotations(labels: Labels, rule: AlertingRule | None) -> Labels:
    """The annotations of the alert's rule. A template that needs more than labels stays as it is written."""
    return {} if rule is None else {name: filled(text, labels) for name, text in rule.annotations.items()}
