"""What a dependency shows clears its caller's release before any alert of it fires; a noisy one holds up nobody."""

from dataclasses import replace

import pytest

from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import Counts, PendingAlert, ReasonCode, Tally, Verdict
from unit.controller.factories import DEPLOYED, MINUTE, NOW, alert, counts, facts, target

CALLER = target(depends_on=("payments",))
WELL = 0.0


def theirs(*failures, requests=100.0, of_each=0.0, every=1, ago=0.0):
    """Steps of a dependency up to NOW: well for ten minutes, then these failures; scraped at each `every`-th step.

    It failed `of_each` requests of a step before, and its last step was some seconds `ago`.
    """
    shown = (*(of_each,) * 120, *failures)
    own, n, x = [], 0.0, 0.0
    for place, each in enumerate(shown):
        at, n, x = NOW - ago - 5.0 * (len(shown) - place - 1), n + requests, x + each
        if (len(shown) - place - 1) % every == 0:
            own.append(Tally(at, n, x))
            n = x = 0.0
        elif every > 1:
            own.append(Tally(at, 0.0, 0.0))
    before = tuple(Tally(DEPLOYED - 15.0 * n, 3 * requests, 3 * of_each) for n in range(239, -1, -1))
    return Counts("p2", "p1", tuple(own), before=before)


def judged(*, own=None, of=CALLER, since=NOW - MINUTE, **known):
    """The decision, and the answer about what it depends on."""
    seen = facts(counts=own or counts(*(WELL,) * 24, *(30.0,) * 4), condition_since=since, **known)
    decision = decide("d1", alert(), of, seen)
    (reason,) = (each for each in decision.reasons if each.code is ReasonCode.DEPENDENCIES_HEALTHY)
    return decision, reason


def answer(dependency, **known):
    return judged(counted_dependencies={"payments": dependency}, **known)[1]


# --- sick, though none of its alerts fires


def test_a_dependency_that_fails_as_much_clears_the_release_before_its_alert_fires():
    decision, reason = judged(counted_dependencies={"payments": theirs(*(30.0,) * 4)})
    assert (decision.would, reason.holds) == (Verdict.LEAVE, False)
    assert reason.detail == (
        "The target depends on what is itself in trouble"
        " (payments: it failed 120 of 600 requests in 30s, 1 % is allowed)."
    )
    assert reason.remedy == "What the target depends on would have to be well: payments."


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_as_scrapes_fall_its_fault_may_be_seen_some_steps_later(steps):
    """A stray failure, or the moment of a scrape, makes the caller's fault seem older by seconds."""
    own = counts(*(WELL,) * 20, 2.0, *(100.0,) * 4)
    assert answer(theirs(*(100.0,) * steps), own=own).holds is False


@pytest.mark.parametrize(("requests", "failures"), [(5.0, 1.5), (5.0, 5.0), (1.0, 1.0)])
def test_few_requests_are_enough(requests, failures):
    own = counts(*(WELL,) * 24, *(failures,) * 4, requests=requests)
    assert answer(theirs(*(failures,) * 3, requests=requests), own=own).holds is False


def test_of_few_requests_it_is_looked_back_until_enough_failed():
    """One request in twenty fails, at one a second; the newest failure of the dependency is 25 s old."""
    own = counts(*(WELL,) * 24, *(WELL, WELL, WELL, 1.0) * 15, requests=5.0)
    rare = theirs(*(1.0, WELL, WELL, WELL) * 14, 1.0, *(WELL,) * 5, requests=5.0)
    assert answer(rare, own=own).holds is False


def test_one_that_its_caller_stopped_asking_shows_a_high_share_of_few():
    """A circuit breaker: of a hundred failures of the caller in a step, two are calls."""
    failing = [Tally(NOW - 5.0 * n, 2.0, 2.0) for n in range(3, -1, -1)]
    long_well = theirs(ago=20.0)
    dependency = replace(long_well, own=(*long_well.own, *failing))
    assert answer(dependency, own=counts(*(WELL,) * 24, *(100.0,) * 4)).holds is False


def test_one_that_is_scraped_every_fifteen_seconds_is_waited_for():
    own = counts(*(WELL,) * 24, *(100.0,) * 3)
    decision, reason = judged(own=own, counted_dependencies={"payments": theirs(every=3, ago=10.0)})
    assert (decision.would, reason.holds) == (Verdict.LEAVE, None)
    assert reason.detail.startswith("payments was not scraped since the fault began")
    assert reason.remedy == "It would have to be scraped once more."
    assert answer(theirs(100.0, 100.0, 100.0, every=3), own=own).holds is False
    assert answer(theirs(every=3), own=counts(*(WELL,) * 24, *(100.0,) * 5)).holds is True


# --- a noisy one holds up nobody


@pytest.mark.parametrize(
    "dependency",
    [
        theirs(),
        theirs(*(1.0,) * 12),  # 1 %, which is tolerated
        theirs(*(16.0,) * 12, of_each=8.0),  # a base of 8 %: twice that is allowed
        theirs(*(0.0, 3.0) * 6),  # 1.5 %, while its caller fails 30 %
        theirs(*(2.0,) * 12),  # 2 %, too little to explain as much
        theirs(requests=0.5),
        theirs(*(50.0,) * 2, *(WELL,) * 6),  # a blip that is over
    ],
    ids=["well", "1 %", "8 %", "noisy", "a small fault", "few requests", "a blip"],
)
def test_a_bad_release_is_decided_as_soon_beside_a_dependency_that_is_merely_noisy(dependency):
    decision, reason = judged(counted_dependencies={"payments": dependency})
    assert reason.holds is True
    assert decision.would is Verdict.ROLL_BACK
    assert decision.would is judged()[0].would


FEW = counts(*(WELL,) * 24, *(1.5,) * 4, requests=5.0)  # a release of which six requests failed


@pytest.mark.parametrize(
    "dependency",
    [
        theirs(1.0, 1.0, WELL, requests=5.0, of_each=0.2),  # a base of 4 %: two of fifteen are luck
        theirs(5.0, 5.0, *(WELL,) * 14, requests=5.0),  # a blip that was over a minute ago
        replace(theirs(), own=(Tally(NOW, 1.0, 1.0),)),  # one request came, and failed
        theirs(requests=1.0, every=6, ago=25.0),  # it is asked twice a minute: nobody waits for that
    ],
    ids=["luck", "a blip", "one failure", "nobody asks"],
)
def test_few_requests_of_a_dependency_hold_up_nobody_by_luck(dependency):
    assert answer(dependency, own=FEW).holds is True


def test_a_release_that_was_proved_worse_before_its_dependency_began_to_fail_is_to_blame():
    """Its retries may be what hurts the dependency."""
    own = counts(*(WELL,) * 24, *(30.0,) * 20)
    assert answer(theirs(*(30.0,) * 8), own=own).holds is True
    assert answer(theirs(*(30.0,) * 17), own=own).holds is False


# --- alerts that pend


def pends(since, *, of_errors=False):
    return {"payments": (PendingAlert("ReleaseSlower", since, of_errors),)}


@pytest.mark.parametrize(
    ("pending", "since", "holds"),
    [
        (pends(NOW - 20), NOW - MINUTE, False),  # it began after the release
        (pends(NOW - 20), NOW - 4 * MINUTE, True),  # it had three minutes to fire
        (pends(DEPLOYED - 5 * MINUTE), NOW - MINUTE, True),  # long before the release
        (pends(NOW - 20, of_errors=True), NOW - MINUTE, False),
    ],
)
def test_an_alert_of_it_that_pends_holds_a_rollback_up_for_minutes(pending, since, holds):
    _, reason = judged(pending_dependencies=pending, since=since)
    assert reason.holds is holds
    assert ("its trigger alert ReleaseSlower pends since" in reason.detail) is not holds


def test_an_alert_about_failed_requests_that_pends_says_no_more_than_their_counts():
    noisy = pends(NOW - 20, of_errors=True)
    assert answer(theirs(), pending_dependencies=noisy).holds is True
    slow = pends(NOW - 20)
    assert answer(theirs(), pending_dependencies=slow).holds is False


# --- through others


def test_what_is_reached_through_others_counts_too():
    of = target(depends_on=("cart",), reached_through=("payments",))
    assert answer(theirs(*(30.0,) * 4), of=of).holds is False
    reason = answer(theirs(), of=of)
    assert reason.detail.endswith("what it depends on: cart, payments.")


def test_of_those_that_depend_on_one_another_nobody_knows_who_troubles_whom():
    known = {
        "checkout": target(depends_on=("payments", "ledger")),
        "payments": target(name="payments", depends_on=("checkout",)),
        "ledger": target(name="ledger"),
    }
    assert [each.name for each in known["checkout"].independent_dependencies(known)] == ["ledger"]
