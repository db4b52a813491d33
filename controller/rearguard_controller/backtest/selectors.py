"""PromQL of the questions about the past. Pure.

Here: selectors for many targets at once, and figures narrowed to one.
Never here: asking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus.promql import selector_text
from rearguard_controller.model import Labels

_BARE = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*")
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def of_all(selectors: Sequence[Labels], metric: str, present: str) -> str:
    """A selector that leaves out no series of any of these; `present` is a label that must not be empty.

    It may select others, too: only labels that all name are looked at, each by itself.
    """
    shared = sorted(set[str]().union(*selectors).intersection(*map(set, selectors)) - {present})
    parts = [f'{present}!=""']
    for name in shared:
        values = sorted({labels[name] for labels in selectors})
        parts.append(f'{name}=~"{_quoted("|".join(_SPECIAL.sub(_escape, value) for value in values))}"')
    return f"{metric}{{{','.join(parts)}}}"


def narrowed(figure: str, selector: Labels) -> str:
    """A figure that is no more than a name, for one target; any other figure as it is."""
    bare = _BARE.fullmatch(figure)
    return figure if bare is None or not selector else f"{bare[1]}{selector_text(selector)}"


def fixed(labels: Labels) -> Labels:
    """Those labels of a rule that are no templates."""
    return {name: value for name, value in labels.items() if "{{" not in value}


def span(seconds: float) -> str:
    """Seconds as a PromQL duration."""
    return f"{round(seconds * 1000)}ms"


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[1]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
