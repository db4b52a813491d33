"""PromQL of the questions about the past: selectors for many targets at once, and figures of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus.promql import METRIC_NAME, quoted, series_of
from rearguard_controller.model import Condition, Labels, normalised
from rearguard_controller.model.labels import TWO_NAMED
from rearguard_controller.model.observations import EXISTS

_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def of_all(selectors: Sequence[Labels], metric: str, present: str) -> str:
    """A selector of every series that one of these selectors has; `present` is a label that must not be empty.

    It may select more series than that, because it compares only the labels that all selectors name, each by itself.
    """
    named = [set(one_named(labels)) for labels in selectors]
    shared = sorted(set[str]().union(*named).intersection(*named) - {present})
    parts = [f'{present}!=""']
    for name in shared:
        values = sorted({labels[name] for labels in selectors})
        parts.append(f"{name}=~{quoted('|'.join(_SPECIAL.sub(_escape, value) for value in values))}")
    return f"{metric}{{{','.join(parts)}}}"


def narrowed(condition: Condition) -> str:
    """The figure of a condition with labels that all its values wear added, if it is just a name; else unchanged."""
    name, selector = condition.figure.strip(), condition.selector
    if condition.labels is not None:
        shared = dict(normalised(selector).items() & normalised(condition.labels).items())
        selector = {} if condition.threshold == EXISTS else shared
    return series_of(name, selector) if selector and METRIC_NAME.fullmatch(name) else condition.figure


def one_named(labels: Labels) -> Labels:
    """The labels that have one name only. One selector cannot accept either name: compare the others afterwards."""
    return {name: value for name, value in labels.items() if name not in TWO_NAMED}


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[1]
