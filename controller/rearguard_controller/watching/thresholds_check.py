"""The readiness check `thresholds`: has every figure of the trigger rules a threshold that can be meant?

Here: the question about the numbers that users wrote, asked once for all targets, and the sentence that names one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.adapters.prometheus import Rules, possible
from rearguard_controller.adapters.prometheus.figures import threshold_for
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Check, Sample, Target
from rearguard_controller.model.checks import THRESHOLDS
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.current_figures import Row
from rearguard_controller.watching.readiness_rules import polled
from rearguard_controller.watching.unseen import shown

_NAME = "threshold"  # the label under which the question keeps the name of the series
_OVERRIDE = ":threshold_override"
_OVERRIDES = f"service:.+{_OVERRIDE}"


def _written(names: str, more: str = "") -> str:
    return f'label_replace({{__name__=~"{names}"{more}}}, "{_NAME}", "$1", "__name__", "(.+)")'


_ALL = _written(f"{_OVERRIDES}|default:.+:threshold")
# Defaults and overrides with which a rule could never fire, or would always: NaN and below 0, Inf, a share above 1
# (10 instead of 0.10), or without a label by which an override is found.
ODD = " or ".join(
    (
        f"(({_ALL} >= bool 0) == 0)",
        f"({_ALL} == Inf)",
        f"({_written('service:.+_ratio:threshold_override|default:.+_ratio:threshold')} > 1)",
        _written(_OVERRIDES, ',service_name=""'),
        _written(_OVERRIDES, ',deployment_environment_name=""'),
    )
)
_ADVICE = (
    "Give a number from 0 on (a ratio: at most 1), and to an override the labels service_name and"
    " deployment_environment_name."
)


async def odd(prometheus: Asks) -> tuple[Sample, ...]:
    """The thresholds that cannot be meant; none when Prometheus gives no usable answer."""
    try:
        return tuple(await prometheus.query(ODD))
    except SourceError:
        return ()


def check(target: Target, rows: Sequence[Row], rules: Rules, found: Sequence[Sample] = ()) -> Check:
    """Whether each figure with a value has a threshold that can be meant, and any other figure could have one.

    Args:
        target: whose.
        rows: the figures of its trigger rules, of all services.
        rules: all rules, so that recorded names are followed.
        found: what `odd` found.
    """
    mine = [each for each in found if _concerns(each, target)]
    if mine:
        labels = {name: value for name, value in mine[0].labels.items() if name not in (_NAME, "__name__")}
        of = f" of {shown(labels)}" if labels else ""
        detail = f"{mine[0].labels.get(_NAME, 'A threshold')}{of} cannot be meant. {_ADVICE}"
        return Check(THRESHOLDS, False, detail)
    return polled(THRESHOLDS, holds=all(_has_threshold(target, row, rules) for row in rows))


def _concerns(threshold: Sample, target: Target) -> bool:
    """Whether it is a default, or an override that is found by a label of the target; one without any is nobody's."""
    name = threshold.labels.get(_NAME, "")
    if not name.startswith("service:"):
        return name.startswith("default:")
    labels = {each: value for each, value in threshold.labels.items() if each not in (_NAME, "__name__")}
    return bool(labels) and threshold_for([Sample(labels, 0.0)], target.telemetry) is not None


def _has_threshold(target: Target, row: Row, rules: Rules) -> bool:
    if current_figures.threshold_in(row, target.telemetry) is not None:
        return True
    if current_figures.readings(row, target.telemetry):
        return False
    return bool(row.thresholds) or not (row.values or _unrecorded(row.limit, rules))


def _unrecorded(expression: str, rules: Rules) -> bool:
    """Whether an expression reads a series that no loaded rule records. Overrides need not be there."""
    names = possible.raw_metrics(expression, rules)
    return any(":" in name and not name.endswith(_OVERRIDE) for name in names)
