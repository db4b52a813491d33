"""Label selectors of Kubernetes, as `kubectl --selector` writes them. Pure.

The grammar is that of k8s.io/apimachinery/pkg/labels: requirements joined by commas, each `key`, `!key`, `key=value`,
`key==value`, `key!=value`, `key in (a,b)` or `key notin (a,b)`. A label that is absent is unequal to everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rearguard_controller.model.labels import Labels

_KEY = r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
_PRESENT = re.compile(rf"(?P<not>!?)\s*(?P<key>{_KEY})")
_EQUAL = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})")
_AMONG = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_COMMA = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement: the label's value is among these; without values: there is such a label. Or not so."""

    key: str
    values: frozenset[str] | None
    holds: bool = True

    def fits(self, labels: Labels) -> bool:
        """Whether labels meet it."""
        found = self.key in labels if self.values is None else labels.get(self.key) in self.values
        return found is self.holds


@dataclass(frozen=True, slots=True)
class Selector:
    """All of its requirements must be met; its text is kept for sentences."""

    text: str
    requirements: tuple[Requirement, ...]

    def fits(self, labels: Labels) -> bool:
        """Whether labels meet it."""
        return all(each.fits(labels) for each in self.requirements)


def parse(text: str) -> Selector:
    """A selector.

    Raises:
        ValueError: it is none, or it selects everything; the text says which part is wrong.
    """
    return Selector(text, tuple(_requirement(part.strip()) for part in _COMMA.split(text)))


def _requirement(text: str) -> Requirement:
    if match := _AMONG.fullmatch(text):
        values = frozenset(value.strip() for value in match["values"].split(","))
        if all(re.fullmatch(_VALUE, value) for value in values):
            return Requirement(match["key"], values, match["op"] == "in")
    elif match := _EQUAL.fullmatch(text):
        return Requirement(match["key"], frozenset({match["value"]}), match["op"] != "!=")
    elif match := _PRESENT.fullmatch(text):
        return Requirement(match["key"], None, not match["not"])
    raise ValueError(f"{text[:60]!r} is no requirement")
