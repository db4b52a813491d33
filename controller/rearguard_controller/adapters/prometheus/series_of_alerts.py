"""Alerts made of the series `ALERTS` and `ALERTS_FOR_STATE`, which Prometheus writes for each alert it evaluates.

Here: what these series say, and the annotations that the alert's rule adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rearguard_controller.adapters.prometheus.answers import AlertingRule, PrometheusAlert, Rules
from rearguard_controller.model import AlertState, Labels, Sample

_STATES = {"firing": AlertState.FIRING, "pending": AlertState.PENDING}
_OF_SERIES = frozenset({"__name__", "alertstate"})  # labels that an alert's series have and the alert has not
_LABEL = re.compile(r"\{\{-?\s*\$labels\.([A-Za-z_][A-Za-z0-9_]*)\s*-?\}\}")


def alerts(shown: Iterable[Sample], since: Iterable[Sample], rules: Rules) -> tuple[PrometheusAlert, ...]:
    """The alerts of these series.

    Args:
        shown: of `ALERTS`.
        since: of `ALERTS_FOR_STATE`, whose value is when the alert's condition became true.
        rules: where annotations come from.
    """
    active = {_key(each.labels): each.value for each in since}
    by_name: dict[str, list[AlertingRule]] = {}
    for rule in rules.alerting:
        by_name.setdefault(rule.name, []).append(rule)
    return tuple(
        PrometheusAlert(
            labels=_own(each.labels),
            annotations=_annotations(_own(each.labels), by_name),
            state=_STATES.get(each.labels.get("alertstate", ""), AlertState.UNKNOWN),
            active_at=active.get(_key(each.labels)),
            value=None,
        )
        for each in shown
    )


def _own(labels: Labels) -> Labels:
    return {name: value for name, value in labels.items() if name not in _OF_SERIES}


def _key(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(_own(labels).items()))


def _annotations(labels: Labels, rules: dict[str, list[AlertingRule]]) -> Labels:
    """The annotations of the alert's rule. A template that needs more than labels stays as it is written."""
    named = rules.get(labels.get("alertname", ""), ())
    rule = next((each for each in named if _may_be_of(each, labels)), None)
    if rule is None:
        return {}
    return {name: _LABEL.sub(lambda found: labels.get(found[1], ""), text) for name, text in rule.annotations.items()}


def _may_be_of(rule: AlertingRule, labels: Labels) -> bool:
    """Whether the alert has the rule's labels, as far as these are no templates."""
    return all("{{" in value or labels.get(name) == value for name, value in rule.labels.items())
