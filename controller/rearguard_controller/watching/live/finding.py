"""One thing that was found, and how much it matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique

MOST_NAMED = 3  # of a list that a sentence repeats


@unique
class Weight(StrEnum):
    """How much a finding matters, the worst first; each value is the heading above its kind."""

    BLOCKS = "In the way of a rollback"
    LOOK = "Worth a look"
    UNKNOWN = "Not known"
    GOOD = "Good"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about something: a target's name, or Kubernetes, Prometheus or Alertmanager."""

    about: str
    said: str
    weight: Weight


def together(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in the order of their weight; what is said of several things alike is said once."""
    about: dict[tuple[Weight, str], list[str]] = {}
    for each in found:
        names = about.setdefault((each.weight, each.said), [])
        if each.about not in names:
            names.append(each.about)
    every = [Finding(_named(names), said, weight) for (weight, said), names in about.items()]
    order = list(Weight)
    return tuple(sorted(every, key=lambda each: order.index(each.weight)))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
