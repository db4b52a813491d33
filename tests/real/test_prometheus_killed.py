"""A real Prometheus is killed while versions change: the shipped rules and the dashboard go on with what serves."""

import json
import shutil
import time

import pytest
import requests
import yaml

from local_stack.process import free_ports, wait_until
from local_stack.settings import ROOT, RULES
from real.prometheus import running
from real.scenarios.exporter import Exporter, Instance, Numbers

pytestmark = [pytest.mark.soak, pytest.mark.timeout(180)]

# Each is scraped at a moment of its own, so that the first to show v2 does so well before the next evaluation.
NAMES = [f"i{number}" for number in range(8)]
SERVING = 'count by (service_version) (instance:service:info{service_name="shop"})'
SHOWN = "count by (service_version) (target_info)"
FIGURE = 'version:http_error_ratio:newest{service_name="shop"}'


@pytest.fixture
def shop():
    """Eight instances of a service; `version` is what they serve."""
    exporter, serving = Exporter(), {"version": "v1"}
    for name in NAMES:
        exporter.add(Instance("shop", name, lambda: serving["version"], lambda _version: Numbers()))
    exporter.start()
    yield exporter, serving
    exporter.stop()


def _settings(folder, exporter):
    targets = [
        {"targets": [f"127.0.0.1:{exporter.port}"], "labels": {"instance": name, "__metrics_path__": f"/shop/{name}"}}
        for name in NAMES
    ]
    settings = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [{"job_name": "shop", "static_configs": targets}],
    }
    shutil.copytree(RULES, folder / "rules", ignore=shutil.ignore_patterns("tests"))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))


def _values(address, expression):
    answer = requests.get(f"{address}/api/v1/query", params={"query": expression}, timeout=10).json()
    return {each["metric"].get("service_version"): float(each["value"][1]) for each in answer["data"]["result"]}


def _rules(address):
    groups = requests.get(f"{address}/api/v1/rules", timeout=10).json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _joins():
    panels = json.loads((ROOT / "grafana/dashboards/rearguard-service.json").read_text())["panels"]
    found = [query["expr"] for panel in panels for query in panel.get("targets", ()) if "group_left" in query["expr"]]
    for variable, value in (("$service", "shop"), ("$environment", "production"), ("$__rate_interval", "20s")):
        found = [expression.replace(variable, value) for expression in found]
    return [expression for expression in found if "$" not in expression]


def test_versions_that_change_as_prometheus_is_killed_break_no_rule_and_no_panel(tmp_path, shop):
    exporter, serving = shop
    _settings(tmp_path, exporter)
    began, [port] = time.time(), free_ports(1)
    with running(tmp_path, port=port) as address:
        wait_until(lambda: "v1" in _values(address, FIGURE), within=60, what="figures of v1", every=0.5)
        wait_until(lambda: _values(address, SERVING) == {"v1": 8.0}, within=30, what="v1 serves", every=0.5)
        serving["version"] = "v2"
        wait_until(lambda: "v2" in _values(address, SHOWN), within=30, what="v2 is scraped", every=0.02)
        # Killed between that scrape and the evaluation that would have ended what it recorded of v1.
    with running(tmp_path, port=port) as address:
        wait_until(lambda: "v2" in _values(address, FIGURE), within=45, what="figures of v2", every=0.5)
        wait_until(lambda: _values(address, FIGURE) == {"v2": 0.0}, within=45, what="v1 has none left", every=0.5)
        wait_until(
            lambda: all(rule["evaluationTime"] > 0 or rule["health"] != "unknown" for rule in _rules(address)),
            within=150,
            what="every rule was evaluated",
            every=0.5,
        )
        assert {rule["name"]: rule.get("lastError") for rule in _rules(address) if rule["health"] != "ok"} == {}
        assert len(_joins()) > 5
        for expression in _joins():
            asked = {"query": expression, "start": began, "end": time.time(), "step": 1}
            answer = requests.get(f"{address}/api/v1/query_range", params=asked, timeout=10).json()
            assert answer["status"] == "success", answer
