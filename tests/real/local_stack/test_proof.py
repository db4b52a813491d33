"""The demo's proof fails when the story did not end well."""

import pytest

from local_stack.ask import Asker, seconds
from local_stack.proof import prove
from local_stack.stack import Stack


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path) as stack:
        stack.release("deploy", "v1")
        stack.proxy.start()
        yield stack


def claims(stack):
    return {claim.claim: claim for claim in prove(stack, Asker(stack.layout), 0)}


def test_nothing_is_proven_while_v2_serves_nobody_and_nothing_else_runs(stack):
    stack.release("deploy", "v2")
    stack.traffic("drain")
    found = claims(stack)
    assert [claim.holds for claim in found.values()] == [False] * 4
    assert found["v1 serves again"].evidence == "the serving process runs v2"
    assert found["traffic is restored"].evidence == "HAProxy: shop drained sessions=0; 0 of 30 shoppers served"
    assert found["exactly one rollback ran"].evidence.startswith("0 (none); the supervisor started v1, v2;")


def test_open_traffic_to_the_faulty_release_is_not_restored_traffic(stack):
    stack.release("deploy", "v2")
    found = claims(stack)["traffic is restored"]
    assert not found.holds
    assert found.evidence == "HAProxy: shop open sessions=0; 21 of 30 shoppers served"


def test_a_second_activation_is_not_one_rollback(stack):
    for version in ("v2", "v1", "v2", "v1"):
        stack.release("deploy", version)
    found = claims(stack)
    assert found["v1 serves again"].holds
    assert found["traffic is restored"].holds
    assert not found["exactly one rollback ran"].holds
    assert not found["Prometheus says the condition is over"].holds


def test_prometheus_silence_is_no_proof_without_a_figure(stack):
    stack.prometheus.start()
    assert not claims(stack)["Prometheus says the condition is over"].holds


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:01:00.25Z", 60.25),
        ("2026-11-23T06:17:40.667841298Z", 1795414660.667841),
    ],
)
def test_moments_of_prometheus_and_of_the_controller_are_read(moment, expected):
    assert seconds(moment) == pytest.approx(expected, abs=1e-6)
