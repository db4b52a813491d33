"""A controller whose clock differs from Prometheus' sees the same as one whose clock is right, and says so."""

import asyncio
import math
import time

import pytest
import yaml

from local_stack.process import free_ports
from real.prometheus import running
from rearguard_controller.adapters.prometheus import Prometheus, figures
from rearguard_controller.adapters.prometheus.replicas import connect
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.facts.measurements import measure_since
from rearguard_controller.model import Condition
from rearguard_controller.releases.past import alerts_before_change, service_of
from rearguard_controller.watching.polled_checks import clock as clock_check
from unit.controller.factories import facts, serving, state, target

DEADLINE = 60.0
SKEWS = [0.0, 5.0, -5.0, 40.0, -40.0, 400.0, -400.0]
ITSELF = {"job": "itself"}
NEAR = 4.0  # seconds: scrapes and evaluations of one second, on a busy machine


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A Prometheus that watches itself, whose alert began a moment ago: its address, and when it was started."""
    folder, (port,) = tmp_path_factory.mktemp("clock"), free_ports(1)
    job = {"job_name": "itself", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    glob = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": glob, "rule_files": ["rules.yml"], "scrape_configs": [job]}
    annotations = {"figure": "up", "threshold": "> 0.5"}
    rule = {"alert": "Up", "expr": "up > 0.5", "labels": {"action": "rollback"}, "annotations": annotations}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": [rule]}]}))
    started = time.time()
    with running(folder, port=port) as address:
        yield address, started


async def until(ask):
    deadline = time.monotonic() + DEADLINE
    while not (answer := await ask()):
        assert time.monotonic() < deadline, "the answer stayed empty"
        await asyncio.sleep(0.1)
    return answer


@pytest.mark.parametrize("skew", SKEWS)
async def test_whatever_is_asked_and_answered_is_by_the_controllers_clock(begun, skew):
    address, started = begun

    def ours():
        return time.time() - skew  # so Prometheus' clock is `skew` seconds ahead

    edge, right = Prometheus(PrometheusSettings((address,)), clock=ours), Prometheus(PrometheusSettings((address,)))
    (alert,) = await until(edge.alerts)
    assert alert.active_at == pytest.approx((await until(right.alerts))[0].active_at - skew, abs=0.5)
    (series,) = await until(lambda: edge.query_range("up", ours() - 60, ours(), 1.0))
    assert series.points[-1][0] == pytest.approx(ours(), abs=NEAR)
    assert series.points[0][0] >= started - skew - NEAR
    (sample,) = await edge.query("up")
    assert sample.at == pytest.approx(ours(), abs=NEAR)
    assert await until(lambda: edge.query("up", ours() - 1))
    assert await edge.query("up", started - skew - 60) == ()
    (by_series,) = await edge.alerting({"action": "rollback"}, await edge.rules())
    assert by_series.active_at == pytest.approx(alert.active_at, abs=1.5)
    began = await figures.episode_start(edge, Condition("Up", "up", "> 0.5", ITSELF), ours() - 600, ours())
    assert began == pytest.approx(alert.active_at, abs=NEAR + 5)
    assert edge.skews[address] == pytest.approx(skew, abs=1.0)
    assert clock_check(edge.skews).holds is (abs(skew) <= 30)
    await edge.close()
    await right.close()


@pytest.mark.parametrize("skew", [40.0, -400.0])
async def test_when_a_fault_began_and_what_was_before_a_release_are_by_the_controllers_clock(begun, skew):
    address, _ = begun

    def ours():
        return time.time() - skew

    edge = Prometheus(PrometheusSettings((address,)), clock=ours)
    (alert,) = await until(edge.alerts)
    it = target(match=(ITSELF,), telemetry=ITSELF)
    released = alert.active_at - 30
    known = state(serving_since=released, changed_after=released - 1)
    of = Condition("Up", "up", "> 0.5", ITSELF)
    now = facts(now=ours(), state=known, releases=(serving("v2", service_version="2.0"),))
    since = (await measure_since(edge, of, now, ours)).value
    assert since.start > released  # the fault began after the release, whichever clock is wrong
    before = await alerts_before_change(edge, it, known)
    assert before.alerts == ()

    async def scraped():
        return (await service_of(edge, it, ours(), 120.0)).shown.get("")

    moments = await until(scraped)
    assert ours() - 31 <= max(moments) <= ours() + 1
    await edge.close()


async def test_the_check_says_which_clock_is_ahead_and_an_unknown_one_is_unknown(begun):
    address, _ = begun
    edge = connect(PrometheusSettings((address,)), lambda: time.time() - 400)
    assert clock_check(edge.skews).holds is None
    await edge.compare_clocks()
    check = clock_check(edge.skews)
    assert (check.name, check.holds) == ("clock", False)
    assert f"{address} is 6m40s ahead of the controller's" in check.detail
    assert "6m40s behind" in clock_check({address: -400.0}).detail
    away = connect(PrometheusSettings(("http://127.0.0.1:9",)), time.time)
    await away.compare_clocks()
    assert away.skews == {}
    assert not math.isfinite(max(away.skews.values(), default=math.nan))
    await edge.close()
    await away.close()
