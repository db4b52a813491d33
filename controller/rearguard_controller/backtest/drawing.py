"""What a back-test looks like: the stretches and curves that its report draws. Pure.

Here: from what is known of the past to plain numbers and texts, in seconds since the epoch. Never here: pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rearguard_controller.adapters.prometheus import Series, figures
from rearguard_controller.backtest.curves import condition_of
from rearguard_controller.backtest.nouns import AlertHistory, Curve, Record, World, curve_key
from rearguard_controller.backtest.report import Report, Rollback, obstacle
from rearguard_controller.json_views import Json
from rearguard_controller.model import VERSION_LABEL, Condition, Decision, Reason, Sample, Target, is_subset
from rearguard_controller.model.observations import EXISTS

MOST_DRAWN = 12  # rollbacks with their figure
MOST_POINTS = 120  # of a line

Point = tuple[float, float]


def drawn(worlds: Sequence[World], reports: Sequence[Report]) -> Json:
    """The time-lines of the targets, and the figure of each rollback that would have been begun.

    Args:
        worlds: of one time, each with other targets.
        reports: of each world, in the same order.
    """
    pairs = tuple(zip(worlds, reports, strict=True))
    return {
        "start": reports[0].start,
        "end": reports[0].end,
        "targets": [found for each in pairs for found in _targets(*each)],
        "figures": {name: found for each in pairs for name, found in _figures(*each).items()},
        "left": [found for report in reports for found in _left(report)],
    }


def _targets(world: World, report: Report) -> list[Json]:
    return [_of_target(world, report, target) for target in _shown(world, report)]


def _figures(world: World, report: Report) -> Json:
    return {
        each.record.decision.id: found
        for each in report.rollbacks[:MOST_DRAWN]
        if (found := _figure(world, each)) is not None
    }


def _left(report: Report) -> list[Json]:
    return [
        {"at": first.decided_at, "times": times, "target": first.target, "version": first.from_version or ""}
        | {"alert": first.alert.name if first.alert else "", "code": "" if reason is None else reason.code.value}
        | {"detail": "" if reason is None else reason.detail}
        for first, times, reason in left_alone(report.left)
    ]


def left_alone(given: Sequence[Record]) -> list[tuple[Decision, int, Reason | None]]:
    """For each target, version, alert and obstacle: the first judgement, how many, and what stood in the way."""
    groups: dict[tuple[object, ...], list[Record]] = {}
    for each in given:
        decision, reason = each.decision, obstacle(each.decision)
        alert = decision.alert.name if decision.alert else None
        code = None if reason is None else reason.code.value
        groups.setdefault((decision.target, decision.from_version, alert, code), []).append(each)
    return [
        (found[0].decision, sum(each.times for each in found), obstacle(found[0].decision))
        for found in groups.values()
    ]


def _shown(world: World, report: Report) -> list[Target]:
    names = {name for name, _, _ in report.targets}
    return [target for target in world.targets if target.name in names]


def _of_target(world: World, report: Report, target: Target) -> Json:
    triggers = [
        each for each in world.alerts if target.owns(each.labels) and is_subset(target.policy.alerts, each.labels)
    ]
    return {
        "name": target.name,
        "mode": target.policy.mode.value,
        "versions": [[each.version, each.start, each.end] for each in world.presence.get(target.name, ())],
        "alerts": [
            [each.labels.get("alertname", ""), stretch.start, stretch.end]
            for each in triggers
            for stretch in each.firing
        ],
        "would": [
            [each.record.decision.decided_at, each.record.decision.to_version or ""]
            for each in report.rollbacks
            if each.record.decision.target == target.name
        ],
        "people": [
            [each.at, each.to_version]
            for each in (
                *(one.people for one in report.rollbacks if one.people is not None),
                *(one.people for one in report.only_people),
            )
            if each.target == target.name
        ],
    }


def _figure(world: World, rollback: Rollback) -> Json | None:
    """The curve that shows the fault; None where the alert has no figure, or it was not read."""
    decision = rollback.record.decision
    target = next((each for each in world.targets if each.name == decision.target), None)
    if decision.alert is None or target is None:
        return None
    condition = condition_of(AlertHistory(decision.alert.labels, (), ()), world.rules, target)
    if condition is None or condition.threshold == EXISTS:
        return None
    over = [
        each
        for each in world.curves.get(curve_key(target, condition), ())
        if each.start <= decision.decided_at <= each.end
    ]
    curve = max(over, key=lambda each: each.end - each.start, default=None)
    if curve is None:
        return None
    operator, expression = figures.split_threshold(condition.alert, condition.threshold)
    step = max(curve.step, (curve.end - curve.start) / MOST_POINTS)
    return {
        "alert": condition.alert,
        "operator": operator,
        "start": curve.start,
        "end": curve.end,
        "step": step,
        "lines": [
            [series.labels.get(VERSION_LABEL, ""), _thinned(series.points, step, operator)] for series in curve.values
        ],
        "limit": _limit(curve, condition, expression),
    }


def _limit(curve: Curve, condition: Condition, expression: str) -> Sequence[Point]:
    number = figures.number_in(expression)
    if number is None:
        found = _belonging(curve.thresholds, condition)
        if found:
            return found
        number = curve.today
    return [] if number is None else [(curve.start, number), (curve.end, number)]


def _belonging(thresholds: Sequence[Series], condition: Condition) -> list[Point]:
    at_moment: dict[float, list[Sample]] = {}
    for series in thresholds:
        for at, value in series.points:
            at_moment.setdefault(at, []).append(Sample(series.labels, value))
    known: Mapping[float, float | None] = {
        at: figures.threshold_for(samples, condition.selector) for at, samples in sorted(at_moment.items())
    }
    return [(at, value) for at, value in known.items() if value is not None]


def _thinned(points: Sequence[Point], step: float, operator: str) -> list[Point]:
    """Of each step the worst value, so that no peak is lost."""
    buckets: dict[int, list[Point]] = {}
    for at, value in points:
        buckets.setdefault(int(at / step), []).append((at, value))
    found = []
    for bucket in buckets.values():
        worst = figures.worst((value for _, value in bucket), operator)
        if worst is not None:
            found.append((bucket[0][0], worst))
    return found
