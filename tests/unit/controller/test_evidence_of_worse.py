"""The arithmetic of evidence, against numbers and tails that were worked out elsewhere."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.facts import counting
from rearguard_controller.judgement import evidence
from rearguard_controller.judgement.evidence import HOLDS, has_lasted, luck, luck_beside, needed, weigh
from rearguard_controller.judgement.worse import words
from rearguard_controller.model import Caution, Counts, Tally

FALSE_ALARMS = {Caution.SWIFT: 1e-3, Caution.STANDARD: 1e-4, Caution.CAREFUL: 1e-5}


# --- the formulas: expected values from the published prototype, and from exact tails


@pytest.mark.parametrize(
    ("counted", "nats"),
    [
        ((200, 60, 0.01), 155.544397767797),
        ((200, 6, 0.01), 2.6323526355544766),
        ((15, 5, 0.01), 13.578641764053277),
        ((10, 10, 0.001), 69.07755278982137),
        ((2400, 72, 0.02), 5.3163553945715885),
    ],
)
def test_evidence_is_what_the_published_prototype_computes(counted, nats):
    assert luck(*counted) == pytest.approx(nats, rel=1e-9)


@pytest.mark.parametrize(("counted", "nats"), [((200, 60, 200, 58), 0.0), ((200, 60, 200, 0), 24.327906486489862)])
def test_what_both_versions_show_cancels(counted, nats):
    assert luck_beside(*counted) == pytest.approx(nats, rel=1e-9)


def test_needed_is_what_four_windows_and_half_an_hour_of_looks_ask():
    assert [
        needed(FALSE_ALARMS[each]) for each in (Caution.SWIFT, Caution.STANDARD, Caution.CAREFUL)
    ] == pytest.approx([14.180153671552183, 16.48273876454623, 18.785323857540273])


@given(st.integers(1, 300), st.data())
def test_evidence_never_claims_more_than_the_exact_binomial_tail(requests, data):
    failures = data.draw(st.integers(0, requests))
    allowed = data.draw(st.sampled_from([Fraction(1, 1000), Fraction(1, 100), Fraction(1, 8), Fraction(2, 5)]))
    tail = sum(
        math.comb(requests, k) * allowed**k * (1 - allowed) ** (requests - k) for k in range(failures, requests + 1)
    )
    assert float(tail) <= math.exp(-luck(requests, failures, float(allowed))) * (1 + 1e-9)


@pytest.mark.parametrize(
    "counted",
    [
        (0, 0, 0.01),
        (10, math.nan, 0.01),
        (math.nan, 1, 0.01),
        (math.inf, 1, 0.01),
        (10, 5, 0.0),
        (10, 5, 1.0),
        (-5, 5, 0.1),
    ],
)
def test_no_number_and_no_request_are_no_evidence(counted):
    assert luck(*counted) == 0.0
    assert luck_beside(0, 0, 5, 5) == luck_beside(5, 5, 0, 0) == 0.0


# --- what the version before allows


def before(*shares, requests=600.0, until=0.0):
    """Minutes of the older version, each of four steps."""
    steps = []
    for number, share in enumerate(shares):
        end = until - 60.0 * (len(shares) - number - 1)
        steps += [Tally(end - 15.0 * n, requests / 4, requests / 4 * share) for n in (3, 2, 1, 0)]
    return tuple(steps)


@pytest.mark.parametrize(
    ("minutes", "share"),
    [
        ((), 0.01),  # nothing known: what is always tolerated
        ((0.001,) * 60, 0.01),
        ((0.08,) * 60, 0.16),  # twice its mean
        ((0.0,) * 50 + (0.05,) * 10, 0.05),  # ten of sixty minutes: its high quantile
        ((0.0,) * 58 + (0.05,) * 2, 0.01),  # two of sixty: neither quantile nor mean
        ((0.001,) * 45 + (0.9,) * 15, 0.01),  # an incident of a quarter of an hour blinds nobody
        ((0.4,) * 60, 0.5),  # the cap
    ],
)
def test_what_is_allowed_is_learnt_from_the_older_versions_minutes(minutes, share):
    assert evidence.allowed(before(*minutes)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("minutes", "why"),
    [
        ((), "1 % is allowed: it always is"),
        ((0.001,) * 60, "1 % is allowed: it always is"),
        ((0.08,) * 60, "16 % is allowed: twice as many as failed before"),
        ((0.0,) * 50 + (0.05,) * 10, "5 % is allowed: 95 of 100 minutes before were no worse"),
        ((0.001,) * 45 + (0.9,) * 15, "1 % is allowed: it always is; 15 minutes of an incident are left out"),
        ((0.4,) * 60, "50 % is allowed: it is the most that ever is"),
    ],
)
def test_a_decision_says_what_is_allowed_and_why(minutes, why):
    found = Counts("v2", "v1", (Tally(5.0, 200.0, 60.0),), before=before(*minutes))
    assert counting.evidence_of(found, 5.0).answer.endswith(f"in the hour before the release; so {why}")


def test_counts_in_a_sentence_are_whole_however_many_they_are():
    found = counted(steps(12345.0, requests=1234567.0))
    assert words(found, weigh(found, Caution.STANDARD)).startswith("v2 failed 12345 of 1234567 requests in ")
    assert "v2 failed 12345 of 1234567 requests" in counting.evidence_of(found, 5.0).answer


def test_minutes_with_few_requests_and_impossible_ones_tell_no_share():
    assert evidence.allowed(before(*(1.0,) * 3, requests=4.0)) <= 0.5
    assert evidence.allowed(before(0.0, 0.0, requests=0.0)) == 0.01


def clumps(*counts):
    return tuple(Tally(15.0 * (number + 1) - 600 * 10, 100.0, each) for number, each in enumerate(counts))


def test_clumping_is_the_variance_to_mean_of_failures_in_fifteen_seconds():
    assert evidence.clumping(clumps(0, 0, 20, 0, 1, 0, 40, 3)) == pytest.approx(23.40625)
    assert evidence.clumping(clumps(1, 1, 1, 1)) == 1.0
    assert evidence.clumping(()) == evidence.clumping(clumps(5)) == 1.0


def test_one_blip_of_the_older_version_is_no_clumping():
    steady = [1.0, 0.0] * 80
    assert evidence.clumping(clumps(*steady)) == 1.0
    steady[100] = 600.0
    assert evidence.clumping(clumps(*steady)) == 1.0


def test_what_shows_in_minutes_only_is_clumping_too():
    """Counts of 15 s have mean and variance 1; those of minutes are 0 and 8 in turns, with mean 4 and variance 16."""
    assert evidence.clumping(clumps(*([0.0] * 4 + [2.0] * 4) * 20)) == 4.0


# --- the windows


def steps(*counts, requests=200.0, start=0.0):
    return tuple(Tally(start + 5.0 * (n + 1), requests, failures) for n, failures in enumerate(counts))


def counted(own, beside=(), **fields):
    return Counts("v2", "v1", tuple(own), tuple(beside), **fields)


def test_the_window_that_shows_most_counts():
    found = weigh(counted(steps(*(0,) * 57, 60, 60, 60)), Caution.STANDARD)
    assert (found.seconds, found.requests, found.failures, found.allowed) == (15.0, 600.0, 180.0, 0.01)
    assert found.nats == pytest.approx(3 * 155.544397767797, rel=1e-9)
    assert found.suffices
    small = weigh(counted(steps(*(6,) * 60)), Caution.STANDARD)
    assert (small.seconds, small.failures, small.suffices) == (300.0, 360.0, True)
    assert not weigh(counted(steps(*(2,) * 60)), Caution.STANDARD).suffices


def test_no_evidence_is_never_evidence():
    for own in ((), steps(0, 0, requests=0.0), (Tally(5.0, math.nan, 1.0),)):
        assert weigh(counted(own), Caution.SWIFT) is None
    assert weigh(counted((Tally(5.0, 10.0, math.nan),)), Caution.SWIFT).nats == 0.0


def test_the_older_versions_clumps_are_asked_for():
    of_clumps = tuple(Tally(each.at - 6000, each.requests, each.failures) for each in clumps(*[0.0, 20.0, 0.0] * 40))
    one_by_one, in_clumps = (
        weigh(counted(steps(0, 30, 30, 30), before=each), Caution.STANDARD) for each in ((), of_clumps)
    )
    assert in_clumps.nats < one_by_one.nats / 5


def test_a_shock_that_both_show_is_no_evidence_and_what_the_release_shows_alone_is():
    both = weigh(counted(steps(*(60,) * 6), steps(*(58,) * 6)), Caution.SWIFT)
    assert (both.nats, both.beside, both.failures_older > 0) == (0.0, True, True)
    alone = weigh(counted(steps(*(60,) * 6), steps(*(0,) * 6)), Caution.CAREFUL)
    assert (alone.suffices, alone.beside) == (True, True)


def test_what_the_older_version_shared_is_counted_when_it_is_gone():
    gone = weigh(counted(steps(*(60,) * 6), steps(58, 58, 58)), Caution.STANDARD)
    assert gone.seconds == 15.0  # a window in which it is not, which `not_shown_by_older` answers
    assert not gone.beside


def test_an_older_version_with_hardly_any_traffic_neither_clears_nor_convicts():
    quiet = steps(0, 0, 0, 1, 0, 0, requests=5.0)
    found = weigh(counted(steps(*(60,) * 6), quiet), Caution.STANDARD)
    assert (found.suffices, found.beside) == (True, False)
    failing = steps(*(5,) * 6, requests=5.0)
    assert not weigh(counted(steps(*(60,) * 6), failing), Caution.STANDARD).suffices


# --- no blip


def test_an_older_version_that_fails_a_little_too_is_compared_with_however_few_it_was_asked():
    """So it was in the corpus: a dependency failed 5 % of ten requests a second of each, by luck fewer of v1."""
    own, older = steps(4, 4, 4, 4, 3, requests=50.0), steps(1, 1, 1, 1, 1, requests=50.0)
    assert weigh(counted(own), Caution.STANDARD).suffices, "22 nats alone"
    assert not weigh(counted(own, older), Caution.STANDARD).suffices, (
        "19 of 24 failures, where two thirds are allowed"
    )
    assert weigh(counted(own, steps(0, 0, 0, 0, 0, requests=50.0)), Caution.STANDARD).suffices, (
        "nothing is wrong with it"
    )


def test_any_window_may_clear_where_none_suffices():
    """In 15 s the release shows 15.5 nats, alone; in a minute both show the fault beyond doubt."""
    own, older = steps(*[6] * 9, 8, 8, 8), steps(*[8] * 9, 1, 1, 1)
    found = weigh(counted(own, older), Caution.STANDARD)
    assert (found.suffices, found.shared) == (False, True)


def lasted(counts, hold=15.0, requests=200.0):
    return has_lasted(steps(*counts, requests=requests), 0.01, hold)


def test_a_hold_of_fifteen_seconds_outlasts_ten_seconds_of_failures_wherever_they_begin():
    assert not lasted((0,) * 10 + (200,) * 3)
    assert not lasted((0,) * 10 + (200,) * 3 + (0,))
    assert lasted((0,) * 10 + (200,) * 4)


@pytest.mark.parametrize(("hold", "needs"), [(5.0, 2), (10.0, 3), (15.0, 4), (30.0, 7)])
def test_each_second_of_hold_is_a_second_of_failures(hold, needs):
    assert [lasted((0,) * 20 + (200,) * n, hold) for n in (needs - 1, needs)] == [False, True]


def test_a_fault_that_comes_and_goes_is_no_blip():
    assert lasted((0,) * 10 + (200, 200, 0, 0, 200, 0, 200))
    assert not lasted((0,) * 10 + (200, 200, 200, 0, 0, 0, 200))  # a blip and one failure


def test_a_blip_and_single_failures_after_it_are_a_blip():
    """So it was in the corpus: 5 s at 5 requests a second, and two failures within the minute."""
    assert not lasted((0,) * 10 + (20, 25, 0, 0, 1, 0, 0, 0, 1), requests=25.0)
    assert not lasted((0,) * 10 + (20, 25, 0, 0, 9, 0, 0, 9), requests=25.0)  # nor is a third clump
    assert lasted((0,) * 10 + (20, 25, 0, 0, 9, 0, 9, 9), requests=25.0)


@pytest.mark.parametrize(
    ("requests", "blip", "stray"), [(5.0, (3, 5, 2), 1), (25.0, (12, 25, 13), 1), (200.0, (90, 200, 110), 3)]
)
def test_a_stray_failure_right_before_or_after_a_blip_makes_it_no_longer(requests, blip, stray):
    """Found in drawn blips of ten seconds: at 5 requests a second, one in 25 was taken for a fault."""
    assert not lasted((0,) * 10 + (stray, *blip), requests=requests)
    assert not lasted((0,) * 10 + (*blip, stray), requests=requests)
    assert lasted((0,) * 10 + (*blip, blip[0]), requests=requests)


def test_seconds_without_requests_say_neither():
    assert not lasted(())
    assert not lasted((0, 0, 0), requests=0.0)
    own = [each for each in steps(*(0,) * 6, *(200,) * 5) if each.at not in (40.0, 45.0)]
    assert has_lasted(own, 0.01, 15.0)


@given(st.integers(0, 30), st.sampled_from([10.0, 15.0, 30.0]))
def test_a_single_stretch_shorter_than_the_hold_never_counts(at, hold):
    longest = int(hold / 5)
    shown = [0] * 40
    shown[at : at + longest] = [200] * longest
    assert not any(lasted(shown[:end], hold) for end in range(len(shown) + 1))
    assert HOLDS[Caution.STANDARD].alone == 15.0
