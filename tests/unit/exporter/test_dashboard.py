"""The dashboard document: sums, quantiles, reasons."""

import json
import time

import psutil
import pytest
from prometheus_client import CollectorRegistry

from rearguard_exporter import Monitor
from rearguard_exporter.endpoints.dashboard import build, memory_used, totals
from rearguard_exporter.endpoints.status import Status, Totals
from rearguard_exporter.endpoints.sums import quantile
from rearguard_exporter.identity import Identity
from rearguard_exporter.values.instruments import Instruments

INF = float("inf")


@pytest.mark.parametrize(
    ("rank", "buckets", "expected"),
    [
        # What Prometheus' histogram_quantile gives for the same buckets, worked out by hand.
        (0.95, [], None),
        (0.95, [(1.0, 0), (INF, 0)], None),
        (0.5, [(1.0, 0), (2.0, 10), (INF, 10)], 1.5),
        (0.95, [(0.1, 90), (0.5, 100), (INF, 100)], 0.3),
        (0.95, [(0.1, 100), (INF, 100)], 0.095),
        (0.95, [(0.1, 10), (INF, 100)], 0.1),
        (0.5, [(0.1, 50), (0.2, 50), (0.3, 100), (INF, 100)], 0.1),
    ],
)
def test_quantiles_are_those_of_prometheus(rank, buckets, expected):
    assert quantile(rank, buckets) == (None if expected is None else pytest.approx(expected))


def document(instruments):
    verdict = (Status.HEALTHY, ())
    built = build(Identity("shop", "1.0", "test"), 12.3456, verdict, instruments, {}, {}, [])
    return json.loads(json.dumps(built))


def test_one_endpoint_adds_up_its_answers_and_errors():
    instruments = Instruments(CollectorRegistry(), 100)
    durations = instruments.http_duration
    for _ in range(3):
        durations.child("GET", "/a", "200", "").observe(0.2)
    durations.child("GET", "/a", "500", "KeyError").observe(0.6)
    durations.child("GET", "/a", "404", "").observe(0.2)
    durations.child("POST", "/a", "201", "").observe(1)
    durations.child("POST", "/a", "200", "ValueError").observe(1)  # a stream that broke
    get, post = document(instruments)["endpoints"]
    assert (get["route"], get["method"], get["count"], get["errors"]) == ("/a", "GET", 5, 1)
    assert get["mean_s"] == pytest.approx(0.28)
    assert (post["method"], post["count"], post["errors"]) == ("POST", 2, 1)


@pytest.mark.parametrize(
    ("status", "error_type", "fails"),
    [
        ("101", "", 0),
        ("200", "", 0),
        ("200", "OSError", 1),  # the body broke after its head
        ("302", "", 0),
        ("302", "OSError", 1),
        ("404", "", 0),
        ("404", "404", 0),
        ("422", "ValueError", 0),
        ("4xx", "__overflow__", 0),
        ("499", "", 0),
        ("500", "", 1),
        ("503", "RuntimeError", 1),
        ("5xx", "", 1),
    ],
)
def test_a_failure_is_what_the_rules_count_as_one(status, error_type, fails):
    instruments = Instruments(CollectorRegistry(), 10)
    instruments.http_duration.child("GET", "/a", status, error_type).observe(0.1)
    assert totals(instruments).errors == fails


def test_totals_are_what_was_counted():
    instruments = Instruments(CollectorRegistry(), 100)
    instruments.http_duration.observe(("GET", "/a", "200", ""), 0.5)
    instruments.http_duration.observe(("GET", "/a", "503", "503"), 1.5)
    instruments.db_duration.observe(("postgresql", "orders", "SELECT", ""), 2.0)
    for reason in ("abnormal", "abnormal", "clean"):
        instruments.socket_disconnects.child("/ws", reason).inc()
    assert totals(instruments) == Totals(2, 1, 2.0, 1, 2.0, 3, 2)


def test_the_memory_used_is_unknown_until_it_was_measured():
    assert memory_used({}) is None
    assert memory_used({"process_memory_usage_bytes": 30.0, "process_memory_limit_bytes": 120.0}) == 0.25


def test_the_window_moves_on_whatever_the_figures_of_the_process_do(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monitor = Monitor("shop", "1.0", "test")
    durations = monitor._instruments.http_duration

    def refuse():
        raise PermissionError("/proc/meminfo")

    monkeypatch.setattr(monitor._endpoints.dashboard._figures, "_process", None)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(psutil, "Process", refuse)
    monkeypatch.setattr(psutil, "cpu_times", refuse)
    for _ in range(100):
        durations.child("GET", "/a", "500", "KeyError").observe(0.1)
    monitor._endpoints.dashboard.sample()
    assert monitor._endpoints.dashboard.document()["status"] == "unhealthy"
    for _ in range(130):
        now += 5
        monitor._endpoints.dashboard.sample()
    assert monitor._endpoints.dashboard.document()["status"] == "healthy"
