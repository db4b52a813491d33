"""A Prometheus that was killed leaves the series of its alerts in sight: nothing of that fires any more."""

import asyncio
import time

from local_stack.process import free_ports
from real.prometheus import running
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError

DEADLINE = 30.0
SETTINGS = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
"""
RULES = """\
groups:
  - name: judged
    interval: 1s
    rules:
      - {{alert: Broken, expr: vector({now}) > 0, labels: {{action: rollback}}, annotations: {{summary: Broken.}}}}
"""
WANTED = {"action": "rollback"}


async def until(ask, wanted):
    """The first answer that is as wanted; one that cannot be had yet is asked for again."""
    deadline, found = time.monotonic() + DEADLINE, None
    while time.monotonic() < deadline:
        try:
            found = await ask()
        except SourceError as error:
            found = error
        if not isinstance(found, SourceError) and wanted(found):
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(f"not so in time: {found}")


async def test_an_alert_whose_series_a_killed_prometheus_left_behind_does_not_fire(tmp_path):
    (tmp_path / "prometheus.yml").write_text(SETTINGS)
    (tmp_path / "rules.yml").write_text(RULES.format(now=1))
    (port,) = free_ports(1)
    with running(tmp_path, port=port) as address:  # it is killed at its end
        edge = Prometheus(PrometheusSettings((address,)))
        rules = await until(edge.rules, lambda found: bool(found.alerting))
        (alert,) = await until(lambda: edge.alerting(WANTED, rules), bool)
        assert (alert.labels["alertname"], alert.state.value) == ("Broken", "firing")
    (tmp_path / "rules.yml").write_text(RULES.format(now=0))
    with running(tmp_path, port=port):
        await until(edge.rules, lambda found: bool(found.alerting))
        assert await until(edge.alerts, lambda found: found == ()) == ()
        assert len(await edge.query("ALERTS")) == 1  # for five minutes
        assert await until(lambda: edge.alerting(WANTED, rules), lambda found: found == ()) == ()
        await edge.close()
