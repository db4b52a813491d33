"""One controller over two Prometheus, each with a service of the same name: a target is judged by its own alone."""

import pytest
import requests

from local_stack.process import wait_until
from real.scenarios.stage import Stage

pytestmark = [pytest.mark.soak, pytest.mark.timeout(480)]

EU, US = "checkout-eu", "checkout-us"


class TwoRegions(Stage):
    """The stage of the first region, whose controller asks the Prometheus of the second one, too."""

    def __init__(self, folder):
        super().__init__(folder / "eu")
        self.us = Stage(folder / "us")
        self.add("checkout")
        self.us.add("checkout")

    def controller_settings(self):
        settings, others = super().controller_settings(), self.us.controller_settings()
        settings["prometheus"]["others"] = {"us": {"url": self.us.prometheus_url}}
        [eu], [us] = settings["targets"], others["targets"]
        settings["targets"] = [{**eu, "name": EU}, {**us, "name": US, "prometheus": "us"}]
        return settings

    def start_prometheus(self):
        self.us.start_prometheus()
        super().start_prometheus()

    def stop(self):
        super().stop()
        self.us.stop()

    def answers(self, target):
        """Whether the target's Prometheus answered the last poll."""
        return self.target(target)["checks"]["prometheus"]

    def metric(self, start):
        lines = requests.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(start)]


@pytest.fixture
def regions(tmp_path):
    stage = TwoRegions(tmp_path)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()


def test_a_fault_in_one_region_is_rolled_back_there_alone_and_while_the_other_prometheus_is_dead(regions):
    """Both services have the same labels, so only the Prometheus that has an alert says whose it is."""
    regions.trusted(EU)
    regions.trusted(US)
    checkout = regions.us.services["checkout"]
    checkout.does("v2", errors=0.5)
    checkout.deploy("v2")
    assert regions.closed(US)["outcome"] == "recovered"
    assert checkout.version == "v1"
    assert regions.get("decisions", target=EU)["decisions"] == []
    assert regions.services["checkout"].activated == []

    regions.prometheus.kill()
    wait_until(lambda: regions.answers(EU) is False, within=60, what="the first one is away", every=1.0)
    checkout.does("v3", errors=0.5)
    checkout.deploy("v3")
    assert regions.closed(US, 2)["outcome"] == "recovered"
    assert (checkout.version, regions.answers(US)) == ("v1", True)
    assert regions.rollbacks(EU) == []

    regions.prometheus.start()
    wait_until(lambda: regions.answers(EU) is True, within=60, what="the first one is back", every=1.0)
