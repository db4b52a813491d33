"""PromQL of the questions about the past: selectors for many targets at once, and figures of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus.promql import METRIC_NAME, quoted, series_of
from rearguard_controller.model import Labels
from rearguard_controller.model.labels import TWO_NAMED

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


def narrowed(figure: str, selector: Labels) -> str:
    """A figure with the selector of one target added, if the figure is just a name; any other figure unchanged."""
    name = figure.strip()
    return series_of(name, selector) if selector and METRIC_NAME.fullmatch(name) else figure


def one_named(labels: Labels) -> Labels:
    """The labels that have one name only. One selector cannot accept either name: compare the others afterwards."""
    return {name: value for name, value in labels.items() if name not in TWO_NAMED}


def fixed(labels: Labels) -> Labels:
    """The labels of a rule that are no templates."""
    return {name: value for name, value in labels.items() if "{{" not in value}


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[1]
