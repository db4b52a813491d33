"""Look by look through the counts of a release: what an older version showed beside it, and when it was proved worse.

Here: memory that is worked out anew from the counts each time, so there is no state to lose. A running judgement asks
what was shared (`shared_at`), a back-test when the release was first proved worse (`first_blame`). Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rearguard_controller.judgement.evidence import (
    HOLDS,
    LONGEST_LASTING,
    Learnt,
    Weighed,
    has_lasted,
    learn,
    weigh,
)
from rearguard_controller.model import Caution, Counts, Tally

MINUTE = 60.0
LEAST = 10.0  # seconds for which both must show it: more than a moment's fault


@dataclass(frozen=True, slots=True)
class Look:
    """What was known at one moment.

    Attributes:
        at: seconds since the epoch.
        found: the evidence; None if nothing was asked of the release.
        shared_at: since when an older version clears the release; None: it does not.
    """

    at: float
    found: Weighed | None
    shared_at: float | None


@dataclass(frozen=True, slots=True)
class Blame:
    """When a release was proved worse, by which evidence."""

    at: float
    found: Weighed


def shared_at(counts: Counts, caution: Caution, learnt: Learnt | None = None) -> float | None:
    """Since when an older version clears the release: what both showed side by side; None if it does not."""
    last = None
    for each in looks(counts, caution, learnt or learn(counts.before), beside_only=True):
        last = each.shared_at
    return last


def first_blame(counts: Counts, caution: Caution) -> Blame | None:
    """The first moment at which the release was proved worse: see `proofs`."""
    return next(proofs(counts, caution), None)


def proofs(counts: Counts, caution: Caution) -> Iterator[Blame]:
    """The moments at which evidence suffices, the fault lasted, and no older version had shown it, too."""
    learnt = learn(counts.before)
    for each in looks(counts, caution, learnt):
        if (
            each.found is not None
            and each.shared_at is None
            and is_proof(counts, caution, learnt, each.found, each.at)
        ):
            yield Blame(each.at, each.found)


def is_proof(counts: Counts, caution: Caution, learnt: Learnt, found: Weighed, at: float) -> bool:
    """Whether what was found at a moment suffices, and the fault had lasted by then."""
    if not found.suffices:
        return False
    end = bisect_right(counts.own, at, key=lambda step: step.at)
    hold = HOLDS[caution].beside if found.beside else HOLDS[caution].alone
    return has_lasted(counts.own[max(0, end - LONGEST_LASTING) : end], learnt.share, hold)


def looks(counts: Counts, caution: Caution, learnt: Learnt, *, beside_only: bool = False) -> Iterator[Look]:
    """One look at each step of the release; with `beside_only` only where an older version was asked something.

    A release is cleared once both failed side by side for `LEAST` seconds, and the release not clearly more. That
    ends when both were well side by side for a minute.
    """
    since: float | None = None
    cleared: float | None = None
    served = {each.at for each in counts.beside if each.requests > 0}
    for step in counts.own:
        if beside_only and step.at not in served:
            continue
        found = weigh(counts, caution, learnt, step.at)
        if found is not None and found.shared:
            since = step.at if since is None else since
            cleared = step.at if cleared is None and step.at - since >= LEAST else cleared
        elif step.at in served:
            since = None
            if cleared is not None and _both_well(counts, step.at, learnt.share):
                cleared = None
        yield Look(step.at, found, cleared)


def _both_well(counts: Counts, at: float, share: float) -> bool:
    """Whether no step of either failed more than is allowed for a minute in which both served."""
    minute = [_lately(steps, at) for steps in (counts.own, counts.beside)]
    return all(
        each and each[0].at <= at - MINUTE + LEAST and all(one.failures <= share * one.requests for one in each)
        for each in minute
    )


def _lately(steps: Sequence[Tally], at: float) -> Sequence[Tally]:
    first = bisect_right(steps, at - MINUTE, key=lambda each: each.at)
    return [each for each in steps[first : bisect_right(steps, at, key=lambda each: each.at)] if each.requests > 0]
