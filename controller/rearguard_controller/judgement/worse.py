"""Is the release worse than the version before, by the counts of requests? Two questions with their remedies. Pure.

Here: the answers and their sentences; the arithmetic stands in `judgement.evidence`.

An alert that is itself made of evidence is judged by it alone. An alert with a fixed threshold keeps its word where
that threshold is clear: at least `CLEAR` times what the version before allows. Then counts that are too few to prove
anything, or that are not there, do not stand in the way. Where a noisy version before allows as much as that, passing
the threshold says nothing, and evidence decides. A blip that is over never rolls back.
"""

from __future__ import annotations

import math

from rearguard_controller.judgement.case import AFTER_STORM, Case
from rearguard_controller.judgement.evidence import (
    HOLDS,
    LEAST_IN_MINUTE,
    Weighed,
    allowed,
    has_lasted,
    is_bad,
    weigh,
)
from rearguard_controller.model import Counts, Reason, ReasonCode
from rearguard_controller.wording import because, number, percent, span, whole

CLEAR = 2.0  # times what is allowed: a fixed threshold that high needs no proof
MOST_FAILS = 0.5  # of all requests: a share that needs no proof either, if at least twice what is allowed
LATELY = 12  # steps that a sentence speaks of: a minute
RAREST = 1e9  # a person compares no longer numbers
NOT_OF_ERRORS = "The alert is not about a share of failed requests, so none are counted."


def evidence_suffices(case: Case) -> Reason:
    """Whether the release fails more than the version before allows, and not by luck."""
    code, measured = ReasonCode.EVIDENCE_SUFFICES, case.facts.measured
    counts = measured.counts
    if counts is None and not measured.counts_detail:
        return Reason(code, None, NOT_OF_ERRORS, unknown_blocks=False)
    found = None if counts is None else weigh(counts, case.target.policy.caution)
    if counts is None or found is None:
        why = because(measured.counts_detail or "it was asked nothing in five minutes")
        detail = f"It cannot be counted what the release failed{why}"
        return Reason(code, None, detail, unknown_blocks=measured.by_evidence)
    if found.suffices:
        return Reason(code, True, words(counts, found))
    if found.shared:
        return Reason(code, False, f"{_counted(counts, found)} What both show is not the release's.")
    short = f"{_counted(counts, found)} That is {number(found.nats)} of {number(found.needed)} nats needed"
    if _is_clear(counts, found):
        detail = f"{short}, which does not prove it; the alert's fixed threshold is clear and decides."
        return Reason(code, None, detail, unknown_blocks=False)
    return Reason(code, False, f"{short}, so it may be luck.")


def bring_evidence(case: Case) -> str:
    """Remedy of `evidence_suffices`."""
    counts = case.facts.measured.counts
    found = None if counts is None else weigh(counts, case.target.policy.caution)
    if counts is None and case.facts.target.spared:
        return AFTER_STORM
    if counts is None or found is None:
        return "Prometheus would have to have counts of requests of the release."
    wanted = f"{number(found.needed)} nats of evidence (it was {number(found.nats)})"
    if found.shared:
        return f"In the same seconds {counts.older} would have to fail less than half as often."
    if found.share <= found.allowed:
        return f"More than {percent(found.allowed)} of its requests would have to fail, with {wanted}."
    return f"There would have to be {wanted}: more requests that fail like these."


def not_a_blip(case: Case) -> Reason:
    """Whether the release was past what is allowed for long enough."""
    code, counts = ReasonCode.NOT_A_BLIP, case.facts.measured.counts
    if counts is None and not case.facts.measured.counts_detail:
        return Reason(code, None, NOT_OF_ERRORS, unknown_blocks=False)
    hold = None if counts is None else hold_of(case)
    if counts is None or hold is None:
        detail = "How long it has lasted cannot be counted."
        return Reason(code, None, detail, unknown_blocks=case.facts.measured.by_evidence)
    share = allowed(counts.before)
    steps = [each for each in counts.own if each.requests > 0][-LATELY:]
    bad = [each for each in steps if is_bad(each, share)]
    lasted = f"{counts.version} was past {percent(share)} in {len(bad)} of its last {len(steps)} steps of 5 s"
    if has_lasted(counts.own, share, hold):
        return Reason(code, True, f"{lasted}: no blip, which is shorter than {span(hold)}.")
    if not any(is_bad(each, share) for each in steps[-2:]):
        return Reason(code, False, f"{lasted}, and not in the newest: what was seen is over.")
    if counts.limit is not None:
        detail = f"{lasted}: not yet for {span(hold)}, so how long the alert waited decides."
        return Reason(code, None, detail, unknown_blocks=False)
    return Reason(code, False, f"{lasted}: not yet for {span(hold)}.")


def let_it_last(case: Case) -> str:
    """Remedy of `not_a_blip`."""
    hold = hold_of(case)
    if hold is None and case.facts.target.spared:
        return AFTER_STORM
    if hold is None:
        return "Prometheus would have to have counts of requests of the release."
    return f"It would have to be past what is allowed for {span(hold)}, or again and again within two minutes."


def hold_of(case: Case) -> float | None:
    """Seconds that a fault must last, by the policy's caution; None without a request to judge by."""
    counts, caution = case.facts.measured.counts, case.target.policy.caution
    found = None if counts is None else weigh(counts, caution)
    if found is None:
        return None
    return HOLDS[caution].beside if found.beside else HOLDS[caution].alone


def words(counts: Counts, found: Weighed) -> str:
    """What a person reads. Not how likely it is that the release is worse: how rare this would be if it were not."""
    rare = math.exp(min(found.nats, 700.0))
    most = f"{min(rare, RAREST):,.0f}".replace(",", " ")
    return f"{_counted(counts, found)} Were it no worse, so many would be luck at most 1 in {most}."


def _counted(counts: Counts, found: Weighed) -> str:
    beside = ""
    if found.requests_older:
        beside = f" beside {whole(found.failures_older)} of {whole(found.requests_older)} of {counts.older}"
    return (
        f"{counts.version} failed {whole(found.failures)} of {whole(found.requests)} requests in"
        f" {span(found.seconds)} ({percent(found.share)}){beside}; after {counts.older},"
        f" {percent(found.allowed)} is allowed."
    )


def _is_clear(counts: Counts, found: Weighed) -> bool:
    """Whether a fixed threshold speaks for itself: far above what is allowed, or most requests fail."""
    if counts.limit is None:
        return False
    most = found.share >= max(MOST_FAILS, CLEAR * found.allowed) and found.failures >= LEAST_IN_MINUTE
    return most or counts.limit >= CLEAR * found.allowed
