"""The short way to count ordinary answers: it counts what `end` does, and leaves to `end` what is not ordinary."""

import pytest
from prometheus_client import CollectorRegistry

from rearguard_exporter import Monitor
from rearguard_exporter.traffic.lanes import Lanes
from rearguard_exporter.traffic.request import MeasuredRequest
from rearguard_exporter.values.instruments import Instruments


class Loose(MeasuredRequest):
    """A request whose framework leaves a route that cannot be read."""

    @staticmethod
    def route_of(subject):
        raise RuntimeError(subject)


@pytest.fixture
def lane():
    return Lanes(Instruments(CollectorRegistry(), 4)).open("GET")


def _request(lane, route="/a", status=200):
    request = MeasuredRequest(lane)
    request.route, request.status = route, status
    return request


def _know(lane, route="/a", status=200):
    """Count as many as the short way wants to have seen."""
    for _ in range(2):
        _request(lane, route, status).end()


def _buckets(lane, route="/a", status="200"):
    child = lane.instruments.http_duration.known()["GET", route, status, ""]
    return {
        sample.labels["le"]: sample.value
        for family in child.collect()
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }


def _active(lane):
    return sum(child.counts()[0] for child in lane.instruments.http_active.known().values())


@pytest.mark.parametrize(
    ("seconds", "first"),
    [(0.0, "0.005"), (0.005, "0.005"), (0.0050001, "0.01"), (0.3, "0.5"), (10.0, "10.0"), (11.0, "+Inf")],
)
def test_each_duration_is_counted_in_the_buckets_whose_bound_it_does_not_pass(lane, seconds, first):
    _know(lane)
    before, request = _buckets(lane), _request(lane)
    request.began = 0.0
    assert request.end_ordinary(seconds)
    grown = [bound for bound, count in _buckets(lane).items() if count > before[bound]]
    assert grown[0] == first
    assert grown[-1] == "+Inf"


def test_a_request_that_was_ordinary_is_over(lane):
    _know(lane)
    request = _request(lane)
    assert _active(lane) == 1
    assert request.end_ordinary(request.began)
    request.end(KeyError())
    assert _active(lane) == 0
    assert list(lane.instruments.http_duration.known()) == [("GET", "/a", "200", "")]


@pytest.mark.parametrize("status", [0, 99, 500, 503, 1000])
def test_errors_and_what_is_no_status_are_left_to_the_long_way(lane, status):
    _know(lane, status=status)
    request = _request(lane, status=status)
    assert not request.end_ordinary(request.began)
    assert request.is_open


def test_a_caller_who_left_is_left_to_the_long_way(lane):
    _know(lane)
    request = _request(lane)
    request.client_left = True
    assert not request.end_ordinary(request.began)
    request.end()
    assert ("GET", "/a", "499", "") in lane.instruments.http_duration.known()


def test_an_answer_after_a_failure_of_the_same_status_is_no_failure(lane):
    for _ in range(2):
        _request(lane).end(KeyError())
    request = _request(lane)
    assert not request.end_ordinary(request.began)
    request.end()
    assert [key[3] for key in lane.instruments.http_duration.known()] == ["KeyError", ""]


def test_routes_beyond_the_limit_still_fold(lane):
    for number in range(6):
        _know(lane, f"/{number}")
    request = _request(lane, "/5")
    assert not request.end_ordinary(request.began)
    assert len(lane.instruments.http_duration.children()) == 4 + 1


def test_labels_of_the_user_are_asked_of_each_request():
    monitor = Monitor(
        "shop", "1", "test", request_labels={"tenant": lambda subject: subject}, registry=CollectorRegistry()
    )
    lane = Lanes(monitor._instruments).open("GET")
    for tenant in ("a", "a", "a", "b"):
        request = _request(lane)
        request.subject = tenant
        if not request.end_ordinary(request.began):
            request.end()
    assert {
        key[4]: sum(child.counts()[:-1]) for key, child in monitor._instruments.http_duration.known().items()
    } == {
        "a": 3,
        "b": 1,
    }
    monitor.close()


def test_a_route_that_cannot_be_read_raises_nothing_into_the_application(lane):
    request = Loose(lane)
    request.status = 200
    assert not request.end_ordinary(request.began)
    request.end()
    assert _active(lane) == 0
