"""What an older version showed beside a release clears the release for good: the shape of public incidents, replayed.

Here: pasts in the shape of those in which good releases were blamed for a dependency's fault, and those in which bad
releases must still be found.
"""

from dataclasses import replace

import pytest

from rearguard_controller.adapters.prometheus import AlertingRule, Rules
from rearguard_controller.backtest import compare, replay
from rearguard_controller.model import ReasonCode
from unit.controller.test_backtest import Made, begun, codes, shop

SECOND = 1 / 3600  # in hours
FIRES = 10.1


def both(*, shared=(10.0, 10.05), older_until=10.06, **fields):
    """v1 and v2 serve side by side from ten hours on, fail together for a while, and v2 fails on when v1 is gone."""
    made = Made((shop(**fields),)).serves("v1", 0, older_until).serves("v2", 9.99, 12)
    made.shows("v1", *shared, 0.3).shows("v2", shared[0], 12, 0.3)
    return made


def answer(report):
    return [
        next(each for each in record.decision.reasons if each.code is ReasonCode.NOT_SHOWN_BY_OLDER)
        for record in (*report.rollbacks, *report.left)
    ]


def test_a_release_is_cleared_of_what_the_version_before_showed_beside_it_when_that_one_is_gone():
    report = both().fires(FIRES, 12).judged()
    assert begun(report) == []
    assert "not_shown_by_older" in codes(report)
    first = answer(report)[0]
    assert first.holds is False
    assert "v1 showed it, too: 0.3 beside 0.3, threshold > 0.1" in first.detail


def test_a_release_is_cleared_of_what_the_version_before_showed_beside_it_when_that_one_shows_nothing():
    made = Made((shop(),)).serves("v1", 0, 12, figure=None).serves("v2", 9.99, 12)
    made.shows("v1", 0, 10.0, 0.0).shows("v1", 10.0, 10.05, 0.3).shows("v2", 10.0, 12, 0.3)
    assert begun(made.fires(FIRES, 12).judged()) == []


NEWEST, OVER_MINUTES, LIMIT = "version:errors:newest", "version:errors:over5m", "> service:errors:threshold"


def rule(name, figure, threshold):
    annotations = {"figure": figure, "threshold": threshold}
    return AlertingRule(name, "up", {"action": "rollback"}, annotations, 60.0, "ok", "", "release", 15.0)


@pytest.mark.parametrize(("threshold", "blamed"), [(LIMIT, False), ("> service:seconds:threshold", True)])
def test_a_short_fault_of_both_clears_the_release_of_an_alert_that_looks_back_for_longer(threshold, blamed):
    """The older version left before its own errors filled the longer window."""
    rules = Rules(alerting=(rule("ReleaseErrorRate", NEWEST, LIMIT), rule("High", OVER_MINUTES, threshold)))
    made = replace(both(), rules=rules).fires(FIRES, 12).fires(10.2, 12, name="High")
    world = made.world()
    curves = {
        key: tuple(with_threshold(each, older=key[1] == NEWEST) for each in known)
        for key, known in world.curves.items()
    }
    world = replace(world, curves=curves)
    assert len(curves) == 2
    assert bool(begun(compare(world, replay(world)))) is blamed


def with_threshold(curve, *, older):
    shown = curve.values if older else tuple(each for each in curve.values if each.labels["service_version"] == "v2")
    return replace(curve, today=0.1, values=shown)


@pytest.mark.parametrize("seconds", [5, 20])
def test_a_moment_in_which_both_failed_clears_nobody(seconds):
    """Shorter than the figure looks back, one failed request of a version with little traffic may be all of it."""
    end = 10.0 + seconds * SECOND
    made = both(shared=(10.0, end), older_until=10.05).shows("v1", end, 10.05, 0.0)
    report = made.fires(FIRES, 12).judged(settle=30.0)
    assert [each[:3] for each in begun(report)] == [("checkout", "v2", "v1")]


def test_with_enough_traffic_ten_seconds_are_enough():
    end = 10.0 + 20 * SECOND
    made = both(shared=(10.0, end), older_until=end).comparable("v1", "v2").fires(FIRES, 12)
    assert begun(made.judged(settle=30.0)) == []
    made = both(shared=(10.0, end), older_until=end).comparable("v2").fires(FIRES, 12)
    assert begun(made.judged(settle=30.0)) != []


def test_an_older_version_that_was_well_beside_it_clears_nobody():
    made = Made((shop(),)).serves("v1", 0, 10.06).serves("v2", 9.99, 12).shows("v2", 10.0, 12, 0.3)
    assert [each[:3] for each in begun(made.fires(FIRES, 12).judged())] == [("checkout", "v2", "v1")]


def test_an_older_version_that_failed_while_the_release_was_well_clears_nobody():
    """v2 is the fix of v1; what it shows an hour later is its own."""
    made = Made((shop(),)).serves("v1", 0, 10.06).serves("v2", 9.99, 12)
    made.shows("v1", 10.0, 10.06, 0.3).shows("v2", 11.0, 12, 0.3).fires(11.01, 12)
    assert [each[:3] for each in begun(made.judged())] == [("checkout", "v2", "v1")]


def test_a_figure_that_outlives_its_process_clears_nobody():
    made = Made((shop(),)).serves("v1", 0, 9.99).serves("v2", 9.991, 12)
    made.shows("v1", 10.0, 10.05, 0.3).shows("v2", 10.0, 12, 0.3)
    assert [each[:3] for each in begun(made.fires(FIRES, 12).judged())] == [("checkout", "v2", "v1")]


def test_a_version_that_was_rolled_away_from_clears_nobody():
    """v3 shows what v2 showed: v2's fault is its own, and v1 is where both lead back to."""
    made = Made((shop(),)).serves("v1", 0, 9.99).serves("v2", 10, 10.3).shows("v2", 10.05, 10.3, 0.3)
    made.fires(10.1, 10.2).serves("v3", 10.25, 12).shows("v3", 10.25, 12, 0.3).fires(10.35, 12, version="v3")
    assert [each[1] for each in begun(made.judged())] == ["v2", "v3"]


def test_after_both_were_well_side_by_side_a_fault_of_the_release_alone_is_its_own():
    made = Made((shop(),)).serves("v1", 0, 12).serves("v2", 9.99, 12)
    made.shows("v1", 10.0, 10.05, 0.3).shows("v2", 10.0, 10.05, 0.3).shows("v2", 10.5, 12, 0.3)
    assert [each[:3] for each in begun(made.fires(10.55, 12).judged())] == [("checkout", "v2", "v1")]


def test_without_that_a_fault_that_comes_again_is_not_blamed_on_the_release():
    made = both(shared=(10.0, 10.05), older_until=10.2).shows("v2", 10.05, 10.4, 0.0).shows("v1", 10.05, 10.2, 0.0)
    assert begun(made.fires(10.45, 12).judged()) == []


def test_an_older_version_near_its_threshold_neither_clears_nor_takes_back():
    made = both(older_until=10.2).shows("v1", 10.05, 10.2, 0.08)  # the threshold is 0.1
    assert begun(made.fires(10.15, 12).judged()) == []
