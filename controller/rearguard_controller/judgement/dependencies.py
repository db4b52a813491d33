"""Is what the target depends on well? A fault of theirs is not this release's. One question with its remedy. Pure.

Here: what counts as trouble of a dependency. A trigger alert of it fires, or a rollback of it is under way; or the
same trouble shows before any alert fires: by its own counts of requests, or by an alert of it that pends.

Scrapes fall as they fall, so its fault may show in its caller first. Then two beginnings are compared only as exactly
as they can be measured (`RESOLUTION`). A dependency that is merely noisy explains nothing: what it fails must be
enough to explain what its caller fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rearguard_controller.judgement.already_firing import UNSEEN, changed_after
from rearguard_controller.judgement.case import READ_PROMETHEUS, Case
from rearguard_controller.judgement.evidence import (
    HINT,
    STEP,
    WINDOWS,
    Weighed,
    allowed,
    began,
    is_bad,
    learn,
    weigh,
)
from rearguard_controller.judgement.looks import is_proof
from rearguard_controller.model import Caution, Counts, PendingAlert, Reason, ReasonCode, Tally
from rearguard_controller.wording import because, clock_time, number, span

LONGEST_SCRAPE = 15.0  # seconds between two scrapes, as they are supported
RESOLUTION = LONGEST_SCRAPE + STEP  # seconds by which a beginning may be measured wrongly: a scrape, and a step
ENOUGH = 30  # requests that tell whether it fails still
TELLING = 10  # failures of the release that are enough to compare with: then it is looked no further back
LEAST_PART = 0.2  # of its caller's failures, which a dependency has to fail to explain them; retries count, too
LEAST_SHARE = 0.5  # of its caller's share of failures; then it explains them, too, however few its requests are
LEAST_SCRAPES = 3  # with requests: fewer do not say how far they lie apart
PENDS_FOR = 180.0  # seconds after the fault began, in which an alert that pends has to fire


def dependencies_healthy(case: Case) -> Reason:
    """Whether every target that this one depends on is well: a fault of theirs is not this release's."""
    known, code, names = case.facts.target, ReasonCode.DEPENDENCIES_HEALTHY, ", ".join(case.target.dependencies)
    if not names:
        return Reason(code, True, "No target that this one depends on is configured.")
    if sick := _in_trouble(case):
        said = "; ".join(f"{name}: {why}" for name, why in sick.items())
        return Reason(code, False, f"The target depends on what is itself in trouble ({said}).")
    if known.dependencies_detail:
        detail = f"It is not known whether {names} is healthy{because(known.dependencies_detail)}"
        return Reason(code, None, detail)
    unseen = [name for name, theirs in known.counted_dependencies.items() if _is_not_seen_yet(case, theirs)]
    if unseen:
        detail = f"{', '.join(unseen)} was not scraped since the fault began: at its next scrape it is judged anew."
        return Reason(code, None, detail)
    return Reason(code, True, f"No trigger alert fires and no rollback is under way of what it depends on: {names}.")


def heal_them(case: Case) -> str:
    """Remedy of `dependencies_healthy`."""
    sick = ", ".join(_in_trouble(case))
    if sick:
        return f"What the target depends on would have to be well: {sick}."
    return READ_PROMETHEUS if case.facts.target.dependencies_detail else "It would have to be scraped once more."


def _in_trouble(case: Case) -> dict[str, str]:
    """What is wrong with each dependency that is in trouble."""
    known = case.facts.target
    found = dict(known.sick_dependencies)
    for name, theirs in known.counted_dependencies.items():
        if name not in found and (weighed := _fault_of(case, theirs)) is not None:
            found[name] = (
                f"it failed {number(weighed.failures)} of {number(weighed.requests)} requests in"
                f" {span(weighed.seconds)}, {number(100 * weighed.allowed)} % is allowed"
            )
    for name, pending in known.pending_dependencies.items():
        are_counted = name in known.counted_dependencies
        if name not in found and (one := _pending_with(case, pending, are_counted=are_counted)) is not None:
            found[name] = f"its trigger alert {one.name} pends since {clock_time(one.since)}"
    return found


def _fault_of(case: Case, theirs: Counts) -> Weighed | None:
    """What a dependency fails now, if that is no luck, and may be what the release shows; None if it is not."""
    known, asked = learn(theirs.before), _asked(theirs, case.facts.now)
    found = weigh(theirs, Caution.STANDARD, known, case.facts.now)
    if found is None or found.nats < HINT or found.failures <= 1 or not _fails_still(asked, known.share):
        return None
    own = case.facts.measured.counts
    if own is not None and not (_explains(asked, _asked(own, case.facts.now)) and _is_no_later(case, theirs, own)):
        return None
    return found


def _asked(counts: Counts, now: float) -> list[Tally]:
    """The steps with requests, up to now: silence says nothing, so the newest of them hold on."""
    return [each for each in counts.own if each.requests > 0 and each.at <= now]


def _lately(asked: Sequence[Tally], seconds: float) -> list[Tally]:
    """Those in so many seconds up to the newest."""
    return [each for each in asked if each.at > asked[-1].at - seconds]


def _totals(steps: Sequence[Tally]) -> tuple[float, float]:
    return sum(each.requests for each in steps), sum(each.failures for each in steps)


def _fails_still(asked: Sequence[Tally], share: float) -> bool:
    """Whether more than the allowed share failed in a step lately: of few requests it is looked back further."""
    lately = [_lately(asked, seconds) for seconds in (RESOLUTION, *WINDOWS[1:3])]
    enough = next((each for each in lately if _totals(each)[0] >= ENOUGH), lately[-1])
    return any(is_bad(each, share) for each in enough)


def _explains(theirs: Sequence[Tally], own: Sequence[Tally]) -> bool:
    """Whether a dependency fails enough to explain what the release fails, lately.

    It answers each call of its caller, so it fails at least as often, if it is to blame: a call may be tried again.
    A caller that does not ask any more after the first failures (a circuit breaker) leaves a high share of few.
    """
    if not own:
        return True
    windows = [(seconds, *_totals(_lately(own, seconds))) for seconds in WINDOWS]
    seconds, requests, failures = next((each for each in windows if each[2] >= TELLING), windows[-1])
    asked, failed = _totals(_lately(theirs, seconds + STEP))
    return failed >= LEAST_PART * failures or failed / asked >= LEAST_SHARE * failures / requests


def _is_no_later(case: Case, theirs: Counts, own: Counts) -> bool:
    """Whether the fault of a dependency began soon enough: the release was not proved worse before."""
    start = began(_asked(theirs, case.facts.now), allowed(theirs.before))
    if start is None:
        return True
    caution, learnt, at = case.target.policy.caution, learn(own.before), start - RESOLUTION
    found = weigh(own, caution, learnt, at)
    return found is None or not is_proof(own, caution, learnt, found, at)


def _pending_with(case: Case, pending: Sequence[PendingAlert], *, are_counted: bool) -> PendingAlert | None:
    """An alert that pends and may be about what the release shows: it holds a rollback up for some minutes.

    One about failed requests says no more than their counts, where there are any. One that pended before the release
    is not what began with it.
    """
    state, since = case.facts.target.state, case.facts.measured.since
    changed = None if state is None else changed_after(state) or state.serving_since
    if changed is None or (since is not None and case.facts.now - since > PENDS_FOR):
        return None
    mine = (each for each in pending if each.since >= changed - UNSEEN and not (each.of_errors and are_counted))
    return next(mine, None)


def _is_not_seen_yet(case: Case, theirs: Counts) -> bool:
    """Whether a dependency is scraped so seldom that its next scrape is still to come since the fault began.

    Both moments are known to a step only: the fault may have begun at the end of one, the scrape at the beginning.
    """
    own, now = case.facts.measured.counts, case.facts.now
    start = None if own is None else began(_asked(own, now), allowed(own.before))
    asked = [each.at for each in _asked(theirs, now) if each.at > now - WINDOWS[-1]]
    if start is None or len(asked) < LEAST_SCRAPES or asked[-1] >= start + 2 * STEP:
        return False
    apart = sorted(after - before for before, after in pairwise(asked))
    usual = apart[len(apart) // 2]
    return usual <= LONGEST_SCRAPE and now < asked[-1] + usual + STEP
