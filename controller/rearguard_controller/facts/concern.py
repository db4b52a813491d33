"""Which of all alerts that a source lists may concern the configured targets; all others are never kept in memory.

Here: whose an alert may be, and how many of one name are kept. A careless rule of others may fire 50,000 times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rearguard_controller.model import Labels, Target, is_subset

MOST_OF_A_TARGET = 1000  # alerts of one name and state that are kept for one target, triggers and others apart
MOST_OF_OTHERS = 100  # alerts of one name with the labels of a trigger that no target owns

Wanted = Callable[[Labels, str], bool]


class Concern:
    """What is looked for in a list of alerts, by these targets."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Look for alerts of these targets, and for triggers of their policies."""
        self.triggers = tuple({tuple(sorted(target.policy.alerts.items())) for target in targets})
        self._each_trigger = tuple(dict(each) for each in self.triggers)
        self._owners: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {}  # by label names, then by values
        for target in targets:
            for match in target.match:
                names = tuple(sorted(match))
                by_values = self._owners.setdefault(names, {})
                by_values.setdefault(tuple(match[name] for name in names), target.name)

    def everywhere(self) -> Labels:
        """Labels that every trigger has, whichever target it is of."""
        first, *others = (dict(each) for each in self.triggers) if self.triggers else ({},)
        return {name: value for name, value in first.items() if all(each.get(name) == value for each in others)}

    def of_reading(self) -> Wanted:
        """Whether an alert of one reading of a list is kept, asked alert by alert in their order.

        By labels and state, so that no flood of pending alerts hides one that fires.
        """
        kept: Counter[tuple[str, str, bool, str]] = Counter()

        def wanted(labels: Labels, state: str = "") -> bool:
            owner = self._owner(labels)
            trigger = False
            for each in self._each_trigger:  # no generator: each alert of each list is asked about
                if is_subset(each, labels):
                    trigger = True
                    break
            if owner is None and not trigger:
                return False
            kind = (labels.get("alertname", ""), owner or "", trigger, state)
            kept[kind] += 1
            return kept[kind] <= (MOST_OF_OTHERS if owner is None else MOST_OF_A_TARGET)

        return wanted

    def _owner(self, labels: Labels) -> str | None:
        """A target that the alert may be of; of several the first that is found."""
        for names, by_values in self._owners.items():
            found = by_values.get(tuple([labels.get(name, "") for name in names]))
            if found is not None:
                return found
        return None
