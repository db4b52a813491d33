"""The page's pictures: a line only where there is data, names that can be read, limits that move."""

import math
from itertools import pairwise

import pytest

from rearguard_controller.page import chart
from rearguard_controller.page.chart import Fired, Moment, Period, Served

HOUR = Period(1_000_000.0, 1_003_600.0)


def line(start, end, value=0.3, step=15.0):
    return [(start + number * step, value) for number in range(int((end - start) / step) + 1)]


def of(points, limit=(), step=15.0):
    return chart.figure([("v1", points)], limit, HOUR, step)


def pieces(drawn):
    return [
        [tuple(float(number) for number in point.split(",")) for point in piece.split()]
        for each in drawn["lines"]
        for piece in each["pieces"]
    ]


def test_a_gap_stays_a_gap_and_a_single_point_can_be_seen():
    points = [*line(HOUR.start, HOUR.start + 600), *line(HOUR.start + 1200, HOUR.start + 1800), (HOUR.end - 60, 0.3)]
    found = pieces(of(points))
    assert len(found) == 3
    first, second, alone = found
    assert first[-1][0] < second[0][0]
    assert len(alone) == 2
    assert alone[1][0] > alone[0][0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_data(value):
    assert of([(HOUR.start + number * 15, value) for number in range(9)])["lines"] == []
    mixed = [*line(HOUR.start, HOUR.start + 60), (HOUR.start + 75, value), *line(HOUR.start + 90, HOUR.start + 150)]
    assert len(pieces(of(mixed))) == 2


def test_values_and_limit_stand_in_their_order_and_inside_the_picture():
    drawn = of(
        [*line(HOUR.start, HOUR.start + 60, -5.0), *line(HOUR.start + 300, HOUR.end, 20.0)], [(HOUR.start, 8.0)]
    )
    levels = [y for piece in pieces(drawn) for _, y in piece]
    assert min(levels) < drawn["limit"]["y"] < max(levels)
    assert all(chart.TOP <= each <= chart.HEIGHT - chart.BOTTOM for each in levels)
    assert drawn["limit"]["told"] == "8"


def test_a_limit_that_moves_is_drawn_as_it_moved():
    limit = [*line(HOUR.start, HOUR.start + 600, 0.1), *line(HOUR.start + 615, HOUR.end, 0.2)]
    drawn = of(line(HOUR.start, HOUR.end), limit)
    assert drawn["limit"]["told"] == "0.1 to 0.2"
    assert len(drawn["limit"]["pieces"]) == 1


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0])
def test_a_figure_that_never_changes_has_a_place(value):
    (piece,) = pieces(of(line(HOUR.start, HOUR.end, value)))
    assert all(chart.TOP <= y <= chart.HEIGHT - chart.BOTTOM for _, y in piece)


def test_what_lies_outside_of_the_time_is_left_out_and_what_reaches_into_it_is_cut():
    served = [
        Served("v1", 0.0, HOUR.start + 60),
        Served("v2", HOUR.start + 60, HOUR.end),
        Served("v3", HOUR.end, 2e6),
    ]
    assert [each["version"] for each in chart.bands(served, HOUR)] == ["v1", "v2"]
    assert chart.bands(served, HOUR)[0]["x"] == chart.LEFT
    moments = [Moment(at, str(at), "") for at in (0.0, HOUR.start + 1, 2e9)]
    assert [each["told"] for each in chart.marks(moments, HOUR)] == [str(HOUR.start + 1)]
    lanes = chart.lanes([Fired("A", 0.0, HOUR.start + 9), Fired("B", 0.0, 9.0)], moments, HOUR)
    assert [each["name"] for each in lanes] == ["A", "decisions"]


def test_names_that_would_stand_on_one_another_are_left_out():
    moments = [Moment(HOUR.start + 60 * number, "put back", "step", name="v1 put back") for number in range(60)]
    named = [each["x"] for each in chart.marks(moments, HOUR) if each["name"]]
    assert len(named) > 2
    assert all(after - before >= chart.APART for before, after in pairwise(named))
