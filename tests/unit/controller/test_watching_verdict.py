"""What `rearguard watch` makes of what the controller says, look by look."""

from dataclasses import replace

import pytest

from rearguard_controller.cli.watch_result import EXIT_CODES, Blame, Leaving, Look, Order, Progress, Result, judge

BEGAN = 1_000_000.0  # the controller's time at the first look
ORDER = Order("v2", lasts=600.0, start_within=300.0)
OLD = Look(BEGAN, "v1", BEGAN - 86400, clean_for=86400.0, known_good_at=None, lacking="")
NEW = Look(BEGAN + 60, "v2", BEGAN + 50, clean_for=10.0, known_good_at=None, lacking="an alert is pending")
OPEN = Leaving("r1", "v1", BEGAN + 100, begun=True, waiting=False, outcome=None, detail="")


def watched(*looks, order=ORDER):
    """The result after (elapsed, look) pairs, and the sentence."""
    progress, finding = Progress(), None
    for elapsed, look in looks:
        progress, finding = judge(order, progress, look, elapsed)
        if finding.result is not None:
            break
    return finding.result, finding.text


def test_a_version_seen_to_serve_well_for_long_enough_is_good_and_not_a_second_earlier():
    assert watched((0, OLD), (60, NEW), (650, replace(NEW, clean_for=599.0)))[0] is None
    assert watched((0, OLD), (60, NEW), (660, replace(NEW, clean_for=600.0)))[0] is Result.GOOD


def test_a_version_that_earned_trust_in_this_service_is_good_but_an_old_trust_is_not_enough():
    earned, old = replace(NEW, known_good_at=BEGAN + 55), replace(NEW, known_good_at=BEGAN - 86400)
    assert watched((60, earned))[0] is Result.GOOD
    assert watched((60, old))[0] is None


def test_the_service_of_the_version_before_is_never_counted_for_the_new_one():
    assert watched((0, OLD), (299, OLD))[0] is None
    result, text = watched((0, OLD), (300, OLD))
    assert result is Result.TIMED_OUT
    assert "not seen to serve within 5m" in text
    assert "v1 serves" in text


def test_no_data_is_never_good_however_long_it_lasts():
    blind = replace(NEW, clean_for=None, known_good_at=BEGAN + 55, lacking="Prometheus has not answered")
    assert watched((0, blind), (1199, blind))[0] is None
    result, text = watched((0, blind), (1200, blind))
    assert result is Result.TIMED_OUT
    assert "Prometheus has not answered" in text


def test_an_alert_that_fires_at_the_end_is_not_good_even_where_the_last_poll_was_clean():
    assert watched((60, replace(NEW, clean_for=700.0, triggers=("HighErrorRate",))))[0] is None


def test_a_controller_that_does_not_answer_for_a_while_is_waited_for_and_one_that_never_does_is_unknown():
    assert watched((0, OLD), (60, NEW), (500, None), (700, replace(NEW, clean_for=640.0)))[0] is Result.GOOD
    assert watched((0, None), (299, None))[0] is None
    assert watched((0, None), (301, None))[0] is Result.TIMED_OUT
    assert watched((0, NEW), (1201, None))[0] is Result.TIMED_OUT


def test_a_rollback_away_is_watched_until_it_closes_and_named_with_its_outcome():
    rolling = replace(NEW, serving="v1", leavings=(OPEN,))
    assert watched((60, NEW), (150, rolling), (1500, rolling))[0] is None  # longer than the time for the service
    closed = replace(rolling, leavings=(replace(OPEN, outcome="recovered", detail="0.01"),))
    result, text = watched((60, NEW), (150, rolling), (200, closed))
    assert result is Result.ROLLED_BACK
    assert "r1 from v2 to v1 ended as recovered: 0.01" in text
    assert watched((60, NEW), (200, closed))[0] is Result.ROLLED_BACK


def test_a_rollback_that_never_closes_is_not_waited_for_for_ever():
    rolling = replace(NEW, leavings=(OPEN,))
    assert watched((60, rolling), (3659, rolling))[0] is None
    assert watched((60, rolling), (3660, rolling))[0] is Result.ROLLED_BACK
    waits = replace(NEW, leavings=(replace(OPEN, begun=False, waiting=True),))
    assert watched((60, waits), (3660, waits))[0] is Result.TIMED_OUT
    assert watched((60, waits), (3660, None))[0] is Result.TIMED_OUT


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        ("vetoed", Result.BLAMED),
        ("expired", Result.BLAMED),
        ("superseded", Result.REPLACED),
        ("not_needed", None),
    ],
)
def test_a_rollback_that_was_never_begun_leads_to_what_its_end_says(outcome, result):
    ended = replace(NEW, leavings=(replace(OPEN, begun=False, outcome=outcome),))
    assert watched((60, NEW), (200, ended))[0] is result


def test_a_rollback_that_ended_right_before_the_watch_counts_and_one_of_long_ago_does_not():
    late, early = replace(OPEN, at=BEGAN - 200, outcome="recovered"), replace(OPEN, at=BEGAN - 400, outcome="failed")
    assert watched((0, replace(OLD, leavings=(late,))))[0] is Result.ROLLED_BACK
    assert watched((0, replace(OLD, leavings=(early,))))[0] is None
    assert watched((0, replace(NEW, leavings=(late,))))[0] is None  # it serves again since then


def test_another_version_without_a_rollback_is_unknown_and_says_so():
    result, text = watched((60, NEW), (90, replace(NEW, serving="v3", leavings=())))
    assert result is Result.REPLACED
    assert "v3 serves now" in text


def test_a_fault_that_is_blamed_on_the_version_and_left_alone_fails_the_watch_at_once():
    blame = Blame("d1", BEGAN + 70, "HighErrorRate", "The policy only observes.")
    result, text = watched((60, NEW), (80, replace(NEW, blames=(blame,))))
    assert result is Result.BLAMED
    assert "The policy only observes." in text


def test_a_blame_from_before_the_watch_counts_only_while_its_fault_lasts():
    serves = replace(NEW, serving_since=BEGAN - 900, clean_for=None, at=BEGAN)
    old = replace(serves, blames=(Blame("d1", BEGAN - 800, "HighErrorRate", "It is disarmed."),))
    assert watched((0, old))[0] is None
    assert watched((0, replace(old, triggers=("HighErrorRate",))))[0] is Result.BLAMED
    other = replace(old, serving_since=BEGAN - 700, triggers=("HighErrorRate",))
    assert watched((0, other))[0] is None  # that was an earlier service of it


def test_the_exit_codes_are_those_of_the_documentation():
    codes = {result.value: code for result, code in EXIT_CODES.items()}
    assert codes == {"good": 0, "blamed": 1, "rolled_back": 3, "replaced": 4, "timed_out": 4}
