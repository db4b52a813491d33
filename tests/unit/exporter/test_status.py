"""Healthy, degraded or unhealthy, and why; the limits are those of rules/thresholds.yml."""

import pytest

from rearguard_exporter.endpoints.status import Recent, Totals, judge

FINE = Totals(100, 5, 20.0, 100, 5.0, 100, 20)


def judged(recent=FINE, *, seconds=60.0, memory=0.5, databases=(), pools=()):
    return judge(seconds, recent, memory, dict(databases), pools)


@pytest.mark.parametrize(
    ("recent", "status", "reasons"),
    [
        (FINE, "healthy", []),
        (Totals(), "healthy", []),
        (Totals(100, 10, 20.0), "healthy", []),  # 10 %: not past it
        (Totals(100, 11, 20.0), "unhealthy", ["11% of 100 requests failed"]),
        (Totals(9, 9, 1.0), "healthy", []),  # too few to say anything
        (Totals(20, 9, 1.0), "healthy", []),  # fewer than ten failures
        (Totals(100, 0, 510.0), "unhealthy", ["requests take 5.1 s on average"]),
        (Totals(operations=100, operation_seconds=120.0), "degraded", ["database operations take 1.2 s on average"]),
        (Totals(operations=100, operation_seconds=99.0), "healthy", []),
        (
            Totals(disconnects=20, abnormal=11),
            "unhealthy",
            ["55% of 20 WebSocket disconnects were abnormal"],
        ),
        (Totals(disconnects=20, abnormal=10), "healthy", []),
    ],
)
def test_figures_of_the_last_minutes_are_judged_as_the_rules_do(recent, status, reasons):
    assert judged(recent) == (status, reasons)


@pytest.mark.parametrize(
    ("memory", "status"),
    [(None, "healthy"), (0.79, "healthy"), (0.80, "degraded"), (0.94, "degraded"), (0.95, "unhealthy")],
)
def test_memory_warns_before_it_is_critical(memory, status):
    shown, reasons = judged(memory=memory)
    assert shown == status
    assert reasons == ([] if status == "healthy" else [f"memory is at {memory:.0%} of its limit"])


def test_a_database_that_is_down_is_unhealthy_and_one_not_checked_yet_is_nothing():
    assert judged(databases={"orders": False, "new": None, "users": True}) == (
        "unhealthy",
        ["database orders does not answer"],
    )


def test_an_exhausted_pool_is_degraded_and_the_heaviest_reason_comes_first():
    pools = [
        {"name": "orders", "idle": 0, "used": 5, "maximum": 5, "pending": 2},
        {"name": "users", "idle": 0, "used": 5, "maximum": 5, "pending": 0},
        {"name": "free", "idle": None, "used": None, "maximum": None, "pending": 3},
    ]
    assert judged(pools=pools) == ("degraded", ["pool orders is exhausted: 2 wait"])
    status, reasons = judged(Totals(100, 50, 20.0), pools=pools)
    assert (status, reasons[0]) == ("unhealthy", "50% of 100 requests failed")


def test_old_trouble_is_forgotten_and_new_trouble_is_not_drowned_by_old_traffic():
    recent = Recent(0.0)
    totals = Totals()
    for second in range(0, 1200, 5):
        failing = 600 <= second < 700
        totals = Totals(totals.requests + 10, totals.errors + (10 if failing else 0), totals.request_seconds + 1)
        recent.note(float(second), totals)
        status, _ = judged(recent.until(float(second), totals)[1], seconds=recent.until(float(second), totals)[0])
        if second in (595, 1195):
            assert status == "healthy"
        if second == 695:
            assert status == "unhealthy"
    assert len(recent._kept) < 70


def test_quiet_times_need_as_much_traffic_a_minute_as_the_rules_want():
    few = Totals(49, 49, 1.0)
    assert judged(few, seconds=300.0) == ("healthy", [])
    assert judged(few, seconds=60.0)[0] == "unhealthy"
