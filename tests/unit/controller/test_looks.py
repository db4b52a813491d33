"""What both versions showed is found again in the counts, however long the older one is gone."""

import pytest

from rearguard_controller.facts.counting import shared_fault
from rearguard_controller.judgement.looks import first_blame, shared_at
from rearguard_controller.model import Caution, Condition, Counts, Tally
from unit.controller.factories import MATCH

WORSE = Condition("ReleaseWorse", "version:http_error_evidence:nats", "> service:http_error_evidence:needed", MATCH)


def steps(*failures, requests=100.0):
    return tuple(Tally(5.0 * (n + 1), requests, each) for n, each in enumerate(failures))


def counts(own, beside):
    return Counts("2.0", "1.0", steps(*own), steps(*beside))


def test_a_dependency_that_fails_for_both_clears_the_release_when_the_older_one_is_gone():
    """Five in a hundred: no fixed threshold of ten in a hundred ever sees it beside."""
    found = counts((0,) * 6 + (5,) * 120, (0,) * 6 + (5,) * 24)
    assert shared_at(found, Caution.STANDARD) is not None
    assert first_blame(found, Caution.STANDARD) is None
    fault = shared_fault(found, WORSE)
    assert 0.01 < fault.own <= 0.05
    assert (fault.alert, fault.version, fault.own, fault.older, fault.limit) == (
        "ReleaseWorse", "1.0", fault.older, fault.own, 0.01,
    )  # fmt: skip


def test_innocence_needs_less_evidence_than_guilt():
    """So it was in the corpus: 5 % at 10 requests a second each, and the older version gone after a minute."""
    both = (3, 2, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3)
    found = Counts("2.0", "1.0", steps(*(0,) * 6, *both * 8, requests=50.0), steps(*(0,) * 6, *both, requests=50.0))
    assert first_blame(found, Caution.STANDARD) is None


def test_what_the_release_alone_shows_is_its_own():
    found = counts((0,) * 6 + (5,) * 30, (0,) * 36)
    assert shared_at(found, Caution.STANDARD) is None
    assert first_blame(found, Caution.STANDARD) is not None
    gone = counts((0,) * 6 + (5,) * 60, (0,) * 6)
    assert first_blame(gone, Caution.STANDARD) is not None


def test_health_of_both_side_by_side_for_a_minute_ends_it():
    both, well = (30,) * 6, (0,) * 80
    found = counts(both + well + (30,) * 12, both + well + (0,) * 12)
    blame = first_blame(found, Caution.STANDARD)
    assert blame is not None
    assert blame.at >= 5.0 * 87
    sooner = counts(both + (0,) * 4 + (30,) * 12, both + (0,) * 4)  # the older one left after 20 s of health
    assert first_blame(sooner, Caution.STANDARD) is None


@pytest.mark.parametrize(
    ("caution", "seconds"), [(Caution.SWIFT, 15.0), (Caution.STANDARD, 20.0), (Caution.CAREFUL, 35.0)]
)
def test_each_caution_waits_as_long_as_it_says(caution, seconds):
    found = Counts("2.0", "1.0", steps(*(0,) * 12 + (30,) * 24))
    assert first_blame(found, caution).at - 60.0 == seconds


def test_beside_an_older_version_five_seconds_are_enough():
    found = counts((0,) * 12 + (30,) * 24, (0,) * 36)
    assert first_blame(found, Caution.STANDARD).at - 60.0 == 10.0
