"""Whether the trigger rules are evaluated, as far as a target is concerned.

Here: which error of a rule is about which target, and the sentence that names rule and error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus import AlertingRule
from rearguard_controller.model import Check, Labels, Target
from rearguard_controller.model.checks import TRIGGER_RULES
from rearguard_controller.watching.readiness_rules import polled

MOST_TOLD = 300  # characters of an error in a sentence

_GROUP = re.compile(r"\{([^{}]*)\}")
_PAIR = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')


def check(target: Target, rules: Sequence[AlertingRule]) -> Check:
    """Whether a trigger rule is loaded, and none fails because of this target or of nobody in particular.

    A rule whose error names another service's series alone is named, and does not count against this target as long
    as another rule is evaluated.
    """
    failing = [rule for rule in rules if rule.health not in {"ok", "unknown"}]
    healths = {rule.health for rule in rules}
    if not failing:
        return polled(TRIGGER_RULES, holds=None if healths == {"unknown"} else bool(rules))
    mine = [rule for rule in failing if concerns(rule.last_error, target)]
    if mine or healths.isdisjoint({"ok", "unknown"}):
        told = mine or failing
        return Check(TRIGGER_RULES, False, f"{_named(told)} Mend the rule or the series that it names.")
    if "ok" not in healths:
        return polled(TRIGGER_RULES, holds=None)
    return Check(TRIGGER_RULES, True, f"Trigger rules are evaluated, but for what concerns others. {_named(failing)}")


def concerns(error: str, target: Target) -> bool:
    """Whether an error of a rule may be about this target: it names none of another service's series alone."""
    groups = [dict(_PAIR.findall(group)) for group in _GROUP.findall(error)]
    named = [group for group in groups if group]
    selectors = (target.telemetry, *target.match)
    return not named or any(_may_be(labels, selector) for labels in named for selector in selectors)


def _may_be(labels: Labels, selector: Labels) -> bool:
    """Whether a series with these labels may belong to what the selector selects: no label says otherwise."""
    return all(labels.get(name, value) == value for name, value in selector.items())


def _named(rules: Sequence[AlertingRule]) -> str:
    told = [f"{rule.name} is not evaluated: {_cut(rule.last_error)}" for rule in rules[:2]]
    more = f" {len(rules) - 2} more are not, either." if len(rules) > 2 else ""  # noqa: PLR2004 - those just named
    return " ".join(told) + more


def _cut(error: str) -> str:
    text = " ".join(error.split()) or "Prometheus gives no error"
    return f"{text[:MOST_TOLD]}..." if len(text) > MOST_TOLD else f"{text.rstrip('.')}."
