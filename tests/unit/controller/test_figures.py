"""Figures: from an alert to its condition, and from a condition to measurements; Prometheus is faked at the wire."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.prometheus import (
    AlertingRule,
    PrometheusAlert,
    RecordingRule,
    Rules,
    figures,
    promql,
    settle_seconds,
)
from rearguard_controller.adapters.prometheus.figures import threshold_for
from rearguard_controller.errors import SourceError
from rearguard_controller.model import AlertState, Condition, Measurement, Sample
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.current_figures import Reading, Row
from rearguard_controller.watching.thresholds_check import check as thresholds
from unit.controller.factories import MATCH, NOW, condition, target
from unit.controller.wire import version

FIGURE, THRESHOLD = "version:errors:ratio", "> service:errors:threshold"
ELSEWHERE = {**MATCH, "service_name": "payments"}


def firing(name: str = "ReleaseErrorRate", labels=None, **annotations: str) -> PrometheusAlert:
    return PrometheusAlert({"alertname": name, **MATCH, **(labels or {})}, annotations, AlertState.FIRING, NOW, 1.0)


def rule(name: str, query: str, **fields) -> AlertingRule:
    return AlertingRule(
        name, query, fields.get("labels", {}), fields.get("annotations", {}), 0.0, "ok", "", "release", 5.0
    )


def recording(name: str, query: str, interval: float = 5.0) -> RecordingRule:
    return RecordingRule(name, query, {}, "ok", "", "release", interval)


def of(figure: str = FIGURE, threshold: str = THRESHOLD) -> Condition:
    return condition(figure=figure, threshold=threshold)


# --- from an alert to its condition


def test_a_condition_is_the_figure_and_threshold_that_the_alert_declares():
    rules = Rules(recording=(recording(FIGURE, "rate(errors_total[1m])"),))
    found = figures.condition_of(firing(figure=f"  {FIGURE}\n", threshold=THRESHOLD), rules, target())
    assert found == Condition("ReleaseErrorRate", FIGURE, THRESHOLD, MATCH, settle=65.0, labels=MATCH)


def test_an_alert_without_a_figure_is_judged_by_the_expression_of_its_rule():
    rules = Rules(alerting=(rule("Other", "vector(1)"), rule("Custom", "rate(x[2m]) > 1")))
    found = figures.condition_of(firing("Custom"), rules, target())
    assert found == Condition("Custom", "rate(x[2m]) > 1", "exists", MATCH, settle=120.0, clears=125.0, labels=MATCH)


def test_of_rules_with_one_name_the_one_whose_labels_the_alert_carries_is_meant():
    rules = Rules(
        alerting=(rule("A", "one", labels={"severity": "warning"}), rule("A", "two", labels={"severity": "critical"}))
    )
    assert figures.condition_of(firing("A", {"severity": "critical"}), rules, target()).figure == "two"


@pytest.mark.parametrize("threshold", ["", "0.1", "== 1", ">", "above 3", "!= 2"])
def test_a_threshold_that_is_none_leaves_the_expression_of_the_rule_or_nothing(threshold):
    alert = firing(figure=FIGURE, threshold=threshold)
    assert figures.condition_of(alert, Rules(), target()) is None
    rules = Rules(alerting=(rule("ReleaseErrorRate", "x > 1"),))
    assert figures.condition_of(alert, rules, target()).threshold == "exists"


# --- selectors

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
HOSTILE = st.sampled_from(['"', "\\", '\\"', "\n", '"} or up{', "{", "}", "[5m]", "offset 1h", "`", "'", "#"])
VALUES = st.text(max_size=10) | st.lists(HOSTILE, max_size=5).map("".join)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_selector_reads_back_as_the_labels_whatever_their_values(labels):
    text = promql.selector_text(labels)
    assert "\n" not in text  # PromQL forbids a raw one in quotes
    pairs = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)=("(?:\\.|[^"\\])*")', text[1:-1], re.DOTALL)
    assert {name: json.loads(quoted, strict=False) for name, quoted in pairs} == labels
    assert text == "{" + ",".join(f"{name}={quoted}" for name, quoted in pairs) + "}"


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_the_value_of_a_label_never_counts_as_promql(labels):
    text = promql.selector_text(labels)
    assert settle_seconds(f"rate(x{text}[30s])", Rules()) == 30.0


def test_labels_of_a_selector_are_sorted_and_none_are_an_empty_one():
    assert promql.selector_text({"b": "2", "a": "1"}) == '{a="1",b="2"}'
    assert promql.selector_text({}) == "{}"
    assert promql.selector_text({'a="1"} or {b': "2", "c.d": "3"}) == r"""{"a=\"1\"} or {b"="2","c.d"="3"}"""
    assert promql.presence({"job": "shop"}) == 'target_info{job="shop"} or up{job="shop"}'


# --- now


@pytest.mark.parametrize(
    ("threshold", "values", "value", "past"),
    [
        ("> 0.1", [0.05, 0.3], 0.3, True),
        ("> 0.1", [0.1], 0.1, False),
        (">= 0.1", [0.1], 0.1, True),
        ("< 1", [0.0, 3.0], 0.0, True),
        ("< 1", [1.0], 1.0, False),
        ("<= 1", [1.0], 1.0, True),
        ("> 0.1", [], None, None),
        (THRESHOLD, [0.3], 0.3, True),
    ],
)
async def test_the_worst_value_is_compared_as_promql_does(wire, prometheus, threshold, values, value, past):
    wire.vectors = {
        FIGURE: [Sample(version(str(number)), each) for number, each in enumerate(values)],
        "service:errors:threshold": [Sample(ELSEWHERE, 0.5), Sample(MATCH, 0.2)],
    }
    found = await figures.measure(prometheus, of(threshold=threshold))
    assert (found.value, found.past) == (value, past)


async def test_only_the_target_and_the_version_that_are_asked_for_are_measured(wire, prometheus):
    wire.vectors = {
        FIGURE: [
            Sample(version("1.0"), 0.01),
            Sample(version("2.0"), 0.3),
            Sample({**ELSEWHERE, "service_version": "1.0"}, 0.9),
            Sample(MATCH | {"deployment_environment_name": "staging"}, 0.9),
        ]
    }
    plain = of(threshold="> 0.1")
    assert (await figures.measure(prometheus, plain)).value == 0.3
    assert (await figures.measure(prometheus, plain, version="1.0")).value == 0.01
    assert (await figures.measure(prometheus, plain, but_not="2.0")).value == 0.01
    gone = await figures.measure(prometheus, plain, version="0.9")
    assert gone == Measurement(None, 0.1, ">", None)  # no data is a third answer


@pytest.mark.parametrize("labels", [{}, MATCH])
async def test_a_figure_that_names_no_version_speaks_for_every_one(wire, prometheus, labels):
    wire.vectors = {FIGURE: [Sample(labels, 0.3)]}
    assert (await figures.measure(prometheus, of(threshold="> 0.1"), version="1.0")).past is True


async def test_without_a_threshold_for_the_target_nothing_is_past_or_not(wire, prometheus):
    wire.vectors = {FIGURE: [Sample(version("2.0"), 0.3)], "service:errors:threshold": [Sample(ELSEWHERE, 0.1)]}
    assert await figures.measure(prometheus, of()) == Measurement(0.3, None, ">", None)


async def test_an_expression_holds_while_it_returns_anything_and_is_over_only_where_something_is_scraped(
    wire, prometheus
):
    plain = of("x > 1", "exists")
    seen = promql.presence(MATCH)
    wire.vectors = {"x > 1": [Sample(version("2.0"), 7.0)], seen: []}
    assert (await figures.measure(prometheus, plain)).past is True
    wire.vectors = {"x > 1": [], seen: [Sample(version("1.0"), 1.0)]}
    assert (await figures.measure(prometheus, plain)).past is False
    wire.vectors = {"x > 1": [], seen: []}
    assert (await figures.measure(prometheus, plain)).past is None
    wire.vectors = {"x > 1": [], seen: [Sample(MATCH, 0.0), Sample({**MATCH, "instance": "b"}, 0.0)]}
    assert (await figures.measure(prometheus, plain)).past is None  # nothing is up that could show it


async def test_an_expression_is_over_for_a_version_only_where_that_version_is_up(wire, prometheus):
    plain, seen = of("x > 1", "exists"), promql.presence(MATCH)
    wire.vectors = {"x > 1": [], seen: [Sample(version("2.0"), 1.0)]}
    assert (await figures.measure(prometheus, plain, version="1.0")).past is None
    wire.vectors = {"x > 1": [], seen: [Sample(version("2.0"), 1.0), Sample(version("1.0"), 1.0)]}
    assert (await figures.measure(prometheus, plain, version="1.0")).past is False


async def test_a_refusing_prometheus_is_a_source_error(wire, prometheus):
    with pytest.raises(SourceError):
        await figures.measure(prometheus, of("no such thing"))


# --- over time


def since(moment: float, value: float = 0.3, before: float | None = 0.0) -> Callable[[float], float | None]:
    return lambda at: value if at >= moment else before


async def began(prometheus, wire, *functions, look_back: float = 3600.0, threshold: str = "> 0.1") -> float | None:
    wire.over_time = {FIGURE: {str(number): each for number, each in enumerate(functions)}}
    return await figures.episode_start(prometheus, of(threshold=threshold), NOW - look_back, NOW)


async def test_an_episode_begins_where_the_figure_went_past_the_threshold(wire, prometheus):
    assert await began(prometheus, wire, since(NOW - 600)) == pytest.approx(NOW - 600, abs=5)


async def test_a_short_relief_belongs_to_the_episode_and_a_long_one_ends_it(wire, prometheus):
    def with_relief(length: float):
        return lambda at: 0.0 if at < NOW - 900 or NOW - 300 <= at < NOW - 300 + length else 0.3

    assert await began(prometheus, wire, with_relief(40)) == pytest.approx(NOW - 900, abs=5)
    assert await began(prometheus, wire, with_relief(80)) == pytest.approx(NOW - 220, abs=5)


async def test_missing_data_longer_than_a_minute_ends_an_episode_too(wire, prometheus):
    function = lambda at: None if NOW - 300 <= at < NOW - 200 else 0.3  # noqa: E731  # one line says it
    assert await began(prometheus, wire, function) == pytest.approx(NOW - 200, abs=5)


async def test_a_condition_that_is_over_has_no_beginning(wire, prometheus):
    assert await began(prometheus, wire, lambda at: 0.3 if at < NOW - 70 else 0.0) is None
    assert await began(prometheus, wire, lambda _at: 0.0) is None
    assert await began(prometheus, wire, lambda _at: None) is None


async def test_an_episode_counts_whichever_version_it_was_about(wire, prometheus):
    old = lambda at: 0.3 if at < NOW - 300 else None  # noqa: E731
    new = lambda at: 0.3 if at >= NOW - 300 else None  # noqa: E731
    assert await began(prometheus, wire, old, new) == pytest.approx(NOW - 3600, abs=5)


@pytest.mark.parametrize("hours", [1, 6, 24])
async def test_a_long_look_back_still_finds_the_beginning(wire, prometheus, hours):
    beginning = NOW - hours * 1800
    found = await began(prometheus, wire, since(beginning), look_back=hours * 3600 + 600)
    assert found == pytest.approx(beginning, abs=hours * 5)


async def test_the_median_before_a_release_is_of_that_version_alone_and_none_without_data(wire, prometheus):
    wire.over_time = {FIGURE: {"1.0": lambda at: 0.9 if at < NOW - 400 else 0.2, "2.0": lambda _at: 0.9}}
    plain = of(threshold="> 0.1")
    found = await figures.median_over(prometheus, plain, NOW - 600, NOW, version="1.0")
    assert found.value == pytest.approx(0.2, abs=0.001)
    assert (found.threshold, found.operator, found.past) == (0.1, ">", True)
    nothing = await figures.median_over(prometheus, plain, NOW - 600, NOW, version="0.9")
    assert nothing == Measurement(None, 0.1, ">", None)


async def test_a_short_gap_before_a_release_does_not_make_the_version_before_look_sick(wire, prometheus):
    wire.over_time = {FIGURE: {"1.0": lambda at: 0.0 if NOW - 40 < at < NOW - 20 else 1.0}}
    found = await figures.median_over(prometheus, of(threshold="< 1"), NOW - 600, NOW, version="1.0")
    assert (found.value, found.past) == (1.0, False)


# --- for the dashboard


def test_declared_figures_are_listed_once_for_each_rule_that_has_a_usable_threshold():
    rules = [
        rule("A", "x", annotations={"figure": "f", "threshold": "> 1"}),
        rule("B", "x", annotations={"figure": "g"}),
        rule("C", "x", annotations={"figure": "h", "threshold": "high"}),
        rule("D", "x"),
    ]
    assert current_figures.keys_of(rules) == [("f", "> 1")]


async def test_a_row_holds_every_service_and_readings_are_the_targets_own(wire, prometheus):
    wire.vectors = {
        FIGURE: [Sample(version("1.0"), 0.0), Sample(version("2.0"), 0.3), Sample(ELSEWHERE, 0.9)],
        "service:errors:threshold": [Sample(ELSEWHERE, 0.5), Sample(MATCH, 0.2)],
    }
    declared = rule("ReleaseErrorRate", "x", annotations={"figure": FIGURE, "threshold": THRESHOLD})
    row = await current_figures.row(prometheus, (FIGURE, THRESHOLD), [declared])
    assert current_figures.threshold_in(row, MATCH) == 0.2
    assert current_figures.readings(row, MATCH) == [
        Reading("ReleaseErrorRate", "1.0", 0.0, ">", 0.2, past=False),
        Reading("ReleaseErrorRate", "2.0", 0.3, ">", 0.2, past=True),
    ]
    assert wire.asked == [FIGURE, "service:errors:threshold"]


def test_readings_without_a_threshold_are_neither_past_nor_not():
    row = Row("A", ">", (Sample(version("1.0"), 0.3),), ())
    assert [reading.past for reading in current_figures.readings(row, MATCH)] == [None]


SHIPPED = Path(__file__).parents[3] / "rules"


def recorded(*files):
    """What these files of ours record, as Prometheus lists it."""
    groups = [each for name in files for each in yaml.safe_load((SHIPPED / f"{name}.yml").read_text())["groups"]]
    return Rules(
        recording=tuple(
            RecordingRule(rule["record"], rule["expr"], {}, "ok", "", group["name"], 5.0)
            for group in groups
            for rule in group["rules"]
            if "record" in rule
        )
    )


@pytest.mark.parametrize(
    ("files", "values", "holds"),
    [
        (("thresholds", "recording", "release"), (), True),  # nobody shows the figure, so nobody has a threshold
        (("recording", "release"), (), False),
        (("thresholds", "release"), (), False),
        (("thresholds", "recording", "release"), (Sample(version("1.0"), 0.3),), False),
        (("thresholds", "recording", "release"), (Sample({"service_name": "other"}, 0.3),), False),
    ],
)
def test_where_nobody_shows_a_figure_it_is_enough_that_its_threshold_is_recorded(files, values, holds):
    """As where all services are measured by rules of their users alone, beside the shipped ones."""
    row = Row("HighErrorRate", ">", values, (), "service:http_error_ratio:threshold")
    assert thresholds(target(), [row], recorded(*files)).holds is holds


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [(">", [1, 3, 2], 3), (">=", [1, 3], 3), ("<", [1, 3], 1), ("<=", [2, 1], 1), (">", [], None)],
)
def test_the_worst_value_is_the_one_furthest_past(operator, values, expected):
    assert figures.worst(values, operator) == expected


def test_of_several_thresholds_the_one_that_shares_most_labels_counts():
    found = [Sample({}, 0.9), Sample({"service_name": "checkout"}, 0.7), Sample(dict(MATCH), 0.2)]
    assert threshold_for(found, MATCH) == 0.2
    assert threshold_for(found[:2], MATCH) == 0.7
    assert threshold_for(found[:1], MATCH) == 0.9
