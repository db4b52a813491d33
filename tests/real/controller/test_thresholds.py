"""Thresholds that cannot be meant, asked of a real Prometheus: whose readiness they deny, and what is said."""

import asyncio
import time

import pytest

from real.controller.past import Past, remembered
from rearguard_controller.adapters.prometheus import Prometheus, Rules
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.watching import thresholds_check
from unit.controller.factories import target

END = time.time() // 15 * 15 - 600
RATIO, MEAN = "service:http_error_ratio:threshold_override", "service:http_mean_seconds:threshold_override"
WRITTEN = {  # service -> an override of it
    "nan": (RATIO, float("nan")),
    "below": (MEAN, -1.0),
    "percent": (RATIO, 10.0),
    "infinite": (MEAN, float("inf")),
    "fine": (RATIO, 0.25),
    "slow": (MEAN, 10.0),
    "always": (RATIO, 0.0),
}
ODD = {"nan", "below", "percent", "infinite", "lonely"}


class Then:
    """Prometheus, asked about the moment of these numbers."""

    def __init__(self, prometheus):
        self._prometheus = prometheus

    async def query(self, expression):
        return await self._prometheus.query(expression, END)


def answered(folder, *written):
    """The check of each service, with these thresholds."""
    past = Past(folder, every=15)
    for name, labels, value in written:
        past.add(name, labels, END - 60, END, value)

    async def ask(address):
        prometheus = Prometheus(PrometheusSettings(urls=(address,)))
        try:
            found = await thresholds_check.odd(Then(prometheus))
        finally:
            await prometheus.close()
        return {name: thresholds_check.check(named(name), (), Rules(), found) for name in (*WRITTEN, "lonely")}

    with remembered(past, "groups: []\n") as address:
        return asyncio.run(ask(address))


def named(name):
    labels = {"service_name": name, "deployment_environment_name": "production"}
    return target(match=(labels,), telemetry=labels)


def test_an_override_that_cannot_be_meant_is_named_to_its_service_alone(tmp_path):
    who = {name: {"service_name": name, "deployment_environment_name": "production"} for name in WRITTEN}
    written = [(series, who[name], value) for name, (series, value) in WRITTEN.items()]
    lonely = [(RATIO, {"service_name": "lonely"}, 0.5), (RATIO, {"team": "sre"}, 0.5)]
    checks = answered(tmp_path, *written, *lonely, ("default:http_error_ratio:threshold", {"x": "y"}, 0.1))
    assert {name for name, check in checks.items() if check.holds is False} == ODD
    assert f'{RATIO} of service_name="percent"' in checks["percent"].detail.replace(
        'deployment_environment_name="production", ', ""
    )
    assert "a ratio: at most 1" in checks["percent"].detail


@pytest.mark.parametrize("value", [float("nan"), -0.1, 10.0])
def test_a_default_that_cannot_be_meant_is_named_to_everybody(tmp_path, value):
    checks = answered(tmp_path, ("default:http_error_ratio:threshold", {}, value))
    assert {check.holds for check in checks.values()} == {False}
    assert checks["fine"].detail.startswith("default:http_error_ratio:threshold cannot be meant.")
