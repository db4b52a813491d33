"""PromQL of the questions about the past: selectors for many targets at once, and figures of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus.promql import METRIC_NAME, quoted, selector_text
from rearguard_controller.model import Labels

_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def of_all(selectors: Sequence[Labels], metric: str, present: str) -> str:
    """A selector of every series that one of these selectors has; `present` is a label that must not be empty.

    It may select more series than that, because it compares only the labels that all selectors name, each by itself.
    """
    shared = sorted(set[str]().union(*selectors).intersection(*map(set, selectors)) - {present})
    parts = [f'{present}!=""']
    for name in shared:
        values = sorted({labels[name] for labels in selectors})
        parts.append(f"{name}=~{quoted('|'.join(_SPECIAL.sub(_escape, value) for value in values))}")
    return f"{metric}{{{','.join(parts)}}}"


def narrowed(figure: str, selector: Labels) -> str:
    """A figure with the selector of one target added, if the figure is just a name; any other figure unchanged."""
    name = figure.strip()
    return f"{name}{selector_text(selector)}" if selector and METRIC_NAME.fullmatch(name) else figure


def fixed(labels: Labels) -> Labels:
    """The labels of a rule that are no templates."""
    return {name: value for name, value in labels.items() if "{{" not in value}


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[1]
