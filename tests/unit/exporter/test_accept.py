"""What scrapers ask for by their headers. The `Accept` values are those that Prometheus sends."""

import pytest

from rearguard_exporter.exposition.accept import DEFAULT_SECONDS, asked, seconds_allowed

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    f"escaping=allow-utf-8;q=0.7,{PROMETHEUS_3}"
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (PROMETHEUS_3_PROTOBUF, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        (f"{PROMETHEUS_3};escaping=values", f"{OPENMETRICS}; escaping=allow-utf-8"),
        ("application/openmetrics-text;version=1.0.0;escaping=dots", f"{OPENMETRICS}; escaping=dots"),
        ("text/plain;version=1.0.0;escaping=values", "text/plain; version=1.0.0; charset=utf-8; escaping=values"),
        # Version 0.0.4 has no way to write such names, and an unknown scheme is none.
        (
            "text/plain;version=0.0.4;escaping=allow-utf-8",
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        ),
        ("text/plain;version=1.0.0;escaping=rot13", "text/plain; version=1.0.0; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        # A `*` stands for what is not named.
        ("text/plain;q=0,*/*", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;q=0.5,*/*;q=0.9", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text,*/*", OPENMETRICS),
        ("application/openmetrics-text;q=0,*/*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;q=0,application/*;q=0.1,*/*;q=0", OPENMETRICS),
        ("text/html,*/*;q=0.8", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;q=nan,application/openmetrics-text;q=nan", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_best_form_that_the_scraper_names_is_the_one_it_gets(accept, content_type):
    assert asked(accept, "").headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("told", "allowed"), [("10", 9.0), ("1", 0.8), ("15.5", 14.5), ("0.5", 0.4), ("0.001", 0.1), ("300", 120.0)]
)
def test_collectors_have_a_bit_less_time_than_the_scraper(told, allowed):
    assert seconds_allowed(told) == pytest.approx(allowed)


@pytest.mark.parametrize("told", ["", "soon", "nan", "inf", "-1", "0", "1e999", "10,10"])
def test_a_scraper_that_does_not_say_how_long_it_waits_gets_the_default(told):
    assert seconds_allowed(told) == DEFAULT_SECONDS
