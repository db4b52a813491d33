"""The engine: nothing is lost between threads, nor when they end, and nothing is counted twice."""

import sys
import threading
import tracemalloc
from array import array

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rearguard_exporter.families import DB_UP, HTTP_ACTIVE, HTTP_DURATION, SOCKET_CONNECTIONS
from rearguard_exporter.values.slots import Slots

KEY = ("GET", "/a", "200", "")


@pytest.fixture
def hasty_threads():
    """Lets threads interrupt each other as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work, number):
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_lose_no_observation_while_others_read(hasty_threads):
    slots = Slots(HTTP_DURATION, 10)
    over = threading.Event()
    seen = []

    def read():
        while not over.is_set():
            seen.append(sum(slots.child(*KEY).counts()[:-1]))

    reader = threading.Thread(target=read)
    reader.start()

    def work():
        for _ in range(2000):
            slots.observe(KEY, 0.25)

    for _ in range(5):
        in_threads(work, 4)
    over.set()
    reader.join()
    counts = slots.child(*KEY).counts()
    assert counts[6] == 40000  # the bound 0.25 counts what is equal to it
    assert sum(counts[:-1]) == 40000
    assert counts[-1] == 10000
    assert seen == sorted(seen)  # never less than before, also while tables are folded


def test_what_ended_threads_counted_stays_and_their_tables_do_not():
    slots = Slots(SOCKET_CONNECTIONS, 10)
    for _ in range(200):
        in_threads(lambda: slots.child("/a").inc(), 1)
    assert len(slots._tables) < 50  # folded also when nobody scrapes
    assert slots.child("/a").counts()[0] == 200
    assert len(slots.tables()) == 2  # the past and this thread


def test_a_thread_that_ends_while_tables_are_folded_loses_nothing():
    slots = Slots(SOCKET_CONNECTIONS, 10)
    lives = [object()]  # when first asked; not when asked again
    ending, ended = {("/a",): array("d", [7.0])}, {("/a",): array("d", [2.0])}
    slots._tables += [(lambda: lives.pop() if lives else None, ending), (lambda: None, ended)]
    slots.tables()
    assert slots.child("/a").counts()[0] == 9


def test_a_gauge_raised_in_one_thread_and_lowered_in_another_is_even():
    slots = Slots(HTTP_ACTIVE, 10)
    in_threads(slots.child("GET", "http").inc, 3)
    slots.child("GET", "http").dec()
    assert slots.child("GET", "http").counts()[0] == 2


def test_a_gauge_that_is_set_is_what_was_set_last_by_whatever_thread():
    up = Slots(DB_UP, 10).child("orders")
    up.set(1)
    in_threads(lambda: up.set(0), 1)
    assert up.counts()[0] == 0
    up.set(1)
    assert up.counts()[0] == 1


def test_junk_beyond_the_limit_leaves_nothing_behind():
    slots = Slots(HTTP_DURATION, 2)
    for number in range(500):
        slots.observe(("GET", f"/{number}", "200", ""), 0.1)
    assert len(slots._mine.table) == 3
    assert slots.series() == 3 * 17
    assert slots.folded == 498
    assert sum(slots.child("GET", "/junk", "204", "").counts()[:-1]) == 498


def test_two_keys_of_one_text_are_one_series():
    slots = Slots(SOCKET_CONNECTIONS, 10)
    for value in ("nul\0", "nul\ufffd", "x" * 300, "x" * 200):
        slots.add((value,), 1)
    registry = CollectorRegistry()
    registry.register(slots)
    (family,) = registry.collect()
    assert {sample.labels["http_route"]: sample.value for sample in family.samples} == {"nul\ufffd": 2, "x" * 200: 2}


def test_a_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match="has the labels"):
        Slots(HTTP_ACTIVE, 10).child("GET")


def test_two_monitors_cannot_share_a_registry():
    registry = CollectorRegistry()
    registry.register(Slots(HTTP_DURATION, 10))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(Slots(HTTP_DURATION, 10))


def test_the_official_encoder_writes_them_too():
    slots = Slots(HTTP_DURATION, 10)
    slots.observe(KEY, 0.3)
    registry = CollectorRegistry()
    registry.register(slots)
    text = generate_latest(registry).decode()
    assert (
        'http_server_request_duration_seconds_bucket{error_type="",http_request_method="GET",'
        'http_response_status_code="200",http_route="/a",le="0.5"} 1.0' in text
    )


def test_a_histogram_child_stays_below_700_bytes_a_thread():
    slots = Slots(HTTP_DURATION, 10_000)
    keys = [("GET", f"/{number}", "200", "") for number in range(1000)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for key in keys:
            for seconds in (0.001, 0.02, 0.3, 20.0):
                slots.observe(key, seconds)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / len(keys) < 700
