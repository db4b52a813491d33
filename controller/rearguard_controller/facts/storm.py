"""Which targets are in trouble: trigger alerts of theirs fire in Prometheus, or did so a moment ago.

Here: whose trigger an alert is, and when each target was last seen with one. This is kept in memory only, because
every replica sees the same alerts: a new one sees at its first look all that still fire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from rearguard_controller.model import DRILL_LABEL, Labels, StormLimit, Target

MOST_ASKED = 32  # targets in trouble: in a storm of more, none is asked by itself
SPARED = "in a storm of {} targets none is asked by itself"


class Trouble:
    """Remembers by target when a trigger alert of it was last seen firing."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Nothing was seen; `monotonic` is a clock that never jumps, in seconds."""
        self._monotonic = monotonic
        self._owners: dict[tuple[str, ...], dict[tuple[str, ...], set[str]]] = {}  # by label names, then by values
        self._seen: dict[str, float] = {}  # in the order in which trouble began
        self._oldest = math.inf  # nothing was seen last before this
        self._recent: tuple[str, ...] | None = None  # as long as nobody joined them and nobody left
        self._of: dict[str, str] = {}  # by target: the Prometheus that judges it
        self._units: dict[str, str] = {}  # of targets that go back together: what ties them
        self.limit = StormLimit()

    def use(self, targets: Sequence[Target], limit: StormLimit) -> None:
        """Look out for the triggers of these targets; what was seen of them before stays seen."""
        self.limit, self._owners, self._recent = limit, {}, None
        self._units = {target.name: target.unit for target in targets if target.unit != target.name}
        self._of = {target.name: target.prometheus for target in targets}
        self._seen = {name: at for name, at in self._seen.items() if name in self._of}
        for target in targets:
            for wanted in target.trigger_labels():
                by_values = self._owners.setdefault(tuple(sorted(wanted)), {})
                by_values.setdefault(tuple(wanted[name] for name in sorted(wanted)), set()).add(target.name)

    def see(self, firing: Iterable[Labels]) -> frozenset[str]:
        """Note a reading of all alerts that fire; returns the targets that are in trouble by it: see `among`."""
        now = self.among(firing)
        self.saw(*sorted(now))
        return now

    def among(self, firing: Iterable[Labels], of: str | None = None) -> frozenset[str]:
        """The targets that are in trouble by these alerts that fire; nothing is noted.

        An alert that matches several targets does not count, because nobody knows which of them it is about.

        Args:
            firing: the labels of the alerts.
            of: the Prometheus that has them, where there are several; only its own targets count.
        """
        now: set[str] = set()
        for labels in firing:
            if labels.get(DRILL_LABEL):
                continue
            owners: set[str] = set()
            for names, by_values in self._owners.items():
                owners |= by_values.get(tuple([labels.get(name, "") for name in names]), set())
            if of is not None:
                owners = {name for name in owners if self._of.get(name) == of}
            if len(owners) == 1:
                now |= owners
        return frozenset(now)

    def lasting(self, pending: frozenset[str], *, all_evaluated: bool, of: str | None = None) -> frozenset[str]:
        """The targets whose trouble of a moment ago is not known to be over.

        A Prometheus that starts anew shows nothing of what fired until it has evaluated its rules. Then that pends,
        for as long as its rule says.

        Args:
            pending: the targets of which alerts are pending: see `among`.
            all_evaluated: whether every rule was evaluated since Prometheus started.
            of: this Prometheus, where there are several; only its own targets are told of.
        """
        self._forget()
        seen = frozenset(name for name in self._seen if of is None or self._of.get(name) == of)
        return seen & pending if all_evaluated else seen

    def saw(self, *names: str) -> None:
        """Note that trigger alerts of these targets fire now."""
        self._forget()
        now = self._monotonic()
        if not self._seen.keys() >= set(names):
            self._recent = None
        for name in names:
            self._seen[name] = now
            self._oldest = min(self._oldest, now)

    def recent(self) -> tuple[str, ...]:
        """The targets that had a trigger alert within `limit.within` seconds, those in trouble longest first.

        Of targets that go back together only the first one counts: they have one fault.
        """
        self._forget()
        if self._recent is None:
            first_of: dict[str, str] = {}
            for name in self._seen:
                first_of.setdefault(self._units.get(name, name), name)
            self._recent = tuple(first_of.values())
        return self._recent

    def spared(self) -> str:
        """Why no target is asked by itself now: a storm of very many. Empty while each is asked."""
        many = len(self.recent())
        return SPARED.format(many) if many > max(self.limit.targets, MOST_ASKED) else ""

    def _forget(self) -> None:
        """Forget trouble that is over for long; in a storm there is much of it, and it is asked for very often."""
        oldest = self._monotonic() - self.limit.within
        if self._oldest < oldest:
            self._seen = {name: at for name, at in self._seen.items() if at >= oldest}
            self._oldest, self._recent = min(self._seen.values(), default=math.inf), None
