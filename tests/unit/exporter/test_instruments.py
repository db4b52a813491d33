"""Children, their limit and what folding keeps."""

import sys
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from rearguard_exporter.values.instruments import Instruments
from rearguard_exporter.values.label_values import MAX_VALUE_LENGTH, clean


def instruments(limit=3):
    return Instruments(CollectorRegistry(), limit)


def test_the_same_values_are_the_same_child():
    made = instruments()
    assert made.socket_active.child("/a") is made.socket_active.child("/a")
    assert made.socket_active.child("/a") is not made.socket_active.child("/b")


def test_beyond_the_limit_known_children_stay_and_new_ones_share_one():
    made = instruments(limit=2).socket_messages
    first = made.child("/a", "receive")
    made.child("/b", "receive")
    overflow = made.child("/c", "receive")
    assert made.child("/d", "receive") is overflow
    assert made.child("/d", "transmit") is not overflow  # a direction is one of two: it is kept
    assert made.child("/a", "receive") is first
    assert set(made.known()) == {
        ("/a", "receive"),
        ("/b", "receive"),
        ("__overflow__", "receive"),
        ("__overflow__", "transmit"),
    }
    assert made.folded == 3


def test_a_folded_request_keeps_whether_it_was_an_error():
    made = instruments(limit=0).http_duration
    made.child("GET", "/a", "200", "")
    made.child("GET", "/b", "503", "503")
    made.child("POST", "/b", "500", "KeyError")
    assert set(made.known()) == {
        ("GET", "__overflow__", "2xx", ""),
        ("GET", "__overflow__", "5xx", "__overflow__"),
        ("POST", "__overflow__", "5xx", "__overflow__"),
    }


@pytest.fixture
def hasty_threads():
    """Lets threads interrupt each other as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_never_pass_the_limit(hasty_threads):
    made = instruments(limit=50).socket_active
    barrier = threading.Barrier(8)

    def work(offset):
        barrier.wait()
        for number in range(100):
            made.child(f"/{number + offset}").inc()

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made.known()) == 51
    assert made.series() == 51


@example("half a pair \ud800")
@example("nul\0")
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=400))
def test_a_cleaned_value_is_short_valid_utf8_without_nul_and_otherwise_unchanged(text):
    cleaned = clean(text)
    assert len(cleaned) <= MAX_VALUE_LENGTH
    cleaned.encode("utf-8")
    assert "\0" not in cleaned
    if len(text) <= MAX_VALUE_LENGTH and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert cleaned == text
