"""The evidence of a decision as it is recorded and shown: merged, and bounded.

Here: a question that several reasons share is kept once, and long texts are cut. A storm of alerts must not make the
journal grow by what is kept of each. Evidence is made where it is read: see `gather`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from rearguard_controller.model import Decision, Evidence, ReasonCode, Sample

LIMIT = 4096  # bytes that the evidence of one decision takes as JSON
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


def merged(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The evidence in the order of judgement. A question with the same answer is kept once, as it was asked first."""
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
    """The evidence in at most `LIMIT` bytes of JSON: long texts are cut, and say so."""
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


def all_kept(decisions: Iterable[Decision]) -> list[Decision]:
    """Decisions as they are recorded and shown; those that share their evidence still share it."""
    found: dict[int, tuple[Evidence, ...]] = {}
    kept = []
    for each in decisions:
        of_each = found.get(id(each.evidence))
        if of_each is None:
            of_each = found[id(each.evidence)] = bounded(merged(each.evidence))
        kept.append(replace(each, evidence=of_each))
    return kept


def _first(evidence: Evidence) -> int:
    return min((_ORDER[code] for code in evidence.serves), default=len(_ORDER))


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
    """The text, cut after `cap` characters where that makes it shorter."""
    cut = f"{text[:cap]}... ({len(text)} characters)"
    return cut if len(cut) < len(text) else text
