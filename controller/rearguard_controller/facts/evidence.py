"""What a decision rests on: what was asked of the world, when, and what it answered.

Here: `Witness`, which asks Prometheus and takes down its answers, and how answers become a few bounded values: a
storm of alerts must not swell the journal by what is kept of each.
Never here: what an answer means (`figures`, `reasons`), and which questions are asked (`facts`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import median

import orjson

from rearguard_controller.adapters.prometheus import Series
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Decision, Evidence, EvidenceSource, Labels, ReasonCode, Sample
from rearguard_controller.wording import number

LIMIT = 4096  # bytes that the evidence of one decision takes as JSON
MOST_VALUES = 4  # of one answer: those nearest to both ends, one of which decides
MOST_LABELS = 4  # of one value
MOST_APART = 86400.0  # seconds between our clock and another that is believed
# How evidence that does not fit is cut, step by step: characters of each question and each other text, and values.
# Questions come last: one that was cut cannot be asked again.
_CUTS = (
    (4096, 256, 4),
    (4096, 64, 2),
    (4096, 16, 0),
    (1024, 32, 1),
    (512, 32, 1),
    (256, 32, 0),
    (128, 32, 0),
    (64, 16, 0),
    (16, 16, 0),
)
_ORDER = {code: place for place, code in enumerate(ReasonCode)}
_TELLING = ("service_version", "instance", "job", "pod")  # labels that are kept first


class Witness:
    """Asks Prometheus about one target, for the sake of some reasons, and takes down what it answers."""

    def __init__(self, asks: Asks, selector: Labels, clock: Callable[[], float], *serves: ReasonCode) -> None:
        """Nothing is asked yet; of the answers only what is about `selector` is taken down."""
        self._asks = asks
        self._selector = selector
        self._clock = clock
        self._serves = serves
        self._taken: list[Evidence] = []

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What was asked and answered so far."""
        return tuple(self._taken)

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """See `Prometheus.query`."""
        asked_at = self._clock() if time is None else time
        try:
            samples = await (self._asks.query(expression) if time is None else self._asks.query(expression, time))
        except SourceError as error:
            self._take(expression, asked_at, f"no answer: {error.message}")
            raise
        said = (each.at for each in samples if each.at is not None and abs(each.at - asked_at) <= MOST_APART)
        at = next(said, asked_at)
        own = self._own(samples)
        self._take(expression, at, _in_words(own), own)
        return samples

    async def query_range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """See `Prometheus.query_range`. The value that is kept of a series is its median."""
        try:
            series = await self._asks.query_range(expression, start, end, step)
        except SourceError as error:
            self._take(expression, end, f"no answer: {error.message}", start=start, step=step)
            raise
        points = [value for each in series if self._is_own(each.labels) for _, value in each.points]
        own = self._own(Sample(each.labels, median(value for _, value in each.points)) for each in series)
        told = f"{len(points)} points from {number(min(points))} to {number(max(points))}" if points else "no data"
        self._take(expression, end, told, own, start=start, step=step)
        return series

    def conclude(self, words: str) -> None:
        """Add what was made of the answers that cover a range of time."""
        self._taken = [
            each if each.start is None else replace(each, answer=f"{words}; {each.answer}") for each in self._taken
        ]

    def _take(
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
        self._taken.append(
            Evidence(EvidenceSource.PROMETHEUS, question, answer, at, self._serves, kept, start=start, step=step)
        )

    def _own(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those about the target or about everyone, each with what tells it from the target's others."""
        return [
            Sample(telling(each.labels, self._selector), each.value) for each in samples if self._is_own(each.labels)
        ]

    def _is_own(self, labels: Labels) -> bool:
        return all(labels.get(name, value) == value for name, value in self._selector.items())


def telling(labels: Labels, but_not: Labels) -> Labels:
    """The few labels that tell a series of a target from its others."""
    names = [name for name in _TELLING if name in labels]
    names += [name for name in labels if name not in _TELLING and name != "__name__"]
    return {name: labels[name] for name in [each for each in names if each not in but_not][:MOST_LABELS]}


def merged(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The same in the order of judgement; a question with the same answer is kept once, as it was asked first."""
    found: dict[tuple[object, ...], Evidence] = {}
    for each in evidence:
        values = tuple([(*value.labels.items(), value.value) for value in each.values])
        key = (each.source, each.question, each.answer, each.start, each.step, values)
        before = found.get(key)
        if before is None:
            found[key] = each
        elif before.serves != each.serves:
            serves = sorted({*before.serves, *each.serves}, key=_ORDER.__getitem__)
            found[key] = replace(before, serves=tuple(serves))
    return tuple(sorted(found.values(), key=_first))


def bounded(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """The same in at most `LIMIT` bytes of JSON: long texts are cut, and say so."""
    kept = tuple(evidence)
    for cut in _CUTS:
        if len(orjson.dumps(kept)) <= LIMIT:
            return kept
        kept = tuple(_cut(each, *cut) for each in evidence)
    while len(orjson.dumps(kept)) > LIMIT:
        kept = kept[:-1]
    return kept


def kept(decision: Decision) -> Decision:
    """A decision as it is recorded and shown: its evidence merged and bounded."""
    return replace(decision, evidence=bounded(merged(decision.evidence)))


def _first(evidence: Evidence) -> int:
    return min((_ORDER[code] for code in evidence.serves), default=len(_ORDER))


def _ends(values: Sequence[Sample]) -> tuple[Sample, ...]:
    """A few values: the lowest and the highest of many."""
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


def _cut(evidence: Evidence, question: int, text: int, values: int) -> Evidence:
    shown = [
        Sample({_text(name, text): _text(value, text) for name, value in each.labels.items()}, each.value)
        for each in evidence.values[:values]
    ]
    return replace(
        evidence,
        question=_text(evidence.question, question),
        answer=_text(evidence.answer, text),
        values=tuple(shown),
    )


def _text(text: str, cap: int) -> str:
    return text if len(text) <= cap else f"{text[:cap]}... ({len(text)} characters)"
