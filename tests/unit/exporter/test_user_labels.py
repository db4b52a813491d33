"""Labels that the user adds, and paths that are not measured, fed by strangers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_exporter import Monitor
from rearguard_exporter.traffic.excluded_paths import ExcludedPaths
from rearguard_exporter.values.user_labels import RequestLabels, constant, parse_pairs


class Folded:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


class Hostile(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError


@given(st.lists(st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.floats(), st.lists(st.text()))))
def test_whatever_a_hook_returns_there_are_no_more_values_than_allowed(returned):
    folded, values = Folded(), set()
    labels = RequestLabels({"plan": lambda value: value[0]}, 3, folded)
    for value in returned:
        (shown,) = labels.of((value,))
        values.add(shown)
        shown.encode()
    assert len(values - {"", "__overflow__"}) <= 3
    assert ("__overflow__" in values) == (folded.count > 0)


@pytest.mark.parametrize(
    "value", [object(), {}, [], pytest.param(Hostile("x"), id="hostile"), pytest.param(10**5000, id="long"), str]
)
def test_what_is_no_text_is_an_empty_value(value):
    assert RequestLabels({"plan": lambda _: value}, 3, Folded()).of("request") == ("",)


@pytest.mark.parametrize("raised", [KeyError, asyncio.CancelledError])
def test_a_hook_that_raises_costs_no_request_and_no_other_label(raised):
    def broken(_):
        raise raised

    labels = RequestLabels({"plan": broken, "region": lambda _: "eu", "tier": lambda _: 1}, 3, Folded())
    assert labels.of("request") == ("", "eu", "1")
    assert labels.of(None) == ("", "", "")


def test_values_beyond_the_limit_fold_and_are_counted_while_known_ones_stay():
    folded = Folded()
    labels = RequestLabels({"plan": lambda value: value}, 2, folded)
    shown = [labels.of(value)[0] for value in ("a", "b", "c", "a", "d")]
    assert shown == ["a", "b", "__overflow__", "a", "__overflow__"]
    assert folded.count == 2


@pytest.mark.parametrize("name", ["le", "http_route", "service_name", "__name", "with-dash", "1st", "", "ä", 7])
def test_a_name_that_cannot_be_a_label_beside_ours_is_refused(name):
    with pytest.raises(ValueError, match="label"):
        constant({name: "x"})
    with pytest.raises(ValueError, match="label"):
        Monitor("shop", "1.0", "test", request_labels={name: str})


def test_a_label_is_constant_or_of_requests_not_both():
    with pytest.raises(ValueError, match="region"):
        Monitor("shop", "1.0", "test", labels={"region": "eu"}, request_labels={"region": str})


def test_constant_labels_come_from_the_environment_too():
    assert parse_pairs(" region = eu ,zone=a=b,") == {"region": "eu", "zone": "a=b"}
    with pytest.raises(ValueError, match="region"):
        parse_pairs("region")


def test_excluded_paths_are_exact_or_begin_so():
    excluded = ExcludedPaths(["/health", "/static/*"])
    asked = ("/health", "/health/", "/healthy", "/static/", "/static/a/b.css", "/static", "/", "")
    assert [path for path in asked if path in excluded] == ["/health", "/static/", "/static/a/b.css"]
    assert "/anything" in ExcludedPaths(["/*"])


@pytest.mark.parametrize("pattern", ["health", "", "/a*b", "*", "/a**"])
def test_a_pattern_that_would_mean_something_else_is_refused(pattern):
    with pytest.raises(ValueError, match="excluded path"):
        ExcludedPaths([pattern])
