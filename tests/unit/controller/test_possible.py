"""What a rule's alerts could carry: the question that is asked for it, and what an expression reads in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.prometheus import AlertingRule, RecordingRule, Rules, possible


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ("errors > 0.1", "errors > bool  0.1"),
        ("errors >= bool 1", "errors >= bool 1"),
        ("a > on (job) group_left () b", "a > bool  on (job) group_left () b"),
        ("a != 0 and b == 1", "a != bool  0 and b == bool  1"),
        ("a > 1 unless on (job) (b or c) or d < 2", "a > bool  1 or d < bool  2"),
        ("max by (job) (a > 1 unless b) > 2", "max by (job) (a > bool  1 ) > bool  2"),
        ('up{job=~"a>b|c"} == 0', 'up{job=~"a>b|c"} == bool  0'),
        ('absent(up{job="orders", code=~"5.."})', 'absent(rearguard_no_such_series{job="orders"})'),
        ('absent_over_time(x{a="b"}[5m]) or y', 'absent(rearguard_no_such_series{a="b"}) or y'),
        ("a and version:service:young", "a and version:service:first_seen"),
        ("a > # more > than\n 1", "a > bool  # more > than\n 1"),
    ],
)
def test_what_an_expression_compares_is_asked_without_its_comparisons(expression, asked):
    assert possible.compared(expression) == asked


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ('rate(r{job="a", code=~"5.."}[1m])', 'rate(r{job="a",code!=""}[1m])'),  # nothing without one has an outcome
        ('r{code="500"}', 'r{code!=""}'),
        ('r{code!~"2..", job="a"}', 'r{job="a"}'),
        ('r{exception="Timeout"}', "r{}"),  # there while something fails, at some
        ('r_bucket{le="0.5"}', 'r_bucket{le="0.5"}'),  # there from the start, or never
        ('{__name__="r", error_type!="", job="a"}', '{__name__="r",job="a"}'),
        ('r{encode="x"}', 'r{encode="x"}'),
        ('r{job="code=5"}', 'r{job="code=5"}'),
    ],
)
def test_a_healthy_service_is_asked_for_without_the_outcomes_that_it_never_had(expression, asked):
    assert possible.compared(expression, whatever_outcome=True).replace(" ", "") == asked.replace(" ", "")


RECORDED = Rules(
    recording=tuple(
        RecordingRule(name, query, {}, "ok", "", "g", 5.0)
        for name, query in {
            "who": "topk by (job) (1, timestamp(target_info{service_name!=''}))",
            "seen": "sum by (job) (up * on (job) group_left (service_name) last_over_time(who[4s]))",
            "ratio": "sum without (code) (rate(failures{a='x'}[1m])) / on (job) rate(requests[1m] offset 5m) > seen",
            "loop": "loop + floor",
        }.items()
    )
)


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ("seen", {"up", "target_info"}),
        ("ratio > bool 0.1", {"failures", "requests", "up", "target_info"}),
        ("loop", {"floor"}),
        ('{__name__="direct", job="x"} > inf', {"direct"}),
        ("vector(1)", set()),
    ],
)
def test_recorded_names_are_followed_to_the_metrics_that_are_read(expression, metrics):
    assert possible.raw_metrics(expression, RECORDED) == metrics


def test_what_is_recorded_of_native_histograms_stands_beside_what_is_scraped():
    natively = RecordingRule("r_count", "histogram_count(r)", {"histogram": "native"}, "ok", "", "g", 5.0)
    assert possible.raw_metrics("rate(r_count[1m])", Rules(recording=(natively,))) == {"r_count", "r"}


@pytest.mark.parametrize(
    ("expression", "presence_only"),
    [("seen < 1", True), ("scrape_samples_scraped == 0", True), ("ratio", False), ("vector(1) > up", True)],
)
def test_what_reads_only_that_something_is_there_says_nothing_of_how_it_is(expression, presence_only):
    assert possible.tells_presence_only(expression, RECORDED) is presence_only


@pytest.mark.parametrize(
    ("worn", "labels", "unforeseen"),
    [
        ({"team": "web"}, {"team": "web", "job": "a"}, set()),
        ({"app": "{{ $labels.job }}"}, {"app": "a", "job": "a"}, set()),
        ({"app": "x-{{ .Labels.job }}"}, {"app": "x-a", "job": "a"}, set()),
        ({"job": "fixed"}, {"job": "fixed"}, set()),
    ],
)
def test_an_alert_has_the_labels_of_its_sample_and_those_of_its_rule(worn, labels, unforeseen):
    rule = AlertingRule("Errors", "errors", worn, {}, 0.0, "ok", "", "g", 5.0)
    found, names = possible.alert_labels(rule, {"__name__": "errors", "job": "a"})
    assert (found, names) == ({**labels, "alertname": "Errors"}, unforeseen)


def test_a_label_that_is_computed_cannot_be_foreseen():
    severity = "{{ if gt $value 0.5 }}critical{{ else }}warning{{ end }}"
    rule = AlertingRule("Errors", "errors", {"severity": severity}, {}, 0.0, "ok", "", "g", 5.0)
    assert possible.alert_labels(rule, {})[1] == {"severity"}


@given(st.text(alphabet="ab(){}[],><=!\"'` unlesor#\n0", max_size=60))
def test_no_text_breaks_the_scan(text):
    possible.compared(text, whatever_outcome=True)
    possible.raw_metrics(text, RECORDED)
