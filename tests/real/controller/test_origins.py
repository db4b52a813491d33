"""Whether what told of a fault is still scraped, asked of a real Prometheus with a past."""

import time

import pytest

from real.controller.past import Past, remembered
from rearguard_controller.adapters.prometheus import Prometheus, RecordingRule, Rules, origins
from rearguard_controller.config import PrometheusSettings

RULES = Rules(recording=(RecordingRule("ns:missing:max", "max by (namespace) (missing)", {}, "ok", "", "g", 5.0),))
BEFORE = 120.0  # seconds ago, at which every series was there


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """Ten minutes of several sources, of which some were gone for the last minute."""
    now = time.time()
    past = Past(tmp_path_factory.mktemp("past"))
    start, gone = now - 600.0, now - 60.0

    def source(job, metric, *, lost, up=True, **labels):
        past.add(metric, {"job": job, "instance": f"{job}:1", **labels}, start, gone if lost else now, 2.0)
        if up:
            past.add("up", {"job": job, "instance": f"{job}:1"}, start, gone if lost else now)
        if up and lost:
            past.add("up", {"job": job, "instance": f"{job}:1"}, gone + 15.0, now, 0.0)

    source("kube-state-metrics", "missing", lost=True, namespace="shop")
    source("apps", "errors", lost=False, app="shop")
    source("eu", "waiting", lost=True, namespace="shop", cluster="eu")
    source("us", "waiting", lost=False, namespace="shop", cluster="us")
    source("written", "queued", lost=True, up=False)
    with remembered(past, "groups: []\n") as address:
        yield Prometheus(PrometheusSettings((address,)))


@pytest.mark.parametrize(
    ("expression", "jobs"),
    [
        ('max by (namespace) (missing{namespace="shop"}) > 0', ("kube-state-metrics",)),
        ('ns:missing:max{namespace="shop"} > 0', ("kube-state-metrics",)),
        ("sum(rate(errors[1m])) > 0 or sum(rate(missing[5m] offset 1m)) > 0", ("kube-state-metrics",)),
        ("sum(errors) > 0", ()),
        ("sum(waiting) > 0", ()),  # one of its jobs is there
        ('sum(waiting{cluster="eu"}) > 0', ("eu",)),
        ("sum(queued) > 0", ()),  # written remotely: whether its source is gone is not known
        ('absent(missing{namespace="basket"})', ()),
        ("up == 0 and on (job) target_info", ()),
        ("vector(1) > 0", ()),
    ],
)
async def test_the_jobs_that_told_of_a_fault_and_are_scraped_no_more_are_named(edge, expression, jobs):
    assert await origins.gone(edge, expression, RULES, time.time() - BEFORE) == jobs
    await edge.close()
