"""Requests that Prometheus keeps as native histograms only: rules speak of them, and a judgement counts them.

Here: Prometheus scrapes two versions by protobuf. One fails three of ten requests, and is slow.
"""

import asyncio
import json
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest

from real.shapes_kit import NEW, PROTOBUF, double, family, message, native_histogram, pairs, prometheus_of
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.facts import counting
from rearguard_controller.judgement.beside import Pair

SIX = ("thresholds", "recording", "release", "evidence", "alerts", "controller")
PER_SECOND = 40  # requests
SEEN, SOON = (
    45,
    10,
)  # seconds after which the new version begins: young only if the older one was seen for long before
FAST, SLOW = -5, -1  # buckets: up to 31 ms, up to 500 ms
WITHIN = 120.0


class Service:
    """What each version shows by now."""

    def __init__(self, later):
        self.began, self.later = time.monotonic(), later

    def requests(self, version):
        age = time.monotonic() - self.began - (self.later if version == "v2" else 0)
        return max(0, int(age * PER_SECOND))

    def page(self, version):
        asked = self.requests(version)
        failed = asked * 3 // 10 if version == "v2" else 0
        bucket, each = (SLOW, 0.3) if version == "v2" else (FAST, 0.02)
        info = {"service_name": "shop", "service_version": version, "deployment_environment_name": "production"}
        counts = [("200", "", asked - failed), ("500", "500", failed)]
        metrics = [
            pairs({"http_route": "/", "http_response_status_code": status, "error_type": kind})
            + native_histogram(many, bucket, many * each)
            for status, kind, many in counts
        ]
        return family("target_info", 1, pairs(info) + message(2, double(1, 1.0))) + family(NEW, 4, *metrics)


@contextmanager
def scraped(folder, rules, later):
    service = Service(later)

    def answer(path):
        version = path.strip("/")
        return (service.page(version), PROTOBUF) if service.requests(version) > 0 else None

    def jobs(address):
        places = [
            {"targets": [address], "labels": {"__metrics_path__": f"/{version}", "instance": version}}
            for version in ("v1", "v2")
        ]
        return [{"job_name": "shop", "static_configs": places}]

    with prometheus_of(folder, answer, jobs, rules) as address:
        yield address


def ask(address, question):
    url = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': question})}"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - ours
        return json.load(answer)["data"]["result"]


def until(address, question):
    deadline = time.monotonic() + WITHIN
    while not (found := ask(address, question)):
        assert time.monotonic() < deadline, question
        time.sleep(1)
    return found


def value(address, question):
    [found] = until(address, question)
    return float(found["value"][1])


def test_the_rules_for_them_let_every_other_rule_speak(tmp_path):
    with scraped(tmp_path, (*SIX, "optional/native_histograms"), SEEN) as address:
        [fires] = until(address, 'ALERTS{alertname="ReleaseWorse",alertstate="firing",condition="quick"}')
        assert fires["metric"]["service_version"] == "v2"
        until(address, 'ALERTS{alertname="ReleaseErrorRate",service_version="v2"}')
        assert value(address, 'version:http_error_ratio:newest{service_version="v2"}') == pytest.approx(0.3, abs=0.05)
        assert value(address, 'version:http_mean_seconds:newest{service_version="v2"}') == pytest.approx(0.3, rel=0.1)
        assert not ask(address, 'ALERTS{service_version="v1"}')
        # All of v1 took up to 31 ms and more than 16; between, they are taken to lie evenly.
        whole = "sum by (le) (version:http_request_buckets:sum{service_version='v1',le='+Inf'})"
        for bound, share in (("0.01", 0.0), ("0.025", 0.6), ("0.05", 1.0), ("10", 1.0)):
            part = f"sum by (service_name) (version:http_request_buckets:sum{{service_version='v1',le='{bound}'}})"
            found = value(address, f"{part} / on () group_left () sum({whole})")
            assert found == pytest.approx(share, abs=0.03), bound


def test_a_judgement_counts_them_where_no_rule_was_ever_loaded(tmp_path):
    with scraped(tmp_path, (), SOON) as address:
        began = time.time()
        until(address, f'histogram_count({NEW}{{instance="v2",http_response_status_code="500"}}) > 300')

        async def counted():
            prometheus = Prometheus(PrometheusSettings((address,)))
            try:
                return await counting.between(
                    prometheus,
                    {"service_name": "shop", "deployment_environment_name": "production"},
                    Pair("v2", ("v1",)),
                    began + SOON,
                    (began + SOON, time.time()),
                )
            finally:
                await prometheus.close()

        found = asyncio.run(counted())
        own, failed = (sum(getattr(each, what) for each in found.own) for what in ("requests", "failures"))
        assert failed / own == pytest.approx(0.3, abs=0.02)
        assert own > 500
        assert sum(each.failures for each in found.beside) == 0
        assert sum(each.requests for each in found.beside) > own / 2
        shown = value(address, f'sum(histogram_count({NEW}{{instance="v2"}}))')
        assert shown - 4 * 5 * PER_SECOND <= own <= shown  # scrapes came between the two questions
