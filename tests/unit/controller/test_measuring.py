"""Measuring: how the version before is compared, with Prometheus faked at the wire."""

import pytest

from rearguard_controller.adapters.prometheus.promql import presence
from rearguard_controller.facts.measurements import measure, measure_before
from rearguard_controller.model import Sample
from unit.controller.factories import DEPLOYED, MATCH, NOW, condition, facts, good, serving, state
from unit.controller.wire import version

FIGURE = "version:up:sum"
DOWN = condition(figure=FIGURE, threshold="< 1")


async def before(prometheus, of=None):
    """What is known of the version before."""
    known = of or facts(state=state(changed_after=DEPLOYED - 20))
    found = await measure_before(prometheus, DOWN, known.target, lambda: NOW)
    return found.value, found.detail


def up(wire, **values):
    """Which versions are scraped now; the figure still has a value of the version before."""
    wire.vectors = {
        FIGURE: [Sample(version("1.0"), values.pop("figure_of_v1", 0.0)), Sample(version("2.0"), 0.0)],
        presence(MATCH): [Sample(version(name.replace("v", "") + ".0"), 1.0) for name in values],
    }


async def test_a_version_that_serves_no_more_is_judged_by_the_time_before_the_release(wire, prometheus):
    """The release crashed at once on the same address: the figure outlives the process that it was about."""
    up(wire)
    wire.over_time = {FIGURE: {"1.0": lambda at: 1.0 if at < DEPLOYED - 20 else 0.0}}
    measured, words = await before(prometheus)
    assert (measured.value, measured.past) == (1.0, False)
    assert words.startswith("in the ten minutes before the release")


async def test_where_both_versions_serve_they_are_compared_now(wire, prometheus):
    up(wire, v1=1, v2=1, figure_of_v1=0.0)
    wire.over_time = {FIGURE: {"1.0": lambda _at: 1.0}}
    measured, words = await before(prometheus)
    assert (measured.value, measured.past) == (0.0, True)
    assert words.startswith("beside the new version")


@pytest.mark.parametrize("restart", [7, 29])
async def test_the_gap_of_the_restart_is_not_held_against_the_version_before(wire, prometheus, restart):
    up(wire, v2=1)
    wire.over_time = {FIGURE: {"1.0": lambda at: 1.0 if at < DEPLOYED - restart else 0.0}}
    measured, _ = await before(prometheus)
    assert measured.past is False


async def test_a_version_before_that_was_sick_for_most_of_the_time_was_sick(wire, prometheus):
    up(wire, v2=1)
    wire.over_time = {FIGURE: {"1.0": lambda at: 1.0 if at < DEPLOYED - 400 else 0.0}}
    measured, _ = await before(prometheus)
    assert measured.past is True


async def test_without_a_known_service_version_nothing_is_compared(wire, prometheus):
    unnamed = facts(releases=(good("v1"), serving("v2", service_version="2.0")))
    measured, why = await before(prometheus, unnamed)
    assert measured is None
    assert "service_version" in why


RATIO = condition(figure="version:http_error_ratio:over1m", threshold="> 0.1")


async def own(prometheus, **fields):
    """The service_versions that alone showed a condition which began before `current` named the release."""
    known = facts(state=state(changed_after=DEPLOYED - 15), **fields)
    found = await measure(prometheus, RATIO, known, lambda: NOW)
    began, labels = found.since, found.since_own
    return began < DEPLOYED - 15, labels


def failing_since(moment):
    return lambda at: 0.5 if at >= moment else 0.0


async def test_instances_of_a_release_that_fail_before_current_names_it_do_not_clear_it_of_blame(wire, prometheus):
    wire.over_time = {RATIO.figure: {"1.0": lambda _at: 0.0, "2.0": failing_since(DEPLOYED - 90)}}
    assert await own(prometheus) == (True, ("2.0",))


async def test_a_fault_that_the_version_before_showed_as_well_is_not_the_releases_own(wire, prometheus):
    wire.over_time = {RATIO.figure: {"1.0": failing_since(DEPLOYED - 60), "2.0": failing_since(DEPLOYED - 90)}}
    assert await own(prometheus) == (True, ())


async def test_a_fault_that_the_version_before_showed_to_its_end_is_not_the_releases_own(wire, prometheus):
    to_its_end = {"1.0": lambda at: 0.5 if DEPLOYED - 200 <= at < DEPLOYED - 10 else None}
    wire.over_time = {RATIO.figure: {**to_its_end, "2.0": lambda at: 0.5 if at >= DEPLOYED else None}}
    assert await own(prometheus) == (True, ())


async def test_a_figure_under_a_label_that_both_versions_may_show_is_not_the_releases_own(wire, prometheus):
    wire.over_time = {RATIO.figure: {"2.0": failing_since(DEPLOYED - 90)}}
    same = (good("v1", service_version="2.0"), serving("v2", service_version="2.0"))
    assert await own(prometheus, releases=same) == (True, ())
