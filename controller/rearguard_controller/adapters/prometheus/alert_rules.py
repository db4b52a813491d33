"""Which rules an alert comes from, and which of its labels come from the series of their expression.

Here: rules are never found by literal labels alone. A label of a rule may be a template, and a querier may add labels
to rules that their alerts do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rearguard_controller.adapters.prometheus.answers import AlertingRule, Rules
from rearguard_controller.model import VERSION_LABEL, Labels

OF_ONE_INSTANCE = frozenset({VERSION_LABEL, "service_instance_id", "instance", "pod"})  # they change with a release

_TEMPLATE = "{{"
_NAMED = re.compile(r"\$?\.?[lL]abels\.([A-Za-z_][A-Za-z0-9_]*)")  # `$labels.x`, or `.Labels.x`
_JUST_NAMED = re.compile(r"\{\{-?\s*(?:\$labels|\.Labels)\.([A-Za-z_][A-Za-z0-9_]*)\s*-?\}\}")


def rules_of(labels: Labels, rules: Rules) -> tuple[AlertingRule, ...]:
    """The rules that an alert with these labels may come from; several if they cannot be told apart.

    Those that list the alert among their own `alerts` are meant. If none does (a querier that leaves the lists out,
    alerts of the past): the rules of its name that agree with it in the most labels, and contradict it in none.
    Labels that are templates, and labels that only one side has, are not compared.
    """
    named = rules.raising(labels.get("alertname", ""))
    if len(named) == 1 and _agreement(named[0], labels) is not None:
        return (named[0],)  # whether it lists the alert or not
    if any(rule.alerts for rule in named):
        items = frozenset(labels.items())
        listing = tuple(rule for rule in named if items in rule.alerts)
        if listing:
            return listing
    agreeing = [(count, rule) for rule in named if (count := _agreement(rule, labels)) is not None]
    most = max((count for count, _ in agreeing), default=0)
    return tuple(rule for count, rule in agreeing if count == most)


def can_raise(rule: AlertingRule, wanted: Labels) -> bool:
    """Whether a rule adds all of these labels to its alerts, literally or by a template that may become the value.

    Labels that only the series of its expression have are not known.
    """
    added = {**rule.labels, "alertname": rule.name}
    return all(added.get(name) == value or _TEMPLATE in added.get(name, "") for name, value in wanted.items())


def from_series(labels: Labels, rules: Iterable[AlertingRule], matches: Sequence[Labels]) -> Labels:
    """The labels that an alert has from the series of its rules' expression: without those that the rules add.

    Labels of one instance are left out, so that the alert's other instances count as well. They stay if the alert
    belongs to its target by them.

    Args:
        labels: the alert's.
        rules: those that it may come from.
        matches: the label maps by which it belongs to its target.
    """
    added = {name: text for rule in rules for name, text in rule.labels.items()}
    telling = {name for matcher in matches for name in matcher}
    for name in telling & added.keys():
        named = _NAMED.findall(added[name])
        telling |= OF_ONE_INSTANCE if _TEMPLATE in added[name] and not named else set(named)
    left_out = {"alertname", *added, *(OF_ONE_INSTANCE - telling)}
    return {name: value for name, value in labels.items() if name not in left_out}


def worn(rule: AlertingRule, series: Mapping[str, str]) -> Labels:
    """The labels of the alert that a rule raises for a series, without labels whose template is not understood."""
    own = {name: value for name, value in series.items() if name != "__name__"}
    added: dict[str, str] = {}
    for name, text in rule.labels.items():
        own.pop(name, None)
        value = filled(text, series)
        if _TEMPLATE not in value and value:
            added[name] = value
    return {**own, **added, "alertname": rule.name}


def filled(template: str, labels: Labels) -> str:
    """A template with these labels filled in; what needs more than a label's name stays as it is written."""
    return _JUST_NAMED.sub(lambda found: labels.get(found[1], ""), template)


def _agreement(rule: AlertingRule, labels: Labels) -> int | None:
    """How many labels of a rule an alert has with the same value; None if it has one with another value."""
    count = 0
    for name, value in rule.labels.items():
        if name in labels and _TEMPLATE not in value:
            if labels[name] != value:
                return None
            count += 1
    return count
