"""The measurements of a condition that a judgement needs: now, since when, of the version before, and side by side.

Here: which version is measured over which time. Each measurement returns its value, why that is not known, and the
evidence for it; what gives no answer becomes an unknown with a sentence, never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from rearguard_controller.adapters.prometheus import figures, promql
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import counting, side_by_side
from rearguard_controller.facts.asked_once import AskedOnce
from rearguard_controller.facts.evidence import merged
from rearguard_controller.facts.recorded_queries import RecordedQueries
from rearguard_controller.judgement.already_firing import changed_after, own_labels
from rearguard_controller.model import (
    VERSION_LABEL,
    Condition,
    Counts,
    Evidence,
    EvidenceSource,
    Facts,
    Measured,
    Measurement,
    ReasonCode,
    Release,
    SharedFault,
    TargetFacts,
)
from rearguard_controller.wording import clock_time

T = TypeVar("T")
Clock = Callable[[], float]  # seconds since the epoch

NO_RELEASE = "there is no release to compare with"
NO_VERSION_BEFORE = "no version before is known by its service_version"
NOT_COUNTED = "Prometheus has no counts of requests that name this release and a version before it"
NOT_HELD = "it has not held in the last minute"
BESIDE = "beside the new version, {} shows "
BEFORE = "in the ten minutes before the release, {} showed a median of "
BEFORE_RELEASE = 600.0  # seconds before a release in which the version before is judged, and a fault may have begun


class Answer(NamedTuple, Generic[T]):
    """What was measured.

    Attributes:
        value: None when it is not known.
        detail: why it is not known; if it is known, only of the version before: how it was measured.
        evidence: what was asked for it, and the answers.
    """

    value: T | None
    detail: str
    evidence: tuple[Evidence, ...] = ()


class Episode(NamedTuple):
    """When the present episode of a condition began; `own` is as in `Measured.since_own`."""

    start: float
    own: tuple[str, ...]


async def measure(asks: Asks, condition: Condition, facts: Facts, clock: Clock) -> Measured:
    """Measure a condition of the target that these facts are about."""
    known, asks = facts.target, AskedOnce(asks)
    now, episode, before, shared, counts = await asyncio.gather(
        measure_now(asks, condition, known, clock),
        measure_since(asks, condition, facts, clock),
        measure_before(asks, condition, known, clock),
        measure_shared(asks, condition, facts, clock),
        measure_counts(asks, condition, facts),
    )
    limit = None if now.value is None or counting.is_evidence(condition) else now.value.threshold
    began, seen = episode.value, counts.value
    also = None if seen is None or shared.value is not None else counting.shared_fault(seen, condition)
    return Measured(
        now=now.value,
        now_detail=now.detail,
        since=None if began is None else began.start,
        since_detail=episode.detail,
        since_own=() if began is None else began.own,
        before=before.value,
        before_detail=before.detail,
        shared=shared.value or also,
        shared_detail=shared.detail,
        counts=None if counts.value is None else replace(counts.value, limit=limit),
        counts_detail=counts.detail,
        by_evidence=counting.is_evidence(condition),
        evidence=merged(
            (*now.evidence, *episode.evidence, *before.evidence, *shared.evidence, *counts.evidence),
        ),
    )


def not_asked(condition: Condition, facts: Facts) -> Measured:
    """What is known of a condition whose figures were not asked, see `TargetFacts.spared`: what the journal keeps."""
    said, release = f"not asked, {facts.target.spared}", facts.target.serving
    why = f"it was {said}"
    serves = (ReasonCode.ALERT_CONFIRMED, ReasonCode.BEGAN_AFTER_RELEASE, ReasonCode.PREVIOUS_VERSION_HEALTHY)
    told = Evidence(
        EvidenceSource.PROMETHEUS, condition.figure, f"not asked, {facts.target.spared}", facts.now, serves
    )
    return Measured(
        now_detail=why,
        since_detail=why,
        before_detail=why,
        shared=None if release is None else release.cleared_of(condition),
        shared_detail=why,
        counts_detail=why if counting.is_of_errors(condition) else "",
        by_evidence=counting.is_evidence(condition),
        evidence=(told,),
    )


async def measure_now(asks: Asks, condition: Condition, known: TargetFacts, clock: Clock) -> Answer[Measurement]:
    """The figure of the serving version against its threshold, now."""
    queries = RecordedQueries(asks, condition, clock, ReasonCode.ALERT_CONFIRMED)
    try:
        found = await figures.measure(queries, condition, version=_shown(known.serving))
    except SourceError as error:
        return Answer(None, error.message, queries.evidence)
    return Answer(found, "", queries.evidence)


async def measure_since(asks: Asks, condition: Condition, facts: Facts, clock: Clock) -> Answer[Episode]:
    """When the present episode of the condition began, looked for from ten minutes before the release on."""
    serves = (ReasonCode.BEGAN_AFTER_RELEASE, ReasonCode.NOT_SHOWN_BY_OLDER)  # see `measure_shared`
    queries = RecordedQueries(asks, condition, clock, *serves)
    state = facts.target.state
    served_since = facts.now if state is None or state.serving_since is None else state.serving_since
    earliest = max(served_since, facts.now - figures.LONGEST_LOOK) - BEFORE_RELEASE
    try:
        start = await figures.episode_start(queries, condition, earliest, facts.now)
        own = await _own(queries, condition, facts.target, start, earliest)
    except SourceError as error:
        return Answer(None, error.message, queries.evidence)
    if start is None:
        queries.conclude(NOT_HELD)
        return Answer(None, NOT_HELD, queries.evidence)
    queries.conclude(f"it has held since {clock_time(start)}")
    return Answer(Episode(start, own), "", queries.evidence)


async def _own(
    asks: Asks, condition: Condition, known: TargetFacts, start: float | None, earliest: float
) -> tuple[str, ...]:
    """The service_versions that alone showed a condition that began before the release; empty if others did, too."""
    changed, own = changed_after(known.state), own_labels(known)
    if start is None or changed is None or start >= changed or not own:
        return ()
    others = await figures.episode_start(asks, condition, earliest, changed, but_not=own)
    return own if others is None else ()


async def measure_before(asks: Asks, condition: Condition, known: TargetFacts, clock: Clock) -> Answer[Measurement]:
    """The figure of the version before; `detail` begins the sentence that tells it.

    While both versions serve it is measured now, else over the ten minutes before the release.
    """
    state = known.state
    if state is None or state.serving_since is None or not state.is_release:
        return Answer(None, NO_RELEASE)
    previous = known.release(state.previous_version)
    shown = _shown(previous)
    if previous is None or shown is None:
        return Answer(None, NO_VERSION_BEFORE)
    queries = RecordedQueries(asks, condition, clock, ReasonCode.PREVIOUS_VERSION_HEALTHY)
    end = changed_after(state) or state.serving_since
    try:
        serves, beside, before = await asyncio.gather(
            _serves(queries, condition, shown),
            figures.measure(queries, condition, version=shown),
            figures.median_over(queries, condition, end - BEFORE_RELEASE, end, version=shown),
        )
    except SourceError as error:
        return Answer(None, error.message, queries.evidence)
    if serves and beside.past is not None and shown != _shown(known.serving):
        return Answer(beside, BESIDE.format(previous.version), queries.evidence)
    return Answer(before, BEFORE.format(previous.version), queries.evidence)


async def measure_shared(asks: Asks, condition: Condition, facts: Facts, clock: Clock) -> Answer[SharedFault]:
    """What an older version showed beside the release, if it clears the release of this condition.

    Nothing was seen: then the figure over time, which `measure_since` keeps, is evidence enough.
    """
    queries = RecordedQueries(asks, condition, clock, ReasonCode.NOT_SHOWN_BY_OLDER)
    try:
        found = await side_by_side.look(queries, condition, facts)
    except SourceError as error:
        return Answer(None, error.message, queries.evidence)
    if found is None:
        return Answer(None, "")
    queries.conclude(f"{found.version} showed it beside the release at {clock_time(found.at)}")
    return Answer(found, "", queries.evidence)


async def measure_counts(asks: Asks, condition: Condition, facts: Facts) -> Answer[Counts]:
    """What the release and the version before it were asked and failed, for a condition about such a share."""
    if not counting.is_of_errors(condition):
        return Answer(None, "")
    try:
        found = await counting.count(asks, condition.selector, facts.target, facts.now)
    except SourceError as error:
        return Answer(None, error.message)
    if found is None:
        return Answer(None, NOT_COUNTED)
    return Answer(found, "", (counting.evidence_of(found, facts.now),))


async def _serves(asks: Asks, condition: Condition, version: str) -> bool:
    """Whether instances of a version are scraped now: a figure may outlive the process that it was about."""
    samples = await asks.query(promql.presence(condition.selector))
    return any(sample.labels.get(VERSION_LABEL) == version and sample.value == 1 for sample in samples)


def _shown(release: Release | None) -> str | None:
    return None if release is None else release.service_version
