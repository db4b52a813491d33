"""Verdicts of the past by the evidence of raw counters, where no rule of ours was ever loaded.

Here: the counts around each release, and the alerts that `ReleaseWorse` would have raised by them. What follows from
counts is worked out by the same functions as for the present (`judgement.evidence`, `judgement.looks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rearguard_controller.adapters.prometheus import Prometheus, Rules
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.backtest import stretches
from rearguard_controller.backtest.archive import Progress, together
from rearguard_controller.backtest.nouns import AlertHistory, Change, CountsKey, World
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import counting
from rearguard_controller.facts.measurements import NOT_COUNTED
from rearguard_controller.judgement.beside import Pair
from rearguard_controller.judgement.evidence import STEP, is_bad, learn, weigh
from rearguard_controller.judgement.looks import proofs
from rearguard_controller.model import VERSION_LABEL, Condition, Counts, Facts, Measured, Measurement, Target, agree
from rearguard_controller.model.observations import ERROR_EVIDENCE, last_episode

NAME = "ReleaseWorse"  # of the alert that rules/evidence.yml raises by the same evidence
FIGURE, THRESHOLD = "version:http_error_evidence:nats", "> service:http_error_evidence:needed"
RECORDED_EVERY = 60.0  # seconds between the points at which it is looked whether a rule has recorded anything
LONGEST = 7200.0  # seconds after a release in which its requests are counted
MOST_OLDER = 5  # versions before a release that it is compared with


async def read(
    prometheus: Prometheus, world: World, changed: Mapping[str, Sequence[Change]], progress: Progress
) -> dict[CountsKey, Counts]:
    """The counts of each release, and of the versions before it; none where Prometheus has none, or cannot say."""
    asked = releases(world, changed)
    found: dict[CountsKey, Counts] = {}
    done = 0

    async def one(target: Target, number: int, of: Sequence[Change]) -> None:
        nonlocal done
        change = of[number]
        pair = Pair(change.version, frozenset(_before(of, number)))
        time = change.at, looked_at_until(world, target, number, of)
        try:
            counts = await counting.between(prometheus, target.telemetry, pair, released_at(change), time)
        except SourceError:  # a figure of the rules says that there is no data, if there is none
            counts = None
        if counts is not None:
            found[target.name, change.at] = counts
        done += 1
        progress("requests around releases", done, len(asked))

    await together(one(*each) for each in asked)
    return found


def releases(world: World, changed: Mapping[str, Sequence[Change]]) -> list[tuple[Target, int, Sequence[Change]]]:
    """Each release: its target, and its place among the changes of that target."""
    return [
        (target, number, changed[target.name])
        for target in world.targets
        for number, change in enumerate(changed[target.name])
        if change.changed_after is not None and change.version not in _before(changed[target.name], number)
    ]


def released_at(change: Change) -> float:
    """When the version before was last seen alone."""
    return change.changed_after or change.at


def looked_at_until(world: World, target: Target, number: int, of: Sequence[Change]) -> float:
    """Until when the requests of a release are counted."""
    replaced = of[number + 1].at if number + 1 < len(of) else world.end
    return min(replaced, of[number].at + min(target.policy.watch_window, LONGEST), world.end)


async def without_rules(prometheus: Prometheus, world: World, counts: Mapping[CountsKey, Counts]) -> set[CountsKey]:
    """The releases of which no rule of evidence has recorded anything: none is loaded, or it was loaded later."""
    figures = {target.name: _figures(target, world.rules) for target in world.targets}
    selectors = {target.name: target.telemetry for target in world.targets}

    async def one(key: CountsKey, known: Counts) -> CountsKey | None:
        start, end = known.own[0].at, known.own[-1].at
        for figure in figures[key[0]]:
            try:
                found = await prometheus.query_range(figure, start, end, max(RECORDED_EVERY, (end - start) / 100))
            except SourceError:
                continue
            own = (each.labels for each in found if agree(selectors[key[0]], each.labels))
            if any(labels.get(VERSION_LABEL) == known.version for labels in own):
                return None
        return key

    return {each for each in await together(one(*each) for each in counts.items()) if each is not None}


def alerts(world: World, counts: Mapping[CountsKey, Counts]) -> list[AlertHistory]:
    """The alerts that evidence would have raised of these releases."""
    found: list[AlertHistory] = []
    for target in world.targets:
        for (name, _), known in counts.items():
            mine = name == target.name and bool(target.match)
            moments = [each.at for each in proofs(known, target.policy.caution)] if mine else []
            firing = tuple(stretches.unbroken(moments, 3 * STEP))
            if firing:
                labels = {**target.policy.alerts, **target.match[0], VERSION_LABEL: known.version, "alertname": NAME}
                found.append(AlertHistory(labels, firing, firing, evaluated=True, by_counts=True))
    return found


def with_counts(facts: Facts, target: Target, counts: Counts | None) -> Facts:
    """The facts of an alert of `alerts`, at their moment."""
    known = None if counts is None else until(counts, facts.now)
    found = None if known is None else weigh(known, target.policy.caution)
    if known is None or found is None:
        return replace(facts, measured=Measured(now_detail="nothing was counted", counts_detail="", by_evidence=True))
    learnt = learn(known.before)
    bad = [each.at for each in known.own if is_bad(each, learnt.share)]
    n, x = sum(each.requests for each in known.before), sum(each.failures for each in known.before)
    measured = Measured(
        now=Measurement(found.nats, found.needed, ">", past=found.nats > found.needed),
        since=last_episode(bad) - STEP if bad else None,
        since_detail="" if bad else "nothing failed",
        before=Measurement(x / n, learnt.share, ">", past=False) if n else None,
        before_detail=f"in the hour before the release, {known.older} failed a share of " if n else "",
        shared=counting.shared_fault(known, Condition(NAME, FIGURE, THRESHOLD, target.telemetry)),
        counts=known,
        by_evidence=True,
        evidence=(counting.evidence_of(known, facts.now),),
    )
    return replace(facts, measured=measured)


def beside_figures(facts: Facts, condition: Condition, counts: Counts | None) -> Facts:
    """The facts of an alert that has a figure, with the counts if it is about a share of failed requests."""
    if not counting.is_of_errors(condition):
        return facts
    said, by_evidence = facts.measured, counting.is_evidence(condition)
    if counts is None:
        return replace(facts, measured=replace(said, counts_detail=NOT_COUNTED, by_evidence=by_evidence))
    limit = None if by_evidence or said.now is None else said.now.threshold
    known = replace(until(counts, facts.now), limit=limit)
    shared = said.shared or counting.shared_fault(known, condition)
    return replace(facts, measured=replace(said, counts=known, by_evidence=by_evidence, shared=shared))


def until(counts: Counts, at: float) -> Counts:
    """The counts as they were known at a moment."""
    own, beside = (tuple(each for each in steps if each.at <= at) for steps in (counts.own, counts.beside))
    return replace(counts, own=own, beside=beside)


def _before(changed: Sequence[Change], number: int) -> list[str]:
    """The versions that served before a change."""
    return [each.version for each in changed[max(0, number - MOST_OLDER) : number]]


def _figures(target: Target, rules: Rules) -> list[str]:
    """The figures of the loaded rules that raise alerts by evidence."""
    mine = (rule for rule in rules.alerting if can_raise(rule, target.policy.alerts))
    found = [each for each in (rule.annotations.get("figure", "") for rule in mine) if ERROR_EVIDENCE.search(each)]
    return list(dict.fromkeys(found))
