"""Many sets of labels, such as those of all samples of a figure: one target's are found without a walk over all.

Here: finding by labels that a set contains, whichever of its names a label has.
"""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.model import Labels, normalised


class LabelSets:
    """Sets of labels, found by the labels that they contain; compared by the newer names of labels."""

    def __init__(self, found: Iterable[Labels]) -> None:
        """Take these."""
        self.all = tuple(normalised(labels) for labels in found)
        self._by_label: dict[tuple[str, str], list[Labels]] = {}
        for labels in self.all:
            for pair in labels.items():
                self._by_label.setdefault(pair, []).append(labels)

    def having(self, wanted: Labels) -> list[Labels]:
        """Those that contain all of these labels."""
        pairs = normalised(wanted).items()
        if not pairs:
            return list(self.all)
        rarest = min((self._by_label.get(pair, []) for pair in pairs), key=len)
        return [labels for labels in rarest if pairs <= labels.items()]

    def values(self, name: str) -> frozenset[str]:
        """Every value of a label."""
        return frozenset(labels[name] for labels in self.all if labels.get(name))
