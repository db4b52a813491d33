"""The readiness check `match`: may an alert belong to several targets? The configuration alone answers it."""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.model import Check, Target
from rearguard_controller.watching import readiness_rules


def checks(targets: Sequence[Target]) -> dict[str, Check]:
    """The check `match` of each target: it depends on the configuration alone."""
    by_names: dict[tuple[str, ...], dict[tuple[str, ...], list[Target]]] = {}
    for target in targets:
        for labels in target.match:
            names = tuple(sorted(labels))
            by_names.setdefault(names, {}).setdefault(tuple(labels[name] for name in names), []).append(target)
    found: dict[str, dict[str, Target]] = {target.name: {} for target in targets}
    for target in targets:
        for labels in target.match:
            for names, of_values in by_names.items():
                wider = of_values.get(tuple(labels.get(name, "") for name in names), ())
                for other in wider:
                    if other is not target:
                        found[target.name][other.name] = other
                        found[other.name][target.name] = target
    return {target.name: readiness_rules.match(target, list(found[target.name].values())) for target in targets}
