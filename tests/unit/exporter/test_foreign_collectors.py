"""Collectors of the application that hang, fail or never end: what a scrape goes without, and what never waits."""

import threading
import time

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily

from rearguard_exporter import Monitor


class Far:
    """A collector that hangs while `hangs` is set. It knows how many asked it, also at once."""

    def __init__(self, name="far_queue_length"):
        self.name, self.hangs, self.answered = name, threading.Event(), threading.Event()
        self.asked = self.inside = self.most_inside = 0
        self.answered.set()

    def describe(self):
        return ()

    def collect(self):
        self.asked += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        if self.hangs.is_set():
            self.answered.wait(30)
        self.inside -= 1
        yield GaugeMetricFamily(self.name, "Messages.", value=1)


@pytest.fixture
def far():
    made = Far()
    yield made
    made.answered.set()


@pytest.fixture
def site(far):
    """The exposition of a monitor with this collector and two metrics, one before and one after it."""
    registry = CollectorRegistry()
    Gauge("before", "x", registry=registry)
    registry.register(far)
    Gauge("after", "x", registry=registry)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    yield monitor._endpoints.metrics
    monitor.close()


def hang(far):
    far.answered.clear()
    far.hangs.set()


def answer(far):
    far.hangs.clear()
    far.answered.set()


def collecting():
    return [thread for thread in threading.enumerate() if thread.name == "rearguard-collect"]


def scrape(site, seconds=0.4):
    """The names in an exposition, and the seconds that it took."""
    began = time.monotonic()
    text = site.render("", "", seconds).body.decode()
    took = time.monotonic() - began
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}, took, text


def test_a_collector_that_hangs_costs_its_own_families_and_the_first_scrape_its_time(site, far, caplog):
    assert "far_queue_length" in scrape(site)[0]
    hang(far)
    for most in (2.0, 0.3, 0.3):  # only the first one waits
        names, took, text = scrape(site)
        assert {"target_info", "process_cpu_seconds_total", "before", "after"} <= names
        assert "far_queue_length" not in names
        assert took < most
    name = "test_foreign_collectors.Far"
    assert f'rearguard_exporter_collector_timeouts_total{{collector="{Far.__module__}.Far"}} 3.0' in text
    assert len([record for record in caplog.records if name in record.getMessage()]) == 1


def test_it_is_asked_again_once_it_has_answered_and_never_twice_at_once(site, far):
    hang(far)
    threads = [threading.Thread(target=scrape, args=(site,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (far.asked, far.most_inside) == (1, 1)
    answer(far)
    deadline = time.monotonic() + 30
    while "far_queue_length" not in scrape(site)[0]:
        assert time.monotonic() < deadline


def test_collectors_that_hang_leave_one_thread_each_and_none_when_they_have_answered(far):
    registry, more = CollectorRegistry(), [Far(f"far_{number}") for number in range(3)]
    for each in more:
        hang(each)
        registry.register(each)
    Gauge("after", "x", registry=registry)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    before = len(collecting())
    try:
        for _ in range(6):
            names, _, _ = scrape(monitor._endpoints.metrics)
        assert "after" in names
        assert len(collecting()) <= len(more) + 1  # and one that waits for the next scrape
    finally:
        for each in more:
            answer(each)
        monitor.close()
    deadline = time.monotonic() + 30
    while len(collecting()) > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_scrape_with_little_time_is_not_held_up_by_one_with_much(site, far):
    hang(far)
    patient = threading.Thread(target=scrape, args=(site, 20.0))
    patient.start()
    while far.inside == 0:
        time.sleep(0.001)
    names, took, _ = scrape(site, 0.5)
    assert {"target_info", "after"} <= names
    assert took < 2
    patient.join(30)
    assert not patient.is_alive()


def test_scrapers_without_any_time_do_not_cut_others_short(site, far):
    far.hangs.set()
    far.answered.clear()
    patient = threading.Thread(target=lambda: found.append(scrape(site, 20.0)))
    found = []
    patient.start()
    while far.inside == 0:
        time.sleep(0.001)
    for _ in range(5):
        scrape(site, 0.001)
    answer(far)
    patient.join(30)
    assert "far_queue_length" in found[0][0]


def test_neither_exit_nor_a_collection_without_end_reaches_the_scrape(far):
    class Exits:
        def collect(self):
            raise SystemExit

    class Endless:
        def collect(self):
            while True:
                time.sleep(0.01)
                yield GaugeMetricFamily("endless", "x", value=1)

    registry = CollectorRegistry()
    for each in (Exits(), Endless(), far):
        registry.register(each)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    try:
        names, _, _ = scrape(monitor._endpoints.metrics)
        assert {"target_info", "far_queue_length"} <= names
    finally:
        monitor.close()


class Nameless:
    name, type, documentation, unit, samples = ["no name"], "gauge", "", "", ()


class Gives:
    def __init__(self, given):
        self.given = given

    def collect(self):
        return self.given


@pytest.mark.parametrize(
    "given", [[1, None, object()], "text", {"key": 1}, [Nameless()], None, 5], ids=lambda given: type(given).__name__
)
def test_what_is_no_family_costs_nothing_else(given, far):
    registry = CollectorRegistry()
    for each in (Gives(given), far):
        registry.register(each)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    try:
        names, _, _ = scrape(monitor._endpoints.metrics)
        assert {"target_info", "process_cpu_seconds_total", "far_queue_length"} <= names
    finally:
        monitor.close()


def test_a_collector_that_gives_families_quickly_without_end_leaves_the_time_to_write_them(far):
    def families():
        while True:
            yield GaugeMetricFamily("endless", "x", value=1)

    registry = CollectorRegistry()
    for each in (Gives(families()), far):
        registry.register(each)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    try:
        names, took, _ = scrape(monitor._endpoints.metrics, 8.0)
        assert {"target_info", "endless", "far_queue_length"} <= names
        assert took < 8.0
    finally:
        monitor.close()


def test_a_late_collector_does_not_hold_up_the_dashboard(far):
    registry = CollectorRegistry()
    registry.register(far)
    monitor = Monitor("shop", "1.0", "test", registry=registry)
    hang(far)
    waiting = monitor._endpoints.metrics.submit("", "", 30.0)
    try:
        while far.inside == 0:
            time.sleep(0.001)
        assert monitor._endpoints.dashboard.submit().result(5)["service"] == "shop"
        assert not waiting.done()
    finally:
        answer(far)
        monitor.close()


def test_without_any_further_thread_the_own_families_are_there(site, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert "target_info" in scrape(site)[0]
