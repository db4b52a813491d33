"""The points of a range answer: read together, as each alone, and nothing else is let in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters import foreign_json
from rearguard_controller.adapters.foreign_json import ShapeError

TEXTS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers().map(str),
    st.sampled_from(
        ["NaN", "+Inf", "-Inf", "Inf", "1e+00", "0", ".5", "5.", "1,2", "1_0", "nan", "", " 1", "1e", "--1"]
    ),
    st.text("0123456789.eE+-,_ naNIf", max_size=5),
)
TIMES = st.one_of(
    st.floats(0, 4e9), st.integers(0, 4_000_000_000), st.sampled_from([1e18, -1e18, True, "5", None, float("inf")])
)
PAIRS = st.one_of(
    st.tuples(TIMES, TEXTS).map(list),
    st.sampled_from([[], [1], [1, "2", 3], "12", None, {}, {"a": 1, "b": 2}, 5, [1, 2]]),
)


def each_alone(values):
    try:
        points = [foreign_json.point(value, "p") for value in values]
    except ShapeError:
        return "refused"
    return tuple(each for each in points if not math.isnan(each[1]))


def together(values):
    try:
        return foreign_json.points(values, "p")
    except ShapeError:
        return "refused"


@given(st.lists(PAIRS, max_size=6))
def test_points_read_together_are_those_read_one_by_one_and_the_same_is_refused(values):
    assert together(values) == each_alone(values)


@pytest.mark.parametrize("bad", ["1,2", "1_0", "nan", "inf", " 1", "", None, 5j])
def test_one_value_that_is_no_number_refuses_all(bad):
    with pytest.raises(ShapeError, match="is no number"):
        foreign_json.points([[1.0, "1"], [2.0, bad], [3.0, "3"]], "p")


def test_what_has_no_value_is_left_out():
    assert foreign_json.points([[1, "NaN"], [2, "0.5"], [3, "NaN"]], "p") == ((2.0, 0.5),)
    assert foreign_json.points([[1, "NaN"]], "p") == ()


def test_a_long_answer_is_read_whole_and_one_bad_value_anywhere_refuses_it():
    values = [[number, "NaN" if number % 7 == 0 else f"{number}e-3"] for number in range(12_000)]
    assert foreign_json.points(values, "p") == tuple((float(n), n / 1000) for n in range(12_000) if n % 7)
    values[9_000] = [9_000, "nan"]
    with pytest.raises(ShapeError, match="is no number"):
        foreign_json.points(values, "p")
