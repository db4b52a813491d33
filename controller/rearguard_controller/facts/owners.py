"""Which targets an alert is about, looked up by its labels: as quick for a thousand targets as for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rearguard_controller.model import DRILL_LABEL, Labels, Target, is_subset
from rearguard_controller.model.labels import OLDER_ENVIRONMENT_LABEL, normalised

_Places = dict[tuple[str, ...], dict[tuple[str | None, ...], list[int]]]  # by label names, then by values


class Owners:
    """The targets of a configuration, by what their alerts look like."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Arrange these targets; their order is that of the answers."""
        self._targets = tuple(targets)
        self._as_written: _Places = {}
        self._normalised: _Places = {}
        self._older = False  # some target is matched by the older name of a label
        for place, target in enumerate(self._targets):
            for match in target.match:
                _add(self._as_written, match, place)
                _add(self._normalised, normalised(match), place)
                self._older = self._older or OLDER_ENVIRONMENT_LABEL in match
        self._triggers = tuple(dict(each) for each in {tuple(sorted(each.policy.alerts.items())) for each in targets})

    def of(self, labels: Labels, prometheus: str | None = None) -> tuple[Target, ...]:
        """The targets that own an alert with these labels, see `Target.owns`; of this Prometheus, if it is known."""
        if labels.get(DRILL_LABEL):
            return ()
        found = set(_at(self._as_written, labels))
        if self._older or OLDER_ENVIRONMENT_LABEL in labels:
            found.update(_at(self._normalised, normalised(labels)))
        owners = (self._targets[place] for place in sorted(found))
        return tuple(each for each in owners if prometheus is None or each.prometheus == prometheus)

    def may_trigger(self, labels: Labels) -> bool:
        """Whether the policy of some target calls an alert with these labels a trigger."""
        return any(is_subset(each, labels) for each in self._triggers)

    def are_triggered_by(self, labels: Labels, prometheus: str | None = None) -> bool:
        """Whether an alert with these labels may roll back one of the targets that own it: see `of`."""
        if not self.may_trigger(labels):
            return False
        return any(is_subset(each.policy.alerts, labels) for each in self.of(labels, prometheus))


def _add(places: _Places, match: Labels, place: int) -> None:
    names = tuple(sorted(match))
    places.setdefault(names, {}).setdefault(tuple([match[name] for name in names]), []).append(place)


def _at(places: _Places, labels: Labels) -> Iterable[int]:
    for names, by_values in places.items():
        yield from by_values.get(tuple([labels.get(name) for name in names]), ())
