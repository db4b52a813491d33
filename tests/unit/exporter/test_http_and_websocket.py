"""Decisions that hold for every framework: methods, errors, endless streams, close codes."""

import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from rearguard_exporter.traffic.lanes import Lanes, method_label
from rearguard_exporter.traffic.request import MeasuredRequest
from rearguard_exporter.traffic.websocket import Connection, Reason, reason_of_code
from rearguard_exporter.values.instruments import Instruments


@pytest.fixture
def instruments():
    return Instruments(CollectorRegistry(), 100)


class EventStream(MeasuredRequest):
    def content_type(self):
        return "text/event-stream"


def test_known_methods_stay_and_all_others_are_one():
    assert [method_label(word) for word in ("GET", "PATCH", "get", "BREW", "", "GET\n")] == [
        "GET",
        "PATCH",
        *["_OTHER"] * 4,
    ]


@pytest.mark.parametrize(
    ("status", "given", "recorded"),
    [(200, "", ""), (404, "", ""), (499, "", ""), (500, "", "500"), (503, "", "503"), (500, "KeyError", "KeyError")],
)
def test_answers_of_500_and_more_are_errors(instruments, status, given, recorded):
    class Reported(MeasuredRequest):
        reported_error = given

    request = _request(instruments, Reported)
    request.status = status
    request.end()
    assert list(instruments.http_duration.known()) == [("GET", "/a", str(status), recorded)]


def _request(instruments, kind=MeasuredRequest):
    made = kind(Lanes(instruments).open("GET"))
    made.route, made.status = "/a", 200
    return made


def test_a_request_that_ends_in_another_thread_ends_under_its_own_method_and_scheme(instruments):
    request = MeasuredRequest(Lanes(instruments).open("POST", "https"))
    request.route, request.status = "/a", 200
    thread = threading.Thread(target=lambda: (request.change_thread(), request.end()))
    thread.start()
    thread.join()
    assert {key: child.counts()[0] for key, child in instruments.http_active.known().items()} == {
        ("POST", "https"): 0
    }


def test_a_request_ends_once(instruments):
    request = _request(instruments)
    request.end()
    request.end(KeyError())
    request.leave()
    assert list(instruments.http_duration.known()) == [("GET", "/a", "200", "")]
    (active,) = instruments.http_active.known().values()
    assert next(iter(active.collect())).samples[0].value == 0


@pytest.mark.parametrize(
    ("streamed", "endless", "failure", "observed"),
    [
        (9, False, None, 10),  # a slow download is timed to its last byte
        (11, False, None, None),  # a long stream says nothing about the server
        (1, True, None, None),
        (11, False, ValueError(), 1),  # broken: the error counts, with the second until its headers
        (1, True, ValueError(), 1),
    ],
)
def test_streams_are_timed_unless_they_are_long_or_endless(instruments, streamed, endless, failure, observed):
    request = _request(instruments, EventStream if endless else MeasuredRequest)
    request.since = time.perf_counter() - streamed
    request.began -= streamed + 1
    request.end(failure)
    sums = [
        sample.value
        for child in instruments.http_duration.known().values()
        for family in child.collect()
        for sample in family.samples
        if sample.name.endswith("_sum")
    ]
    assert sums == ([] if observed is None else [pytest.approx(observed, abs=0.2)])


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, "clean"),
        (1005, "clean"),  # a close frame without a code
        (0, "clean"),
        (4001, "clean"),
        (1001, "going_away"),
        (1012, "going_away"),
        (1006, "abnormal"),
        (1002, "error"),
        (1008, "clean"),  # an ordinary refusal
    ],
)
def test_close_codes_are_reasons(code, reason, sent):
    assert reason_of_code(code, sent=sent) == reason


@pytest.mark.parametrize("code", [1011, 1013, 1014])
def test_a_fault_of_the_service_is_one_that_the_service_tells(code):
    assert reason_of_code(code, sent=True) == "error"
    assert reason_of_code(code, sent=False) == "clean"  # any peer may say so


def test_a_connection_ends_once_and_every_reason_is_there_from_the_start(instruments):
    connection = Connection(instruments, "/ws")
    assert {reason for _, reason in instruments.socket_disconnects.known()} == {reason.value for reason in Reason}
    connection.close(Reason.CLEAN)
    connection.close(Reason.ERROR)
    ended = {
        reason: next(iter(child.collect())).samples[0].value
        for (_, reason), child in instruments.socket_disconnects.known().items()
    }
    assert ended == {"clean": 1, "going_away": 0, "abnormal": 0, "error": 0, "timeout": 0}
