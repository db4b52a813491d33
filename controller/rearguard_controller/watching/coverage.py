"""Which trigger rules can say something about each target: a figure has a value, and an alert could belong to it.

Here: what a poll asks of every rule, once for all targets; which versions of a target the rules speak of; and what
was heard before, because a service without a request has no figure for a while. No question is about one target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rearguard_controller.adapters.prometheus import AlertingRule, Rules, possible
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.pieces import computed
from rearguard_controller.model import VERSION_LABEL, Labels, Sample, Target, Trust
from rearguard_controller.watching.current_figures import Row, Table, rows_of, threshold_in
from rearguard_controller.watching.label_sets import LabelSets

HEARD_FOR = 86_400.0  # seconds for which a rule that has spoken of a version counts, while it has nothing to say
ASK_AGAIN = 30.0  # seconds for which the possible alerts of a rule are taken as they were, if there were any

Versions = frozenset[str | None]  # service_versions that something speaks of; None: of whichever serves


@dataclass(frozen=True, slots=True)
class Voice:
    """What one trigger rule could say at a moment."""

    rule: AlertingRule
    alerts: LabelSets  # that it could have, each of one series that its expression compares
    unforeseen: frozenset[str]  # labels of these alerts that are known only once one fires
    figures: LabelSets | None  # its figure has a value for; None: the rule declares no figure
    presence_only: bool  # it knows nothing but that something is there, or is not
    reads: frozenset[str] = frozenset()  # the metrics that it tells by in the end
    row: Row | None = None  # its figure and threshold, of every service

    @property
    def told(self) -> str:
        """What it tells by: its figure, else its expression."""
        return self.rule.annotations.get("figure", "").strip() or self.rule.query

    def versions(self, target: Target) -> Versions:
        """Of which versions of the target it could speak; empty: no alert of it could lead to anything."""
        found = [labels for match in target.match for labels in self.alerts.having(self._foreseen(match))]
        if not found or self.figures is None:
            return frozenset(labels.get(VERSION_LABEL) for labels in found)
        if self.row is None or threshold_in(self.row, target.telemetry) is None:
            return frozenset()
        return frozenset(labels.get(VERSION_LABEL) for labels in self.measures(target))

    def measures(self, target: Target) -> Sequence[Labels]:
        """The labels of its figure's values that count for the target; one without labels counts for everybody."""
        if self.figures is None:
            return ()
        return self.figures.bare or self.figures.having(target.telemetry)

    def _foreseen(self, match: Labels) -> Labels:
        return {name: value for name, value in match.items() if name not in self.unforeseen}


@dataclass(frozen=True, slots=True)
class Serving:
    """What a version that serves is called in Prometheus, as far as it is known."""

    version: str | None = None
    service_version: str | None = None
    others: frozenset[str] = frozenset()  # service_versions of other versions

    def is_meant(self, service_version: str | None) -> bool:
        """Whether what is said of this service_version is said of it."""
        if service_version is None or service_version == self.service_version:
            return True
        return self.service_version is None and service_version not in self.others


@dataclass(slots=True)
class _Heard:
    """When each rule last spoke of a target, by the rule's name and the version; and what served then."""

    serving: Serving = field(default_factory=Serving)
    at: dict[tuple[str, str | None], float] = field(default_factory=dict)


class Coverage:
    """Asks what the trigger rules could say, and remembers what was heard."""

    def __init__(self, prometheus: Asks, targets: Sequence[Target], steady: Callable[[], float]) -> None:
        """Nothing was heard yet. `steady` gives seconds that only go forward."""
        self._prometheus, self._targets, self._steady = prometheus, targets, steady
        self._asked: dict[str, tuple[float, tuple[Sample, ...]]] = {}  # expression -> when, and the answer
        self._heard = {target.name: _Heard() for target in targets}

    async def ask(self, rules: Sequence[AlertingRule], known: Rules, table: Table) -> tuple[Voice, ...]:
        """What these rules could say now.

        Args:
            rules: that trigger.
            known: all rules, so that recorded names are followed.
            table: the figures that this poll read.
        """
        return tuple(await asyncio.gather(*(self._voice(rule, known, table) for rule in rules)))

    async def _voice(self, rule: AlertingRule, known: Rules, table: Table) -> Voice:
        samples = await self._compared(rule.query)
        return await computed(len(samples), lambda: self._said(rule, samples, known, table))

    def _said(self, rule: AlertingRule, samples: Sequence[Sample], known: Rules, table: Table) -> Voice:
        labelled = [possible.alert_labels(rule, sample.labels) for sample in samples]
        rows = rows_of(table, [rule])
        told = rule.annotations.get("figure", "").strip()
        return Voice(
            rule,
            LabelSets(labels for labels, _ in labelled),
            frozenset[str]().union(*(names for _, names in labelled)),
            LabelSets(sample.labels for row in rows for sample in row.values) if told else None,
            possible.tells_presence_only(told or rule.query, known),
            possible.raw_metrics(told or rule.query, known),
            next(iter(rows), None),
        )

    async def _compared(self, expression: str) -> tuple[Sample, ...]:
        """What an expression compares; nothing when Prometheus gives no usable answer."""
        asked_at, samples = self._asked.get(expression, (0.0, ()))
        if samples and self._steady() - asked_at < ASK_AGAIN:
            return samples
        samples = ()
        for outcome, other in ((False, False), (True, False), (True, True)):
            if not samples:
                try:
                    question = possible.compared(expression, whatever_outcome=outcome, whatever_else=other)
                    samples = await self._prometheus.query(question)
                except SourceError:
                    continue
        self._asked[expression] = self._steady(), samples
        return samples

    def hear(self, target: Target, voices: Iterable[Voice]) -> Versions:
        """Take down which versions the rules speak of now; returned are those with a figure that trust counts."""
        heard, now = self._heard[target.name], self._steady()
        by_up = target.policy.trust is Trust.BY_UP
        spoken: set[str | None] = set()
        for voice in voices:
            if voice.presence_only and not by_up:
                continue
            for version in voice.versions(target):
                heard.at[voice.rule.name, version] = now
                spoken.add(version)
        heard.at = {key: at for key, at in heard.at.items() if now - at < HEARD_FOR}
        return frozenset(spoken)

    def serves(self, target_name: str, serving: Serving) -> None:
        """Another version may serve now: what was heard of whichever served before says nothing of it."""
        heard = self._heard[target_name]
        if heard.serving.version not in (None, serving.version):
            heard.at = {key: at for key, at in heard.at.items() if key[1] is not None}
        heard.serving = serving

    def names(self, target_name: str) -> tuple[str, ...]:
        """The rules that have spoken of the version that serves."""
        heard = self._heard[target_name]
        return tuple(sorted({rule for rule, version in heard.at if heard.serving.is_meant(version)}))
