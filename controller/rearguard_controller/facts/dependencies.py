"""What the targets that one depends on were asked and failed, while an alert of that one fires.

Here: which of them are asked, and what is told of the answers. What follows from them stands in
`judgement.dependencies`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from rearguard_controller.adapters.prometheus import counted
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import counting
from rearguard_controller.facts.sources import SourcesOfAll
from rearguard_controller.judgement.already_firing import changed_after
from rearguard_controller.model import Counts, Evidence, EvidenceSource, ReasonCode, Target, TargetFacts
from rearguard_controller.wording import number

LATELY = 60.0  # seconds that an answer tells of
_SERVES = (ReasonCode.DEPENDENCIES_HEALTHY,)


class Counted(NamedTuple):
    """The counts of each dependency that has any, and what was told of all of them."""

    counts: Mapping[str, Counts]
    evidence: tuple[Evidence, ...]


NOTHING: Counted = Counted({}, ())


async def count(sources: SourcesOfAll, target: Target, known: TargetFacts, now: float) -> Counted:
    """What each dependency was asked and failed around the release; nothing if there is no release.

    One that cannot be counted says nothing: its alerts decide. Never raises for an answer that is missing.
    """
    state = known.state
    if state is None or state.serving_since is None or not state.is_release:
        return NOTHING
    released = changed_after(state) or state.serving_since

    async def one(each: Target) -> Counts | SourceError | None:
        time = counting.look_from(released, now), now
        try:
            return await counting.of_all_versions(sources.of(each).prometheus, each.telemetry, released, time)
        except SourceError as error:
            return error

    asked = sources.independent_dependencies(target)
    found = await asyncio.gather(*(one(each) for each in asked))
    counts = {each.name: said for each, said in zip(asked, found, strict=True) if isinstance(said, Counts)}
    return Counted(counts, tuple(told(each.name, said, now) for each, said in zip(asked, found, strict=True)))


def told(name: str, said: Counts | SourceError | None, now: float) -> Evidence:
    """What was counted of a dependency, as a decision keeps it."""
    if isinstance(said, SourceError):
        answer = f"{name} gave no answer: {said.message}"
    elif said is None:
        answer = f"{name} shows no counts of requests"
    else:
        lately = [each for each in said.own if now - LATELY < each.at <= now]
        requests, failures = sum(each.requests for each in lately), sum(each.failures for each in lately)
        answer = f"{name} failed {number(failures)} of {number(requests)} requests in a minute"
    return Evidence(EvidenceSource.PROMETHEUS, counted.REQUEST_COUNTER, answer, now, _SERVES)
