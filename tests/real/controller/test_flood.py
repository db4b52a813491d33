"""Beside 50,000 alerts of a careless rule the alerts of a target are seen in Prometheus as without them."""

import asyncio
import contextlib
import time

import pytest
import yaml

from local_stack.process import free_ports
from real.prometheus import page, running
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.concern import MOST_OF_A_TARGET, MOST_OF_OTHERS, Concern
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import StormLimit
from unit.controller.factories import MATCH, target

DEADLINE = 300.0
MANY = 50_000
SLOWEST = 4.0  # seconds for a reading once the rules are known, on a busy machine
TEXT = (
    "The queue of {{ $labels.tenant }} lags by {{ $value | humanizeDuration }}. Orders of this customer wait; look at"
    " the consumers of the queue, at the broker and at the customer's own rate of orders before any restart."
)


def rule(name, expression, labels, **annotations):
    return {"alert": name, "expr": expression, "labels": labels, "annotations": annotations}


def settings(port):
    job = {"job_name": "queues", "body_size_limit": "100MB", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    return {
        "global": {"scrape_interval": "30s", "scrape_timeout": "30s", "evaluation_interval": "2s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [job],
    }


def rules():
    own = {"action": "rollback", **MATCH}
    flood = "queue_lag_seconds > 600"
    careless = [
        rule("TenantQueueLag", flood, {"severity": "warning"}, description=TEXT),
        rule("TenantOrders", f"{flood} and on (tenant) queue_few", {"action": "rollback"}, description=TEXT),
        rule("ShopQueueLag", f"{flood} and on (tenant) queue_few", dict(MATCH), description=TEXT),
    ]
    mine = [rule("ReleaseErrorRate", "vector(0.4) > 0.1", own, figure="vector(0.4)", threshold="> 0.1")]
    groups = {"careless": (careless, "20s"), "mine": (mine, "2s")}
    return {"groups": [{"name": name, "rules": each, "interval": every} for name, (each, every) in groups.items()]}


def lags():
    """A page with the lag of many queues."""
    lines = [f'queue_lag_seconds{{tenant="customer-{number:06d}",queue="orders"}} 900' for number in range(MANY)]
    lines += [f'queue_few{{tenant="customer-{number:06d}"}} 1' for number in range(2 * MOST_OF_A_TARGET)]
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flood")
    with page(lags()) as port:
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings(port)))
        (folder / "rules.yml").write_text(yaml.safe_dump(rules()))
        with running(folder, port=free_ports(1)[0]) as found:
            yield found


async def until_flooded(edge):
    """Return once all alerts of careless rules fire."""
    deadline = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(SourceError):
            counts = await edge.query('count by (alertname) (ALERTS{alertname=~"TenantQueueLag|ShopQueueLag"})')
            if {sample.value for sample in counts} == {MANY, 2 * MOST_OF_A_TARGET}:
                return
        assert time.monotonic() < deadline, "the flood did not come"
        await asyncio.sleep(1.0)


async def test_beside_a_flood_the_alert_of_a_release_is_read_and_the_loop_goes_on(address):
    it, late = target(), []
    concern, trouble = Concern([it]), Trouble(time.monotonic)
    trouble.use([it], StormLimit())
    edge = Prometheus(PrometheusSettings((address,)))
    edge.look_for(concern.of_reading)
    alerts_now = AlertsNow(edge, trouble, time.time, triggers=[dict(each) for each in concern.triggers])
    await until_flooded(edge)

    async def tick():
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            late.append(time.perf_counter() - before)

    ticking, took, readings = asyncio.create_task(tick()), [], []
    for _ in range(4):
        began = time.perf_counter()
        readings.append(await alerts_now.read(max_age=0.0))
        took.append(time.perf_counter() - began)
    ticking.cancel()
    await edge.close()
    for reading in readings:
        assert reading.fault == ""
        names = [alert.name for alert in reading.alerts]
        assert names.count("ReleaseErrorRate") == 1
        assert names.count("TenantQueueLag") == 0
        assert names.count("TenantOrders") in (
            0,
            MOST_OF_OTHERS,
        )  # none if the lists came late: then triggers alone are read
        assert reading.troubled == {it.name}
        (mine,) = (each for each in reading.alerts if each.name == "ReleaseErrorRate")
        assert mine.annotations == {"figure": "vector(0.4)", "threshold": "> 0.1"}
        assert abs(mine.active_at - time.time()) < 2 * DEADLINE
        assert {each.name for each in reading.rules.alerting} == {
            "ReleaseErrorRate", "TenantOrders", "ShopQueueLag", "TenantQueueLag"
        }  # fmt: skip
    assert [each.name for each in readings[0].alerts].count("ShopQueueLag") == MOST_OF_A_TARGET
    assert max(took[1:]) < SLOWEST, took
    assert max(late) < 0.5
