"""Loads the past from Prometheus: few large questions, and finer ones only around what happened.

Here: from a configuration and a time to a `World`: which versions were scraped (`target_info`), which trigger alerts
were pending and firing (`ALERTS`; of a rule without any, its expression), and the figures around releases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from rearguard_controller.adapters.prometheus import (
    AlertingRule,
    Prometheus,
    Rules,
    Series,
    figures,
    measured,
    promql,
)
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.backtest import counted, dependencies, selectors, stretches
from rearguard_controller.backtest.archive import Archive, Key, Progress, Times, together
from rearguard_controller.backtest.curves import Wanted, rules_then, wanted
from rearguard_controller.backtest.evaluation import evaluate
from rearguard_controller.backtest.nouns import AlertHistory, Curve, CurveKey, Presence, Stretch, World, curve_key
from rearguard_controller.backtest.serving import changes
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL, Labels, StormLimit, Target, is_subset
from rearguard_controller.model.labels import TWO_NAMED
from rearguard_controller.model.observations import EXISTS, GAPS_ALLOWED

K = TypeVar("K")

BY_COUNTS = "ReleaseWorse: no rule of it was loaded then; it was worked out from the raw counters of requests."

POINTS = 60_000  # at most, of the whole time; each stands for all samples since the point before it
FINEST = 15.0  # the fewest seconds between two points
THRESHOLD_POINTS = 300  # of a threshold's curve


class History:
    """Reads one Prometheus."""

    def __init__(self, prometheus: Prometheus, targets: Sequence[Target], progress: Progress) -> None:
        """Read about these targets, and report progress."""
        self._prometheus = prometheus
        self._archive = Archive(prometheus, progress)
        self._targets = tuple(targets)
        self._progress = progress
        self._notes: list[str] = []

    async def read(self, start: float, end: float, *, look_every: float, storm: StormLimit, silences: bool) -> World:
        """What is known of the time from `start` to `end`.

        Raises:
            SourceError: Prometheus gave no usable answer, or has nothing of any target in that time.
        """
        step = _step(end - start)
        rules = await self._prometheus.rules()
        presence = await self._presence(start, end, step, look_every)
        self._note_what_lacks(presence, rules)
        alerts = await self._alerts(start, end, step)
        alerts += await self._evaluated(rules, alerts, start, end, step)
        world = World(
            start=start,
            end=end,
            targets=self._targets,
            presence=presence,
            alerts=tuple(alerts),
            rules=rules,
            look_every=look_every,
            silences=silences,
            storm=storm,
        )
        changed = {name: changes(found, look_every) for name, found in presence.items()}
        counts = await counted.read(self._prometheus, world, changed, self._progress)
        around = await dependencies.read(self._prometheus, world, changed, self._progress)
        alone = await counted.without_rules(self._prometheus, world, counts)
        by_counts = counted.alerts(world, {key: counts[key] for key in counts if key in alone})
        world = replace(world, alerts=(*world.alerts, *by_counts), counts=counts, around=around)
        self._notes += [BY_COUNTS] if by_counts else []
        curves = await self._curves(world, look_every)
        known = await self._measured(rules, start, end)
        return replace(world, curves=curves, measured=known, notes=tuple(dict.fromkeys(self._notes)))

    # --- versions ---------------------------------------------------------------------------------------------

    async def _presence(
        self, start: float, end: float, step: float, look_every: float
    ) -> dict[str, tuple[Presence, ...]]:
        selector = selectors.of_all([target.telemetry for target in self._targets], "target_info", VERSION_LABEL)
        names = sorted({VERSION_LABEL, *TWO_NAMED, *(name for target in self._targets for name in target.telemetry)})
        by = ", ".join(names)
        expression = f"count by ({by}) (present_over_time({selector}[{promql.duration(step)}]))"
        found = self._by_target(await self._archive.over("versions", expression, start, end + step, step))
        gaps = _gaps(((name, moments) for (name, _), moments in found.items()), step, look_every)
        rough = {key: _rough(key, found, gaps[key[0]] - step, step) for key in found}
        if not rough:
            raise SourceError(
                "Prometheus has no target_info with a service_version of any target in this time.",
                hint="Is `telemetry` (or `match`) of the targets right, and does Prometheus keep data for that long?",
            )
        asked = [edge for each in rough.values() for edge in stretches.edges(each, step)]
        samples = self._by_target(await self._archive.stored("changes of versions", selector, asked))
        presence: dict[str, list[Presence]] = {target.name: [] for target in self._targets}
        exact = {
            key: [stretches.refined(each, step, samples.get(key, ())) for each in coarse]
            for key, coarse in rough.items()
        }
        for (name, version), found_of in exact.items():
            others = [each for key, of in exact.items() if key[0] == name and key[1] != version for each in of]
            whole = stretches.within(stretches.joined(found_of, gaps[name], others), start, end)
            presence[name] += [Presence(version, *each) for each in whole]
        return {name: tuple(sorted(found, key=lambda each: each.start)) for name, found in presence.items()}

    def _by_target(self, times: Times) -> dict[tuple[str, str], list[float]]:
        """Moments by target and version, in order."""
        found: dict[tuple[str, str], set[float]] = {}
        for key, moments in times.items():
            labels = dict(key)
            version = labels.get(VERSION_LABEL, "")
            for target in self._targets:
                if version and is_subset(target.telemetry, labels):
                    found.setdefault((target.name, version), set()).update(moments)
        return {key: sorted(moments) for key, moments in found.items()}

    def _note_what_lacks(self, presence: Mapping[str, tuple[Presence, ...]], rules: Rules) -> None:
        for target in self._targets:
            seen = presence[target.name]
            if not seen:
                self._notes.append(
                    f"{target.name}: there is no target_info with a service_version and"
                    f" {promql.selector_text(target.telemetry)} in this time, so nothing can be said of it."
                )
            if not any(can_raise(rule, target.policy.alerts) for rule in rules.alerting):
                self._notes.append(
                    f"{target.name}: Prometheus has no rule whose alerts may trigger, so figures are not known."
                )

    async def _measured(self, rules: Rules, start: float, end: float) -> dict[str, dict[str, tuple[float, ...]]]:
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for target in self._targets:
            mine = [rule for rule in rules.alerting if can_raise(rule, target.policy.alerts)]
            jobs = await self._prometheus.query(measured.jobs_of(target.telemetry, end - start), end)
            names = {sample.labels.get("job", "") for sample in jobs} - {""}
            question = measured.by_version(target.telemetry, names, mine, rules)
            if question:
                step = min(measured.COARSEST, max(FINEST, target.policy.known_good_after / 3))
                times = await self._archive.over("what was measured", question, start, end, step)
                by_version = ((dict(key).get(VERSION_LABEL, ""), moments) for key, moments in times.items())
                found[target.name] = {version: tuple(sorted(moments)) for version, moments in by_version}
        return found

    # --- alerts -----------------------------------------------------------------------------------------------

    async def _alerts(self, start: float, end: float, step: float) -> list[AlertHistory]:
        found: dict[Key, AlertHistory] = {}
        for wants in _distinct(target.policy.alerts for target in self._targets):
            selector = f"ALERTS{promql.selector_text(selectors.one_named(wants))}"
            expression = f"present_over_time({selector}[{promql.duration(step)}])"
            times = await self._archive.over("alerts", expression, start, end + step, step)
            gaps = _gaps(((_own(labels), moments) for labels, moments in times.items()), step, step)
            rough = {
                labels: stretches.unbroken(moments, gaps[_own(labels)] - step) for labels, moments in times.items()
            }
            asked = [edge for each in rough.values() for edge in stretches.edges(each, step)]
            samples = await self._archive.stored("alerts", selector, asked)
            by_state: dict[Key, list[Stretch]] = {}
            for labels, coarse in rough.items():
                exact = [stretches.refined(each, step, samples.get(labels, ())) for each in coarse]
                by_state[labels] = stretches.within(stretches.joined(exact, gaps[_own(labels)]), start, end)
            found |= _histories(by_state)
        return [found[key] for key in sorted(found)]

    async def _evaluated(
        self, rules: Rules, known: Sequence[AlertHistory], start: float, end: float, step: float
    ) -> list[AlertHistory]:
        """The alerts of rules without any `ALERTS` in this time, by evaluating the rules now."""
        wants = _distinct(target.policy.alerts for target in self._targets)
        found: list[AlertHistory] = []
        for rule in rules.alerting:
            triggers = any(can_raise(rule, each) for each in wants)
            if triggers and not any(rule in rules_then(history.labels, rules) for history in known):
                found += await self._attempt(rule, start, end, step)
        return found

    async def _attempt(self, rule: AlertingRule, start: float, end: float, step: float) -> list[AlertHistory]:
        """The alerts of one rule; none, and a note, if Prometheus cannot evaluate it over this time."""
        try:
            found = await evaluate(self._archive, rule, self._targets, start, end, step)
        except SourceError as error:
            self._notes.append(
                f"{rule.name}: it could not be evaluated over this time ({error.message.rstrip('.')})."
            )
            return []
        if found:
            self._notes.append(
                f"{rule.name}: Prometheus has no ALERTS of it in this time; its expression was evaluated instead."
            )
        return found

    # --- figures ----------------------------------------------------------------------------------------------

    async def _curves(self, world: World, look_every: float) -> dict[CurveKey, tuple[Curve, ...]]:
        changed = {name: changes(presence, look_every) for name, presence in world.presence.items()}
        asked = wanted(world, changed)
        done = 0

        async def one(each: Wanted) -> tuple[CurveKey, Curve | str]:
            nonlocal done
            key = curve_key(each.target, each.condition)
            try:
                return key, await self._curve(each)
            except SourceError as error:
                return key, f"{each.condition.alert}: its figure could not be read ({error.message.rstrip('.')})."
            finally:
                done += 1
                self._progress("figures around releases", done, len(asked))

        curves: dict[CurveKey, list[Curve]] = {}
        for key, curve in await together(map(one, asked)):
            if isinstance(curve, Curve):
                curves.setdefault(key, []).append(curve)
            elif curve not in self._notes:
                self._notes.append(curve)
        return {key: tuple(found) for key, found in curves.items()}

    async def _curve(self, each: Wanted) -> Curve:
        condition = each.condition
        step = figures.step_between(each.start, each.end)
        expression = selectors.narrowed(condition)
        found = await self._archive.range(expression, each.start, each.end, step)
        values = tuple(one for one in found if figures.is_about(one.labels, condition, None))
        enough: tuple[Series, ...] = ()
        if condition.comparable:
            enough = tuple(await self._archive.range(condition.comparable, each.start, each.end, step))
        curve = Curve(condition, each.start, each.end, step, values, comparable=enough)
        if condition.threshold == EXISTS:
            return curve
        _, threshold = figures.split_threshold(condition.alert, condition.threshold)
        if figures.number_in(threshold) is not None:
            return curve
        every = max(step, (each.end - each.start) / THRESHOLD_POINTS)
        thresholds = await self._archive.range(threshold, each.start, each.end, every)
        _, today = await figures.threshold_of(self._prometheus, condition)
        return replace(curve, thresholds=thresholds, today=today)


def _step(length: float) -> float:
    """Seconds between the points of a whole time: `FINEST`, doubled until there are at most `POINTS` points."""
    step = FINEST
    while length / step > POINTS:
        step *= 2
    return step


def _gaps(times: Iterable[tuple[K, Sequence[float]]], step: float, look_every: float) -> dict[K, float]:
    """Seconds without a sample after which a subject (a target's version, or an alert) counts as gone.

    As many missed looks as in `releases`. The usual distance of samples is taken from all moments of a subject,
    because a part of them may hold just two that are days apart. A gap is measured between samples: between points it
    would depend on where these happen to lie.
    """
    moments: dict[K, set[float]] = {}
    for subject, found in times:
        moments.setdefault(subject, set()).update(found)
    return {
        subject: GAPS_ALLOWED * max(look_every, step, stretches.usual_distance(of, promql.LOOK_BACK))
        for subject, of in moments.items()
    }


def _rough(
    key: tuple[str, str], found: Mapping[tuple[str, str], Sequence[float]], gap: float, step: float
) -> list[Stretch]:
    """The stretches of a target's version, as the points of a whole time show them.

    Points hide up to two steps of an absence: a version that came back within half a minute seems to have been there
    all the time. So a break counts, however short, if another version of the target shows in it.
    """
    moments = found[key]
    usual = max(step, stretches.usual_distance(moments, promql.LOOK_BACK))
    others = sorted(
        moment for (name, version), of in found.items() if name == key[0] and version != key[1] for moment in of
    )
    return stretches.unbroken(moments, gap, shortest=1.5 * usual, others=others)


def _own(labels: Key) -> Key:
    """An alert's own labels, from those of one of its `ALERTS` series."""
    return tuple(pair for pair in labels if pair[0] not in ("__name__", "alertstate"))


def _histories(
    by_state: Mapping[Key, Sequence[Stretch]],
) -> dict[Key, AlertHistory]:
    """Alerts from the stretches of their `ALERTS` series. Each alert has one series for each state."""
    states: dict[Key, dict[str, Sequence[Stretch]]] = {}
    for labels, found in by_state.items():
        states.setdefault(_own(labels), {})[dict(labels).get("alertstate", "")] = found
    return {
        own: AlertHistory(
            dict(own),
            active=tuple(sorted((*of.get("pending", ()), *of.get("firing", ())))),
            firing=tuple(of.get("firing", ())),
        )
        for own, of in states.items()
    }


def _distinct(given: Iterable[Labels]) -> list[Labels]:
    return list({tuple(sorted(labels.items())): labels for labels in given}.values())
