"""No credit for a fault that was going away before anything was done; every credit for one that was not."""

import random

import pytest

from rearguard_controller.execution.recovery import receding

END = 1_000_000.0  # when the first step began
THRESHOLD = 0.1


def readings(*values, every=15.0, last=0.0):
    """Values, the last of them `last` seconds before the end."""
    return [(END - last - every * (len(values) - 1 - at), value) for at, value in enumerate(values)]


def found(*values, operator=">", threshold=THRESHOLD, settle=0.0, **more):
    return receding(readings(*values, **more), operator, threshold, END, settle)


def test_a_fault_that_was_over_before_the_first_step_was_receding():
    assert found(0.0, 0.6, 0.7, 0.4, 0.05, 0.03).startswith("it was over before the first step: 0.03, not past")


def test_a_fault_that_had_come_more_than_half_of_the_way_down_and_fell_was_receding_with_its_numbers():
    said = found(0.9, 0.9, 0.9, 0.9, 0.7, 0.5, 0.4, 0.2)
    assert "from 0.9 to 0.2, more than half of the way to the threshold > 0.1" in said
    assert said.endswith("an episode that began 1m45s before it")


def test_one_that_had_come_less_than_half_of_the_way_was_not():
    assert found(0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.6) == ""


def test_one_that_stopped_falling_or_rose_again_was_not():
    assert found(0.9, 0.9, 0.9, 0.9, 0.5, 0.4, 0.3, 0.2, 0.25) == ""
    assert found(0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2) == ""  # one fall is no trend


def test_an_even_fault_is_not_receding():
    assert found(0.0, 0.0, 0.3, 0.3, 0.3, 0.3, 0.3) == ""
    assert found(0.3) == ""


def test_one_good_reading_alone_is_not_the_end_of_a_fault():
    assert found(0.6, 0.7, 0.6, 0.05) == ""


def test_an_earlier_episode_does_not_count():
    assert found(0.9, 0.9, *[0.0] * 6, 0.3, 0.3, 0.3, 0.3) == ""


@pytest.mark.parametrize("values", [(), (0.0, 0.0, 0.0)])
def test_without_a_fault_in_sight_nothing_is_said(values):
    assert found(*values) == ""


def test_a_figure_that_had_no_data_for_a_minute_says_nothing():
    assert found(0.9, 0.6, 0.3, 0.05, 0.02, last=61.0) == ""
    assert found(0.9, 0.6, 0.3, 0.05, 0.02, last=59.0) != ""


def test_readings_after_the_first_step_do_not_count():
    steady = readings(*[0.3] * 8)
    assert receding([*steady, (END + 5, 0.0), (END + 10, 0.0)], ">", THRESHOLD, END, 0.0) == ""


def test_figures_for_which_less_is_worse_recede_upwards():
    said = found(0.2, 0.2, 0.2, 0.2, 0.4, 0.5, 0.6, 0.8, operator="<", threshold=0.9)
    assert "from 0.2 to 0.8" in said
    assert found(0.8, 0.6, 0.4, 0.2, operator="<", threshold=0.9) == ""


def test_one_whose_last_fall_alone_had_come_half_of_the_way_was_not():
    assert found(0.9, 0.9, 0.9, 0.9, 0.8, 0.75, 0.7, 0.3) == ""


def test_readings_within_one_settle_time_are_one_burst_that_leaves_the_window():
    falling = (*[0.9] * 8, 0.7, 0.5, 0.4, 0.2)
    assert found(*falling, settle=0.0) != ""
    assert found(*falling, settle=30.0) == ""
    assert found(0.6, 0.7, 0.05, 0.03, settle=0.0) != ""
    assert found(0.6, 0.7, 0.05, 0.03, settle=30.0) == ""
    assert found(0.6, 0.7, 0.05, 0.04, 0.03, settle=30.0) != ""


def windows(share, window, rate, chance, seconds=900):
    """Readings, 5 s apart, of the share of failed requests within a window; `share(second)` is what fails."""
    failed = [sum(chance.random() < share(at) for _ in range(rate)) for at in range(seconds)]
    first = seconds - 600
    return [
        (END - seconds + at, sum(failed[at - window : at]) / (rate * window)) for at in range(first, seconds + 1, 5)
    ]


@pytest.mark.parametrize("window", [15, 30, 60])
@pytest.mark.parametrize(
    ("rate", "base", "burst"), [(2, 0.3, 0.3), (10, 0.15, 0.15), (10, 0.3, 0.3), (10, 0.15, 0.6)]
)
def test_a_fault_that_goes_on_evenly_or_in_bursts_is_hardly_ever_called_receding(window, rate, base, burst):
    chance = random.Random(20260112)  # noqa: S311  # noise, not a secret
    judged = wrong = 0
    for _ in range(300):
        bursts = [chance.random() < 0.3 for _ in range(91)]  # of ten seconds each
        points = windows(lambda at: burst if bursts[at // 10] else base, window, rate, chance)  # noqa: B023
        if points[-1][1] > THRESHOLD:
            judged += 1
            wrong += bool(receding(points, ">", THRESHOLD, END, window + 5))
    assert judged > 200
    assert wrong <= judged / 100


@pytest.mark.parametrize("window", [15, 30, 60])
def test_a_fault_that_decays_over_several_windows_is_found(window):
    chance = random.Random(20260113)  # noqa: S311  # noise, not a secret
    right = 0
    for _ in range(50):
        start = 900 - 5 * window
        points = windows(lambda at: 0.9 * 0.5 ** (max(0, at - start) / (1.5 * window)), window, 20, chance)  # noqa: B023
        right += bool(receding(points, ">", 0.02, END, window + 5))
    assert right >= 45


@pytest.mark.parametrize(("width", "settle"), [(60, 0.0), (20, 0.0), (60, 65.0), (20, 41.0)])
def test_an_even_fault_of_a_young_version_counts_as_recovered_however_its_first_readings_scatter(width, settle):
    """The demo: 30 % of 10 requests a second fail, in a young window; the first step comes within five minutes."""
    chance = random.Random(20260111)  # noqa: S311  # noise, not a secret
    wrong = 0
    for _ in range(400):
        failed = [chance.random() < 0.3 for _ in range(10 * 300)]
        moments = range(5, chance.randrange(30, 300), 5)
        points = []
        for moment in moments:
            window = failed[max(0, 10 * (moment - width)) : 10 * moment]
            points.append((END - moments[-1] + moment, sum(window) / len(window)))
        wrong += bool(receding(points, ">", THRESHOLD, END, settle))
    assert wrong == 0
