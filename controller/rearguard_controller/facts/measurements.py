"""The three measurements of a condition that a judgement needs: now, since when, and of the version before.

Here: which version is measured over which time, with what was asked and answered; what gives no answer becomes an
unknown with a sentence, never an exception.
Never here: how a figure is measured (`figures`), and what follows from it (`reasons`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rearguard_controller.adapters.prometheus import figures, promql
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.evidence import Witness, merged
from rearguard_controller.judgement.already_firing import changed_after, own_labels
from rearguard_controller.model import VERSION_LABEL, Condition, Evidence, Facts, Measurement, ReasonCode, Release
from rearguard_controller.wording import clock_time

NO_RELEASE = "there is no release to compare with"
NO_VERSION_BEFORE = "no version before is known by its service_version"
NOT_HELD = "it has not held in the last minute"
BESIDE = "beside the new version, {} shows "
BEFORE = "in the ten minutes before the release, {} showed a median of "
BEFORE_RELEASE = 600.0  # seconds before a release in which the version before is judged, and a fault may have begun


@dataclass(frozen=True, slots=True)
class Measured:
    """What a condition's figure says; a detail says why something is not known."""

    now: Measurement | None = None
    now_detail: str = ""
    since: float | None = None
    since_detail: str = ""
    since_own: tuple[str, ...] = ()  # the service_versions that alone showed a condition from before the release
    before: Measurement | None = None
    before_detail: str = ""
    evidence: tuple[Evidence, ...] = ()


async def measure(asks: Asks, condition: Condition, facts: Facts, clock: Callable[[], float]) -> Measured:
    """Measure a condition of the target that these facts are about."""
    shown = _shown(facts.release(facts.serving_version))
    confirming, dating, comparing = (
        Witness(asks, condition.selector, clock, code)
        for code in (
            ReasonCode.ALERT_CONFIRMED,
            ReasonCode.BEGAN_AFTER_RELEASE,
            ReasonCode.PREVIOUS_VERSION_HEALTHY,
        )
    )
    now, since, before = await asyncio.gather(
        _now(confirming, condition, shown),
        _since(dating, condition, facts),
        before_release(comparing, condition, facts),
    )
    asked = merged((*confirming.evidence, *dating.evidence, *comparing.evidence))
    began, why, own = since
    return Measured(*now, began, why, own, *before, asked)


async def _now(asks: Asks, condition: Condition, version: str | None) -> tuple[Measurement | None, str]:
    try:
        return await figures.measure(asks, condition, version=version), ""
    except SourceError as error:
        return None, error.message


async def _since(witness: Witness, condition: Condition, facts: Facts) -> tuple[float | None, str, tuple[str, ...]]:
    began = facts.now if facts.state is None or facts.state.serving_since is None else facts.state.serving_since
    earliest = max(began, facts.now - figures.LONGEST_LOOK) - BEFORE_RELEASE
    try:
        start = await figures.episode_start(witness, condition, earliest, facts.now)
        own = await _own(witness, condition, facts, start, earliest)
    except SourceError as error:
        return None, error.message, ()
    if start is None:
        witness.conclude(NOT_HELD)
        return None, NOT_HELD, own
    witness.conclude(f"it has held since {clock_time(start)}")
    return start, "", own


async def _own(
    asks: Asks, condition: Condition, facts: Facts, start: float | None, earliest: float
) -> tuple[str, ...]:
    """The service_versions that alone showed a condition which began before the release, if it was so."""
    changed, own = changed_after(facts.state), own_labels(facts)
    if start is None or changed is None or start >= changed or not own:
        return ()
    others = await figures.episode_start(asks, condition, earliest, changed, but_not=own)
    return own if others is None else ()


async def before_release(asks: Asks, condition: Condition, facts: Facts) -> tuple[Measurement | None, str]:
    """The figure of the version before, and in words how it was measured.

    Beside the new version where both serve, else over the ten minutes before the release.
    """
    state = facts.state
    if state is None or state.serving_since is None or not state.is_release:
        return None, NO_RELEASE
    previous = facts.release(state.previous_version)
    shown = _shown(previous)
    if previous is None or shown is None:
        return None, NO_VERSION_BEFORE
    end = changed_after(state) or state.serving_since
    try:
        serves, beside, before = await asyncio.gather(
            _serves(asks, condition, shown),
            figures.measure(asks, condition, version=shown),
            figures.median_over(asks, condition, end - BEFORE_RELEASE, end, version=shown),
        )
    except SourceError as error:
        return None, error.message
    if serves and beside.past is not None and shown != _shown(facts.release(facts.serving_version)):
        return beside, BESIDE.format(previous.version)
    return before, BEFORE.format(previous.version)


async def _serves(asks: Asks, condition: Condition, version: str) -> bool:
    """Whether instances of a version are scraped now: a figure may outlive the process that it was about."""
    samples = await asks.query(promql.presence(condition.selector))
    return any(sample.labels.get(VERSION_LABEL) == version and sample.value == 1 for sample in samples)


def _shown(release: Release | None) -> str | None:
    return None if release is None else release.service_version
