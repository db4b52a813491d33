"""How long polls last, and how far apart two looks may lie: a slow controller says so before trust suffers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.prometheus import figures
from rearguard_controller.model import Sample
from rearguard_controller.releases.trust import most_apart
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.current_figures import Row
from rearguard_controller.watching.pace import Pace


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    return Pace(clock, 15.0)


@pytest.mark.parametrize(
    ("every", "most"),
    [(15.0, 45.0), (5.0, 45.0), (75.0, 225.0), (95.0, 285.0), (145.0, 300.0), (4000.0, 300.0)],
)
def test_polls_that_really_lie_far_apart_may_be_missed_as_often_as_quick_ones_up_to_five_minutes(every, most):
    assert most_apart(every, 15.0) == most


def test_a_poll_interval_of_minutes_is_what_was_asked_for():
    assert most_apart(120.0, 120.0) == 360.0


def test_the_length_of_the_last_poll_is_known_and_a_longer_one_counts_while_it_runs(pace, clock):
    assert pace.seconds() == 0.0
    pace.begin()
    clock.now += 20.0
    assert pace.seconds() == 20.0
    pace.end()
    clock.now += 100.0
    assert pace.seconds() == 20.0
    pace.begin()
    clock.now += 5.0
    assert pace.seconds() == 20.0
    clock.now += 50.0
    assert pace.seconds() == 55.0


@pytest.mark.parametrize(
    ("apart", "holds"), [(15.0, True), (75.0, True), (100.0, True), (101.0, False), (145.0, False)]
)
def test_a_target_is_not_ready_before_the_time_between_two_looks_costs_it_trust(pace, clock, apart, holds):
    pace.look("checkout")
    clock.now += apart
    pace.look("checkout")
    assert pace.check("checkout").holds is holds
    assert holds or 2 * apart < most_apart(apart, 15.0)  # a look in time still counts as unbroken


def test_a_gap_is_measured_by_the_looks_before_it_never_by_itself(pace, clock):
    """76 s without a look, of a process that was held up, counted as unbroken service: its own gap allowed it."""
    pace.look("checkout")
    for gap, most in [(15.0, 45.0), (76.0, 45.0), (76.0, 228.0), (15.0, 228.0), (76.0, 45.0)]:
        clock.now += gap
        pace.look("checkout")
        assert most_apart(pace.every_before("checkout"), 15.0) == most


def test_a_look_that_never_ends_is_told_while_it_lasts(pace, clock):
    pace.look("checkout")
    clock.now += 200.0
    check = pace.check("checkout")
    assert check.holds is False
    assert "lie 3m20s apart, because its command `current` is slow" in check.detail


def test_a_poll_that_is_slow_is_named_as_the_reason(pace, clock):
    pace.look("checkout")
    pace.begin()
    clock.now += 120.0
    assert "a poll of all targets took 2m" in pace.check("checkout").detail


NAMES = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(NAMES, st.sampled_from(["1", "2"]), max_size=3)


@given(st.lists(LABELS, max_size=8), LABELS)
def test_the_index_finds_what_a_search_through_all_samples_finds(labels, selector):
    samples = tuple(Sample(each, float(number)) for number, each in enumerate(labels))
    row = Row("A", ">", samples, samples)
    assert current_figures.threshold_in(row, selector) == figures.threshold_for(samples, selector)
    wanted = [each.value for each in samples if figures.is_own(each.labels, selector, None)]
    assert [each.value for each in current_figures.readings(row, selector)] == wanted


def test_the_figures_of_a_thousand_targets_are_told_apart_in_seconds():
    """Each target looked through the samples of all: 16 s of every poll."""
    mine = [{"service_name": f"s{number}", "deployment_environment_name": "production"} for number in range(1000)]
    samples = tuple(Sample(each, 0.2) for each in mine)
    rows = [Row("A", ">", samples, samples) for _ in range(9)]
    began = time.process_time()
    for selector in mine:
        assert all(len(current_figures.readings(row, selector)) == 1 for row in rows)
    assert time.process_time() - began < 4.0
