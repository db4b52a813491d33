"""Asks Prometheus on behalf of one measurement and keeps every question with its answer as evidence.

Here: what is kept of an answer: a few values of the target's own series, and one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rearguard_controller.adapters.prometheus import Series
from rearguard_controller.adapters.prometheus.agreement import url_of
from rearguard_controller.adapters.prometheus.answers import About
from rearguard_controller.adapters.prometheus.figures import is_about, of_target
from rearguard_controller.adapters.prometheus.queryable import Asks, apart
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.pieces import computed
from rearguard_controller.model import Condition, Evidence, EvidenceSource, Labels, ReasonCode, Sample, agree
from rearguard_controller.model.labels import VERSION_LABEL
from rearguard_controller.wording import number

MOST_VALUES = 4  # of one answer: the lowest and the highest, one of which decides
MOST_LABELS = 4  # of one value
MOST_APART = 86400.0  # seconds that Prometheus' clock may differ from ours and still be believed
_FIRST_LABELS = (VERSION_LABEL, "instance", "job", "pod")  # labels that are kept first


@dataclass(frozen=True, slots=True)
class Near:
    """Whether a series may be about the target of a condition or about everyone; equal for equal conditions."""

    condition: Condition

    def __call__(self, labels: Labels) -> bool:
        """By its labels."""
        return is_about(labels, self.condition, None) or agree(self.condition.selector, labels)


class RecordedQueries:
    """Asks Prometheus about one target, for the sake of some reasons, and keeps what it answers."""

    def __init__(self, asks: Asks, condition: Condition, clock: Callable[[], float], *serves: ReasonCode) -> None:
        """Nothing is asked yet; of the answers only what is about this condition, or its target, is kept."""
        self._asks = asks
        self._condition = condition
        self._clock = clock
        self._serves = serves
        self._figures = {condition.figure, of_target(condition.figure, condition)}
        self._kept: list[Evidence] = []
        self._where = ""  # of one replica: the beginning of what it answers

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What was asked and answered so far."""
        return tuple(self._kept)

    @property
    def replicas(self) -> Sequence[Asks]:
        """Each replica by itself; what it answers is kept here, with its address."""
        replicas = apart(self._asks)
        return (self,) if len(replicas) == 1 else tuple(self._of(each) for each in replicas)

    @property
    def address(self) -> str:
        """The address of who is asked."""
        return url_of(self._asks)

    def _of(self, one: Asks) -> RecordedQueries:
        recorded = RecordedQueries(one, self._condition, self._clock, *self._serves)
        recorded._kept, recorded._where = self._kept, f"{url_of(one)} says "
        return recorded

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """See `Prometheus.query`."""
        asked_at = self._clock() if time is None else time
        try:
            samples = await (self._asks.query(expression) if time is None else self._asks.query(expression, time))
        except SourceError as error:
            self._keep(expression, asked_at, f"no answer: {error.message}")
            raise
        said = (each.at for each in samples if each.at is not None and abs(each.at - asked_at) <= MOST_APART)
        at = next(said, asked_at)
        own = await computed(len(samples), lambda: self._own(expression, samples))
        self._keep(expression, at, _in_words(own), own)
        return samples

    async def query_range(
        self, expression: str, start: float, end: float, step: float, about: About | None = None
    ) -> tuple[Series, ...]:
        """See `Prometheus.query_range`. The value that is kept of a series is its median."""
        try:
            series = await self._asks.query_range(expression, start, end, step, about or Near(self._condition))
        except SourceError as error:
            self._keep(expression, end, f"no answer: {error.message}", start=start, step=step)
            raise
        points = [value for each in series if self._is_own(expression, each.labels) for _, value in each.points]
        own = self._own(expression, (Sample(each.labels, median(at[1] for at in each.points)) for each in series))
        told = f"{len(points)} points from {number(min(points))} to {number(max(points))}" if points else "no data"
        self._keep(expression, end, told, own, start=start, step=step)
        return series

    def conclude(self, words: str) -> None:
        """Put what follows from the answers about a range of time in front of each of them."""
        self._kept[:] = [
            each if each.start is None else replace(each, answer=f"{words}; {each.answer}") for each in self._kept
        ]

    def _keep(
        self,
        question: str,
        at: float,
        answer: str,
        values: Sequence[Sample] = (),
        *,
        start: float | None = None,
        step: float | None = None,
    ) -> None:
        kept = _ends([each for each in values if math.isfinite(each.value)])  # JSON has no other numbers
        self._kept.append(
            Evidence(
                EvidenceSource.PROMETHEUS,
                question,
                self._where + answer,
                at,
                self._serves,
                kept,
                start=start,
                step=step,
            )
        )

    def _own(self, expression: str, samples: Iterable[Sample]) -> list[Sample]:
        """The samples about the target or about everyone, each with the labels that distinguish it."""
        return [
            Sample(distinguishing_labels(each.labels, self._condition.selector), each.value)
            for each in samples
            if self._is_own(expression, each.labels)
        ]

    def _is_own(self, expression: str, labels: Labels) -> bool:
        of = self._condition
        measures = expression in self._figures and of.labels is not None
        return is_about(labels, of, None) if measures else agree(of.selector, labels)


def distinguishing_labels(labels: Labels, selector: Labels) -> Labels:
    """At most `MOST_LABELS` labels that distinguish this series from the target's other series."""
    names = [name for name in _FIRST_LABELS if name in labels]
    names += [name for name in labels if name not in _FIRST_LABELS and name != "__name__"]
    return {name: labels[name] for name in [each for each in names if each not in selector][:MOST_LABELS]}


def _ends(values: Sequence[Sample]) -> tuple[Sample, ...]:
    """All values when they are few, else the lowest and the highest of them."""
    if len(values) <= MOST_VALUES:
        return tuple(values)
    in_order = sorted(values, key=lambda each: each.value)
    return (*in_order[: MOST_VALUES // 2], *in_order[-MOST_VALUES // 2 :])


def _in_words(own: Sequence[Sample]) -> str:
    if not own:
        return "no data"
    numbers = [each.value for each in own]
    if len(own) == 1:
        return number(numbers[0])
    return f"{len(own)} values from {number(min(numbers))} to {number(max(numbers))}"
