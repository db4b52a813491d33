"""Durations are those of Prometheus."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rearguard_controller.errors import InvalidInputError
from rearguard_controller.times import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5_400.0),
        ("400d", 34_560_000.0),
        ("1w", 604_800.0),
        ("1y", 31_536_000.0),
        ("100ms", 0.1),
        ("1m100ms", 60.1),
        ("90s", 90.0),
        ("1y2w3d4h5m6s7ms", 31_536_000.0 + 1_209_600 + 259_200 + 14_400 + 300 + 6.007),
    ],
)
def test_a_prometheus_duration_is_read_in_seconds(text, seconds):
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "1m1h", "1h1h", "-1m", "1.5h", " 5m", "5m\n", "5 m", "m", "5M", "1d2", "٣m", "9" * 5000 + "s", "1000y"],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidInputError):
        durations.parse(text)


def test_a_bare_number_is_answered_with_the_units_it_may_lack():
    with pytest.raises(InvalidInputError) as caught:
        durations.parse("400")
    assert "400s" in caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (90.0, "1m30s"),
        (7_200.0, "2h"),
        (604_800.0, "1w"),
        (86_400.0 * 8, "8d"),
        (86_400.0 * 400, "400d"),
        (31_536_000.0, "1y"),
    ],
)
def test_seconds_are_written_as_prometheus_writes_them(seconds, text):
    assert durations.render(seconds) == text


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e12])
def test_what_is_no_duration_is_not_written(seconds):
    with pytest.raises(InvalidInputError):
        durations.render(seconds)


@given(st.integers(min_value=0, max_value=int(durations.LONGEST * 1000)))
def test_what_is_written_is_read_back_to_the_millisecond(milliseconds):
    assert round(durations.parse(durations.render(milliseconds / 1000)) * 1000) == milliseconds


@given(st.text())
@example("\U00018cd6" * 50)  # each is shown as ten characters
def test_no_text_raises_anything_but_the_typed_error(text):
    message = ""
    try:
        assert durations.parse(text) >= 0
    except InvalidInputError as error:
        message = error.message
    assert len(message) < 200
