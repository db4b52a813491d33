"""Whether an older version showed the same fault beside the release: what the journal keeps, or Prometheus' history.

Here: reading the figures of both versions over the time in which they may have served side by side. What follows from
the readings stands in `judgement.beside`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus import Series, figures, promql
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.judgement import beside
from rearguard_controller.judgement.beside import Beside, Limit, Pair, Reading
from rearguard_controller.model import VERSION_LABEL, Condition, Facts, SharedFault
from rearguard_controller.model.observations import EXISTS

BEFORE_FIRST_SEEN = 600.0  # seconds before `current` named a release in which its instances may have served already

Moments = dict[float, set[str]]  # versions by moment


async def look(asks: Asks, condition: Condition, facts: Facts) -> SharedFault | None:
    """What an older version showed beside the release that serves, if it still clears it.

    Raises:
        SourceError: Prometheus gave no usable answer.
    """
    state, release, now = facts.target.state, facts.target.serving, facts.now
    if state is None or release is None or state.serving_since is None or not state.is_release:
        return None
    if not any(beside.is_older(each, release) for each in facts.target.releases):
        return None
    cleared = release.cleared_of(condition)
    if cleared is not None:
        return cleared
    remembered = release.shared(condition)
    start = max(state.serving_since, now - figures.LONGEST_LOOK) - BEFORE_FIRST_SEEN
    if remembered is not None:
        start = max(start, remembered.ended_at or start)
    return beside.holding((await _history(asks, condition, facts, start)).fault) if start < now else None


async def _history(asks: Asks, condition: Condition, facts: Facts, start: float) -> Beside:
    step = figures.step_between(start, facts.now)
    asked = figures.of_target(condition.figure, condition)
    found = own_series(await asks.query_range(asked, start, facts.now, step), condition)
    pair = beside.pair_of(facts.target, {each.labels[VERSION_LABEL] for each in found})
    if pair is None:
        return Beside()
    limit: Limit = (EXISTS, None)
    if condition.threshold != EXISTS:
        limit = await figures.threshold_of(asks, condition)
    always = {at: {pair.own, *pair.older} for each in found for at, _ in each.points}
    if not any(_is_shared(each) for each in readings(found, limit, pair, always)):
        return Beside()
    presence = promql.presence(condition.selector)
    scraped = present(await asks.query_range(presence, start, facts.now, step))
    enough: Moments = {}
    if condition.comparable:
        comparable = figures.of_target(condition.comparable, condition)
        enough = versions_at(own_series(await asks.query_range(comparable, start, facts.now, step), condition))
    return beside.follow_all(Beside(), condition, readings(found, limit, pair, scraped), pair.own, enough)


def readings(found: Sequence[Series], limit: Limit, pair: Pair, scraped: Moments) -> list[Reading]:
    """Both versions' figure at every moment at which they were scraped, in the order of time."""
    values = values_at(found)
    return [
        beside.reading_of(at, limit, values.get(at, ()), pair, versions) for at, versions in sorted(scraped.items())
    ]


def values_at(found: Sequence[Series]) -> dict[float, list[tuple[str, float]]]:
    """(version, value) by moment."""
    values: dict[float, list[tuple[str, float]]] = defaultdict(list)
    for series in found:
        for at, value in series.points:
            values[at].append((series.labels[VERSION_LABEL], value))
    return values


def own_series(found: Sequence[Series], condition: Condition) -> list[Series]:
    """The target's own series that name a version: what speaks for all says nothing of one."""
    return [
        each for each in found if each.labels.get(VERSION_LABEL) and figures.is_about(each.labels, condition, None)
    ]


def present(found: Sequence[Series]) -> Moments:
    """Which versions were scraped when, by `promql.presence` over time."""
    return versions_at([each for each in found if each.labels.get(VERSION_LABEL)], only=1.0)


def versions_at(found: Sequence[Series], only: float | None = None) -> Moments:
    """Which versions had a sample when; with `only` one of this value."""
    moments: Moments = defaultdict(set)
    for each in found:
        for at, value in each.points:
            if only is None or value == only:
                moments[at].add(each.labels[VERSION_LABEL])
    return moments


def _is_shared(reading: Reading) -> bool:
    return bool(reading.own and reading.own.past and reading.older and reading.older.past)
