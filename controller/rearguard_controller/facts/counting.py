"""The requests and failures of a release and of the version before it, counted from raw counters.

Here: asking, and sorting the answers by version. What follows from them stands in `judgement.evidence`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from functools import partial

from rearguard_controller.adapters.prometheus import Series, counted
from rearguard_controller.adapters.prometheus.queryable import Asks, apart
from rearguard_controller.judgement import beside
from rearguard_controller.judgement.already_firing import changed_after
from rearguard_controller.judgement.beside import Pair
from rearguard_controller.judgement.evidence import (
    BLOCK,
    HIGH_QUANTILE,
    MOST_ALLOWED,
    STEP,
    TOLERATED,
    WINDOWS,
    Allowance,
    allowance,
    learn,
)
from rearguard_controller.judgement.looks import shared_at
from rearguard_controller.model import (
    VERSION_LABEL,
    Caution,
    Condition,
    Counts,
    Evidence,
    EvidenceSource,
    Labels,
    ReasonCode,
    SharedFault,
    Tally,
    TargetFacts,
)
from rearguard_controller.model.observations import ERROR_EVIDENCE, ERRORS
from rearguard_controller.wording import percent, whole

LONGEST_LOOK = 1800.0  # seconds since a release over which it is looked what both versions showed
LEARNT_FROM = 3600.0  # seconds before a release from which it is learnt what the version before allows


def is_of_errors(condition: Condition) -> bool:
    """Whether a condition is about a share of failed requests, by the name of its figure."""
    return ERRORS.search(condition.figure) is not None


def is_evidence(condition: Condition) -> bool:
    """Whether a condition is itself made of evidence."""
    return ERROR_EVIDENCE.search(condition.figure) is not None


async def count(asks: Asks, selector: Labels, known: TargetFacts, now: float) -> Counts | None:
    """What the release that serves and the versions before it were asked, and failed.

    Args:
        asks: who is asked; of several replicas, those that have counts of the release.
        selector: of the target's instances.
        known: of the target.
        now: seconds since the epoch.

    Returns:
        None if there is no release, no version before it, or no counts of requests.

    Raises:
        SourceError: Prometheus gave no usable answer.
    """
    state = known.state
    if state is None or state.serving_since is None or not state.is_release:
        return None
    released = changed_after(state) or state.serving_since
    start = look_from(released, now)
    for one in apart(asks):
        async for question in _questions(one, selector, now):
            recent = await one.query_range(question(STEP), start, now, STEP, every)
            pair = beside.pair_of(known, versions(recent))
            if pair is not None and tallies(recent, {pair.own}):
                before = await one.query_range(question(BLOCK), released - LEARNT_FROM, released, BLOCK, every)
                return counts_of(pair, recent, before)
    return None


def look_from(released: float, now: float) -> float:
    """From when on requests are counted of a release, in seconds since the epoch."""
    return now - min(max(now - released, WINDOWS[-1]), LONGEST_LOOK) + STEP


async def between(
    asks: Asks, selector: Labels, pair: Pair, released: float, time: tuple[float, float]
) -> Counts | None:
    """The counts of two versions over a time of the past; None if Prometheus has none of the release.

    Args:
        asks: who is asked.
        selector: of the target's instances.
        pair: the versions.
        released: when the older one was last seen alone; what it allows is learnt from the hour before.
        time: from when to when the release is looked at.
    """
    start, end = time
    async for question in _questions(asks, selector, end, start):
        recent = await asks.query_range(question(STEP), start, end, STEP, every)
        if tallies(recent, {pair.own}):
            before = await asks.query_range(question(BLOCK), released - LEARNT_FROM, released, BLOCK, every)
            return counts_of(pair, recent, before)
    return None


async def of_all_versions(asks: Asks, selector: Labels, released: float, time: tuple[float, float]) -> Counts | None:
    """What a target was asked and failed, all its versions together, around the release of another one.

    Args:
        asks: who is asked; of several replicas, the first that has counts.
        selector: of its instances.
        released: when the other one's version before was last seen alone; the hour before says what is usual.
        time: from when to when it is looked at.

    Returns:
        None if there are no counts of requests.

    Raises:
        SourceError: Prometheus gave no usable answer.
    """
    start, end = time
    for one in apart(asks):
        async for question in _questions(one, selector, end, start):
            recent = await one.query_range(question(STEP), start, end, STEP, every)
            shown = {each.labels.get(VERSION_LABEL) for each in recent}
            if shown:
                before = await one.query_range(question(BLOCK), released - LEARNT_FROM, released, BLOCK, every)
                older = {each.labels.get(VERSION_LABEL) for each in before}
                return Counts(_words(shown), _words(older), tallies(recent, shown), before=tallies(before, older))
    return None


def _words(shown: Iterable[str | None]) -> str:
    return " and ".join(sorted(filter(None, shown)))


async def _questions(asks: Asks, selector: Labels, *moments: float) -> AsyncIterator[Callable[[float], str]]:
    """PromQL of counts by step, of the jobs that are seen at the first of some moments at which any is.

    The second is of native histograms, where there are any: for a service that has nothing else.
    """
    for at in dict.fromkeys(moments):
        if of_jobs := await _jobs(asks, counted.jobs(selector), at):
            yield partial(counted.counts, selector, of_jobs)
            if natives := await _jobs(asks, counted.native(of_jobs), at):
                yield partial(counted.counts, selector, natives, natively=True)
            return


async def _jobs(asks: Asks, question: str, at: float) -> set[str]:
    return {each.labels["job"] for each in await asks.query(question, at) if "job" in each.labels}


def counts_of(pair: Pair, recent: Sequence[Series], before: Sequence[Series]) -> Counts:
    """The counts of two versions, sorted from what Prometheus answered."""
    older = set(pair.older)
    return Counts(
        version=pair.own,
        older=" and ".join(sorted(older & (versions(recent) | versions(before)))) or ", ".join(sorted(older)),
        own=tallies(recent, {pair.own}),
        beside=tallies(recent, older),
        before=tallies(before, older),
    )


def shared_fault(found: Counts, condition: Condition) -> SharedFault | None:
    """What an older version showed beside the release by the counts alone, so that it is kept like any other."""
    learnt = learn(found.before)
    at = shared_at(found, Caution.STANDARD, learnt)
    if at is None:
        return None
    own, older = (_share(steps, at) for steps in (found.own, found.beside))
    return SharedFault(
        condition.alert, condition.figure, condition.threshold, found.older, at, own, older, learnt.share
    )


def _share(steps: Sequence[Tally], at: float) -> float | None:
    """Of the requests in the minute up to a moment, the share that failed."""
    within = [each for each in steps if at - WINDOWS[1] < each.at <= at]
    asked = sum(each.requests for each in within)
    return sum(each.failures for each in within) / asked if asked else None


def versions(found: Iterable[Series]) -> set[str]:
    """The versions of which anything was counted."""
    return {each.labels[VERSION_LABEL] for each in found if each.labels.get(VERSION_LABEL)}


def tallies(found: Iterable[Series], wanted: Collection[str | None]) -> tuple[Tally, ...]:
    """What was counted of these versions, added up, in the order of time; what is no number is left out."""
    requests: dict[float, float] = {}
    failures: dict[float, float] = {}
    for each in found:
        if each.labels.get(VERSION_LABEL) in wanted:
            into = failures if each.labels.get(counted.COUNTED) == counted.FAILURES else requests
            for at, value in each.points:
                if math.isfinite(value):
                    into[at] = into.get(at, 0.0) + value
    return tuple(Tally(at, requests[at], failures.get(at, 0.0)) for at in sorted(requests))


def every(_: Labels) -> bool:
    """All series count: they are of the target's own jobs, and named by version."""
    return True


def evidence_of(found: Counts, now: float) -> Evidence:
    """What was counted, as a decision keeps it; the question names the counter that anybody can look at."""
    start = now - WINDOWS[-1]
    said = [_told(found.version, [each for each in found.own if each.at > start], "in five minutes")]
    beside = [each for each in found.beside if each.at > start]
    if any(each.requests for each in beside):
        said.append(_told(found.older, beside, "beside it"))
    said.append(_told(found.older, found.before, "in the hour before the release"))
    said.append(_allows(allowance(found.before)))
    serves = (ReasonCode.EVIDENCE_SUFFICES, ReasonCode.NOT_A_BLIP)
    return Evidence(
        EvidenceSource.PROMETHEUS, counted.REQUEST_COUNTER, "; ".join(said), now, serves, start=start, step=STEP
    )


def _told(version: str, steps: Sequence[Tally], when: str) -> str:
    requests, failures = sum(each.requests for each in steps), sum(each.failures for each in steps)
    return f"{version} failed {whole(failures)} of {whole(requests)} requests {when}"


def _allows(found: Allowance) -> str:
    """How large a share of failures is allowed, and why."""
    if found.share == MOST_ALLOWED:
        why = "it is the most that ever is"
    elif found.share == TOLERATED:
        why = "it always is"
    elif found.share == found.often:
        why = "twice as many as failed before"
    else:
        why = f"{100 * HIGH_QUANTILE:g} of 100 minutes before were no worse"
    left_out = f"; {found.left_out} minutes of an incident are left out" if found.left_out else ""
    return f"so {percent(found.share)} is allowed: {why}{left_out}"
