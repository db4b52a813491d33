"""Evidence in nats that a release fails more than the version before it allows. Pure; one nat is a factor of 2.7.

Here: the formulas, and the figures that follow from counted requests. Rules, judgements and back-tests use the same
ones (`rules/evidence.yml`). The questions that a decision asks of them stand in `judgement.worse`.

`luck` is Chernoff's bound: were the allowed share true, so many failures would come by luck at most once in
exp(luck). It holds for requests that fail independently. Real failures come in clumps, so evidence is divided by the
clumping that the older version showed. No evidence is never evidence: without requests it is 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rearguard_controller.model.codes import Caution
from rearguard_controller.model.counts import Counts, Tally

TOLERATED = 0.01  # a share of failed requests that is always allowed
TIMES = 2.0  # how many times the older version's mean is allowed
MOST_ALLOWED = 0.5  # the cap: no past of the older version allows more
HIGH_QUANTILE = 0.95  # of the older version's minutes: two bad minutes of its last hour allow nothing
INCIDENT = 0.1  # an older version's minute above this share, and above three times its median, may be an incident
LEAST_IN_MINUTE = 10  # requests without which a minute tells no share
WINDOWS = (15.0, 30.0, 60.0, 300.0)  # seconds, as the rules have them
LOOKS = 360  # at a release: one every 5 s for 30 minutes
STEP = 5.0  # seconds that a step of `Counts.own` lasts
BLOCK = 15.0  # seconds over which clumping is measured, and that a step of `Counts.before` lasts
SEGMENT = 600.0  # seconds: clumping is measured in each; one of them may hold a blip
SEGMENT_OF_MINUTES = 1200.0  # seconds: the same for the counts of minutes
DOUBT = 3.0  # nats that must be left without the worst stretch of a blip
HINT = 0.7  # nats of two failures or more of the older version, from which on it is compared with
CLEARS = 5.0  # nats from which on both versions count as failing side by side: 1 in 150, for each
LONGEST_LASTING = 24  # steps that are looked at for whether a fault has lasted: as long
SPREAD = 120.0  # seconds in which bad steps are counted that do not follow one another

FALSE_ALARMS = {Caution.SWIFT: 1e-3, Caution.STANDARD: 1e-4, Caution.CAREFUL: 1e-5}  # for each release


@dataclass(frozen=True, slots=True)
class Hold:
    """Seconds for which steps must have been past what is allowed: alone, and beside an older version."""

    alone: float
    beside: float


HOLDS = {Caution.SWIFT: Hold(10.0, 5.0), Caution.STANDARD: Hold(15.0, 5.0), Caution.CAREFUL: Hold(30.0, 15.0)}


@dataclass(frozen=True, slots=True)
class Weighed:
    """The evidence of the window that shows most; where none suffices, of one that clears the release.

    Attributes:
        seconds: how long the window is.
        requests: of the release.
        failures: of the release.
        allowed: the share of failures that is allowed.
        nats: divided by the clumping.
        needed: as many are evidence enough.
        beside: the older version serves beside, and its requests were compared with.
        shared: both fail side by side beyond what is allowed, and the release not clearly more.
        requests_older: of the older version in the same seconds; 0 where it was not compared with.
        failures_older: likewise.
    """

    seconds: float
    requests: float
    failures: float
    allowed: float
    nats: float
    needed: float
    beside: bool = False
    shared: bool = False
    requests_older: float = 0.0
    failures_older: float = 0.0

    @property
    def suffices(self) -> bool:
        """Whether it is enough."""
        return self.nats >= self.needed

    @property
    def share(self) -> float:
        """Of the release's requests that failed."""
        return self.failures / self.requests if self.requests else 0.0


def luck(requests: float, failures: float, allowed: float) -> float:
    """Evidence that more than the allowed share fails, in nats: n * KL(x / n || q), and 0 where x / n is allowed.

    0 where anything is no number, or where there are no requests. More failures than requests count as all of them.
    """
    if not all(map(math.isfinite, (requests, failures, allowed))) or requests <= 0 or not 0 < allowed < 1:
        return 0.0
    share = min(failures / requests, 1.0)
    if share <= allowed:
        return 0.0
    rest = 0.0 if share == 1 else (1 - share) * math.log((1 - share) / (1 - allowed))
    return requests * (share * math.log(share / allowed) + rest)


def luck_beside(requests: float, failures: float, requests_older: float, failures_older: float) -> float:
    """Evidence that a release fails more than `TIMES` as often as the older version in the same seconds, in nats.

    A fault that both share cancels. 0 where one of them was asked nothing.
    """
    if requests <= 0 or requests_older <= 0:
        return 0.0
    theta = TIMES * requests / (TIMES * requests + requests_older)
    return luck(failures + failures_older, failures, theta)


def needed(false_alarms: float) -> float:
    """The nats that suffice for this many false alarms for each release, over all its looks and windows."""
    return math.log(LOOKS * len(WINDOWS) / false_alarms)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the older version's hour before a release makes of the share of failures that is allowed.

    Attributes:
        often: `TIMES` its mean.
        minute: a high quantile of its minutes.
        left_out: minutes of incidents, which allow nothing.
    """

    often: float
    minute: float
    left_out: int

    @property
    def share(self) -> float:
        """The largest of `TOLERATED` and both; never more than `MOST_ALLOWED`."""
        return min(max(TOLERATED, self.often, self.minute), MOST_ALLOWED)


def allowance(before: Sequence[Tally]) -> Allowance:
    """By the older version's steps before a release.

    Minutes of an incident are left out: two or more in a row, each above `INCIDENT` and three times the median.
    """
    every = [each for each in _summed(before, 60.0) if each.requests > 0]
    minutes = _without_incidents(every)
    shares = sorted(each.failures / each.requests for each in minutes if each.requests >= LEAST_IN_MINUTE)
    asked = sum(each.requests for each in minutes)
    mean = sum(each.failures for each in minutes) / asked if asked else 0.0
    return Allowance(TIMES * mean, _quantile(shares, HIGH_QUANTILE), len(every) - len(minutes))


def allowed(before: Sequence[Tally]) -> float:
    """The share of failures that a release may show, by the older version's steps before it: see `Allowance`."""
    return allowance(before).share


def clumping(before: Sequence[Tally]) -> float:
    """How many failures come at once: variance to mean of the older version's failures, at least 1.

    Of their counts in 15 s or in a minute, whichever shows more: a base rate that wanders shows in minutes only. Each
    is the median over segments, of those in which anything failed: one blip lies in one of them. Minutes of an
    incident are left out.
    """
    minutes = _without_incidents(_summed(before, 60.0))
    return max(1.0, _dispersion_in(_summed(before, BLOCK), SEGMENT), _dispersion_in(minutes, SEGMENT_OF_MINUTES))


def _dispersion_in(counts: Sequence[Tally], segment: float) -> float:
    """The median over segments, counted back from the newest count; of two the smaller, as one may hold a blip."""
    segments: dict[int, list[float]] = {}
    for each in counts:
        segments.setdefault(int((counts[-1].at - each.at) // segment), []).append(each.failures)
    found = sorted(_dispersion(each) for each in segments.values() if sum(each))
    return found[(len(found) - 1) // 2] if found else 0.0


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the older version's hour before a release says: the share that is allowed, and its clumping."""

    share: float
    clumps: float


def learn(before: Sequence[Tally]) -> Learnt:
    """See `allowed` and `clumping`."""
    return Learnt(allowed(before), clumping(before))


def weigh(counts: Counts, caution: Caution, learnt: Learnt | None = None, at: float | None = None) -> Weighed | None:
    """The evidence that the release fails more than is allowed; None if it was asked nothing in five minutes.

    Where an older version serves beside and has enough traffic to tell, both must be shown: more than is allowed, and
    more than the older version in the same seconds.

    Args:
        counts: of both versions.
        caution: how sure it must be.
        learnt: from `counts.before`, if that is known already.
        at: as it was at this moment; default: at the newest step.
    """
    if not counts.own:
        return None
    known = learn(counts.before) if learnt is None else learnt
    end = max(each.at for each in (counts.own[-1], *counts.beside[-1:])) if at is None else at
    enough = needed(FALSE_ALARMS[caution])
    own, older = ({each.at: each for each in _within(steps, end)} for steps in (counts.own, counts.beside))
    found = [_of_window(own, older, seconds, end, known, enough) for seconds in WINDOWS]
    asked = [each for each in found if each.requests > 0]
    return max(
        asked,
        key=lambda each: (each.suffices, each.shared, each.nats, each.share > each.allowed, -each.seconds),
        default=None,
    )


def began(steps: Iterable[Tally], share: float) -> float | None:
    """Since when the newest steps fail more than is allowed: whence on they show most evidence; None if they do not.

    A stray failure before a fault does not count as its beginning: the steps in between speak against it.
    """
    most, start, n, x = 0.0, None, 0.0, 0.0
    for each in sorted(steps, reverse=True):
        n, x = n + each.requests, x + each.failures
        nats = luck(n, x, share)
        if nats > most:
            most, start = nats, each.at - STEP
    return start


def is_bad(step: Tally, share: float) -> bool:
    """Whether more failed in a step than the allowed share."""
    return step.failures > share * step.requests


def has_lasted(own: Sequence[Tally], share: float, hold: float) -> bool:
    """Whether bad steps are no blip, which is shorter than `hold` and so touches no steps further apart.

    What is left without the worst stretch that a blip could touch must still be evidence enough to doubt (`DOUBT`): a
    stray failure right beside a blip makes it no longer. Either it is left of the newest steps, which are all bad and
    reach back for that long (three at least). Or of two minutes, in two bad steps at least, and one of the newest two
    is bad. That may be clumps again: it is divided by its own clumping, for some are too rare to be learnt.

    For a hold of one step, beside an older version, the newest two are enough. Steps without requests say neither.
    """
    asked = [each for each in own[-LONGEST_LASTING:] if each.requests > 0]
    run: list[Tally] = []
    for each in reversed(asked):
        if not is_bad(each, share):
            break
        run.append(each)
    long = len(run) >= min(round(hold / STEP) + 1, 3) and run[0].at - run[-1].at >= hold
    if hold <= STEP:
        return long
    if long and luck(*_totals(_without_worst(run, hold)), share) >= DOUBT:
        return True
    if not any(is_bad(each, share) for each in asked[-2:]):
        return False
    left = _without_worst([each for each in asked if each.at > asked[-1].at - SPREAD], hold)
    beyond = luck(*_totals(left), share) / max(1.0, _dispersion([each.failures for each in left]))
    return beyond >= DOUBT and sum(is_bad(each, share) for each in left) > 1


def _without_worst(steps: Sequence[Tally], seconds: float) -> list[Tally]:
    """The steps without the stretch of this length in which most failed."""
    worst = max((each.at for each in steps), key=lambda at: _failed(steps, at, at + seconds))
    return [each for each in steps if not worst <= each.at < worst + seconds]


def _failed(steps: Sequence[Tally], start: float, end: float) -> float:
    return sum(each.failures for each in steps if start <= each.at < end)


def _within(steps: Sequence[Tally], end: float) -> Sequence[Tally]:
    """The steps with requests in the longest window up to `end`."""
    first = bisect_right(steps, end - WINDOWS[-1], key=lambda each: each.at)
    last = bisect_right(steps, end, key=lambda each: each.at)
    return [each for each in steps[first:last] if each.requests > 0]


def _of_window(
    of_own: Mapping[float, Tally],
    of_older: Mapping[float, Tally],
    seconds: float,
    end: float,
    learnt: Learnt,
    enough: float,
) -> Weighed:
    """The evidence of one window; the older version is compared with only in steps in which both were asked."""
    share, clumps = learnt.share, learnt.clumps
    own = {at: each for at, each in of_own.items() if at > end - seconds}
    older = [each for at, each in of_older.items() if at in own]
    n, x = _totals(own.values())
    alone = Weighed(seconds, n, x, share, luck(n, x, share) / clumps, enough)
    if not older:
        return alone
    (n_same, x_same), (n_older, x_older) = _totals(own[each.at] for each in older), _totals(older)
    fails_too = x_older > 1 and luck(n_older, x_older, share) >= HINT
    recent = max(each.at for each in older) > end - WINDOWS[0]
    at_most = luck_beside(n_same, x_same, n_older, 0.0) / clumps
    if not fails_too and (not recent or at_most < min(alone.nats, enough)):
        return alone  # nothing was wrong beside it, and there is too little traffic to compare
    nats = min(alone.nats, luck_beside(n_same, x_same, n_older, x_older) / clumps)
    shared = nats < enough and min(alone.nats, luck(n_older, x_older, share) / clumps) >= CLEARS
    return replace(alone, nats=nats, beside=recent, shared=shared, requests_older=n_older, failures_older=x_older)


def _totals(steps: Iterable[Tally]) -> tuple[float, float]:
    known = list(steps)
    return sum(each.requests for each in known), sum(each.failures for each in known)


def _summed(steps: Iterable[Tally], seconds: float) -> list[Tally]:
    """The steps, added up over longer ones; those without a request are left out, but not between two others."""
    found: dict[int, tuple[float, float]] = {}
    for each in steps:
        place = math.ceil(each.at / seconds)
        n, x = found.get(place, (0.0, 0.0))
        found[place] = n + each.requests, x + each.failures
    return [Tally(place * seconds, *found[place]) for place in sorted(found)]


def _without_incidents(minutes: Sequence[Tally]) -> list[Tally]:
    asked = [each for each in minutes if each.requests > 0]
    shares = sorted(each.failures / each.requests for each in asked)
    if not shares:
        return []
    limit = max(INCIDENT, 3 * shares[len(shares) // 2])
    past = [each.failures > limit * each.requests for each in asked]
    near = [False, *past, False]
    return [each for place, each in enumerate(asked) if not (past[place] and (near[place] or near[place + 2]))]


def _dispersion(counts: Sequence[float]) -> float:
    """Variance to mean; 0 where nothing is counted."""
    mean = sum(counts) / len(counts) if counts else 0.0
    return 0.0 if not mean else sum((each - mean) ** 2 for each in counts) / len(counts) / mean


def _quantile(in_order: Sequence[float], share: float) -> float:
    """As Prometheus has it: between two values in proportion; 0 of none."""
    if not in_order:
        return 0.0
    place = share * (len(in_order) - 1)
    low = math.floor(place)
    high = min(low + 1, len(in_order) - 1)
    return in_order[low] + (in_order[high] - in_order[low]) * (place - low)
