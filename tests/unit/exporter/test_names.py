"""Names of the application's own metrics, as each scheme writes them, and two that become one."""

import itertools

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rearguard_exporter import Monitor
from rearguard_exporter.exposition.names import Escaping, escaped

TEXT = ("text/plain;version=1.0.0", parse_text)
OPENMETRICS = ("application/openmetrics-text;version=1.0.0", parse_openmetrics)
SCHEMES = ("allow-utf-8", "underscores", "dots", "values")


@pytest.mark.parametrize(
    ("name", "underscores", "dots", "values"),
    [
        # From the examples by which Prometheus' own library tests its schemes.
        (
            "mysystem.prod.west.cpu.load_total",
            "mysystem_prod_west_cpu_load_total",
            "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
            "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
        ),
        ("http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"),
        ("label with 😱", "label_with__", "label__with____", "U__label_20_with_20__1f631_"),
        ("花火", "__", "____", "U___82b1__706b_"),
        ("no:escaping_required", "no:escaping_required", "no:escaping_required", "no:escaping_required"),
        ("1up", "_up", "__up", "U___31_up"),
    ],
)
def test_names_are_escaped_as_prometheus_does(name, underscores, dots, values):
    assert [escaped(name, Escaping(scheme)) for scheme in SCHEMES] == [name, underscores, dots, values]


@pytest.fixture
def expose():
    """The exposition of a monitor whose registry holds what is passed as functions of the registry."""
    monitors = []

    def show(accept, *fill, **settings):
        registry = CollectorRegistry()
        for each in fill:
            each(registry)
        monitors.append(Monitor("shop", "1.0", "test", registry=registry, **settings))
        return monitors[-1]._endpoints.metrics.render(accept, "").body.decode()

    yield show
    for monitor in monitors:
        monitor.close()


def everything(registry):
    Counter("shop.orders", "x", ["pay.kind"], registry=registry).labels("card").inc(2, exemplar={"trace.id": "1"})
    Gauge("größe", "x", ["größe"], registry=registry).labels("groß").set(1)
    Histogram("shop.latency", "x", registry=registry, buckets=(1,)).observe(0.5, exemplar={"trace.id": "1"})
    Summary("shop.summary", "x", registry=registry).observe(1)
    Info("shop.build", "x", registry=registry).info({"git.commit": "abc"})
    Gauge("job:legacy:sum", "x", registry=registry)


@pytest.mark.parametrize(("form", "scheme"), list(itertools.product((TEXT, OPENMETRICS), SCHEMES)))
def test_what_any_scheme_writes_is_read_back_by_the_official_parsers(expose, form, scheme):
    accept, parse = form
    text = expose(f"{accept};escaping={scheme}", everything)
    read = {sample.name: sample for family in parse(text) for sample in family.samples}
    expected = {
        "allow-utf-8": ("shop.orders_total", "pay.kind", "größe", "shop.latency_bucket", "shop.build_info"),
        "underscores": ("shop_orders_total", "pay_kind", "gr__e", "shop_latency_bucket", "shop_build_info"),
        "dots": (
            "shop_dot_orders__total", "pay_dot_kind", "gr____e", "shop_dot_latency_bucket", "shop_dot_build__info",
        ),
        "values": (
            "U__shop_2e_orders__total", "U__pay_2e_kind", "U__gr_f6__df_e", "U__shop_2e_latency_bucket",
            "U__shop_2e_build__info",
        ),
    }[scheme]  # fmt: skip
    orders, label, size, latency, build = expected
    assert (read[orders].labels, read[orders].value) == ({label: "card"}, 2)
    assert {size, latency, build, "job:legacy:sum", "target_info", "python_info"} <= read.keys()


CLASHES = {
    "of the very name": lambda registry: Histogram(
        "http.server.request.duration", "theirs", unit="seconds", registry=registry
    ),
    "of a sample": lambda registry: Gauge("http.server.request.duration.seconds.count", "theirs", registry=registry),
    "of a gauge": lambda registry: Gauge("target.info", "theirs", registry=registry),
    "of a counter": lambda registry: Counter("websocket.server.messages", "theirs", registry=registry),
}


class Oddly:
    """A collector whose sample has a name that its family does not tell."""

    def collect(self):
        metric = Metric("harmless", "theirs", "gauge")
        metric.add_sample("http.server.request.duration.seconds_sum", {}, 4711)
        yield metric


@pytest.mark.parametrize(
    "clash", [*CLASHES.values(), lambda registry: registry.register(Oddly())], ids=[*CLASHES, "odd"]
)
@pytest.mark.parametrize("accept", [TEXT[0], OPENMETRICS[0], "text/plain;version=0.0.4"])
def test_what_would_have_one_of_our_names_is_left_out(expose, accept, clash):
    text = expose(accept, clash)
    assert "theirs" not in text
    assert "4711" not in text
    assert text.count("# TYPE http_server_request_duration_seconds histogram") == 1


def test_a_scraper_that_reads_utf_8_gets_both_and_others_are_told_of_once(expose, caplog):
    accept, _ = OPENMETRICS
    assert "theirs" in expose(f"{accept};escaping=allow-utf-8", CLASHES["of the very name"])
    for _ in range(2):
        expose(accept, CLASHES["of the very name"])
    told = [record.getMessage() for record in caplog.records if "escaping=allow-utf-8" in record.getMessage()]
    assert len(told) <= 1  # none, where another test was first


def test_of_two_of_the_application_that_become_one_the_first_is_exposed(expose):
    def both(registry):
        Gauge("shop.queue", "earlier", registry=registry)
        Gauge("shop_queue", "later", registry=registry)

    text = expose(TEXT[0], both)
    assert "earlier" in text
    assert "later" not in text


def test_labels_that_would_become_one_cost_their_family_alone(expose):
    class Twice:
        def collect(self):
            family = GaugeMetricFamily("twice", "x", labels=["a.b", "a_b"])
            family.add_metric(["1", "2"], 1)
            yield family

    text = expose(TEXT[0], lambda registry: registry.register(Twice()), everything)
    assert "twice" not in text
    assert "shop_orders_total" in text
    assert "twice" in expose(f"{TEXT[0]};escaping=allow-utf-8", lambda registry: registry.register(Twice()))


def test_began_is_told_where_it_is_asked_for_and_by_openmetrics_alone(expose):
    fill = lambda registry: Counter("orders", "x", registry=registry).inc()  # noqa: E731
    assert "_created" not in expose(OPENMETRICS[0], fill)
    assert "_created" not in expose(TEXT[0], fill, created=True)
    text = expose(OPENMETRICS[0], fill, created=True)
    read = {sample.name for family in parse_openmetrics(text) for sample in family.samples}
    assert {"orders_created", "python_event_loop_lag_seconds_created"} <= read
