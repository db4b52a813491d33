"""Many sets of labels, such as those of all samples of a figure: one target's are found without a walk over all.

Here: finding by labels that a set contains, whichever of its names a label has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

from rearguard_controller.model import Labels, normalised

T = TypeVar("T")


class ByLabels(Generic[T]):
    """Things that have labels, found by these; compared by the newer names of labels."""

    def __init__(self, found: Iterable[tuple[Labels, T]]) -> None:
        """Take these, each with its labels."""
        self.all = tuple((normalised(labels), each) for labels, each in found)
        self._by_label: dict[tuple[str, str], list[tuple[Labels, T]]] = {}
        for labelled in self.all:
            for pair in labelled[0].items():
                self._by_label.setdefault(pair, []).append(labelled)

    def having(self, wanted: Labels) -> list[T]:
        """Those that have all of these labels; an empty value stands for a label that is not there."""
        pairs = {name: value for name, value in normalised(wanted).items() if value}
        without = normalised(wanted).keys() - pairs.keys()
        lists = [self._by_label.get(pair, []) for pair in pairs.items()]
        rarest: Sequence[tuple[Labels, T]] = min(lists, key=len) if lists else self.all
        return [
            each
            for labels, each in rarest
            if pairs.items() <= labels.items() and not any(labels.get(name) for name in without)
        ]


class LabelSets:
    """Sets of labels, found by the labels that they contain; compared by the newer names of labels."""

    def __init__(self, found: Iterable[Labels]) -> None:
        """Take these."""
        self.all = tuple(normalised(labels) for labels in found)
        self._found = ByLabels((labels, labels) for labels in self.all)
        self._values: dict[str, frozenset[str]] = {}  # as they were asked for: of each target anew
        self.bare = tuple(labels for labels in self.all if not labels)  # those without any label

    @cached_property
    def names(self) -> frozenset[str]:
        """The name of every label."""
        return frozenset[str]().union(*self.all)

    def having(self, wanted: Labels) -> list[Labels]:
        """Those that contain all of these labels."""
        return self._found.having(wanted)

    def values(self, name: str) -> frozenset[str]:
        """Every value of a label."""
        if name not in self._values:
            self._values[name] = frozenset(labels[name] for labels in self.all if labels.get(name))
        return self._values[name]
