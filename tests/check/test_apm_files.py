"""What is shipped for Sentry, Datadog and OpenTelemetry's Collector: names that exist, commands as documented."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from rearguard_exporter import FAMILIES

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMES = {family.name.removesuffix("_total") for family in FAMILIES}


def test_datadogs_check_asks_for_metrics_that_the_exporter_has():
    (instance,) = yaml.safe_load((DEPLOY / "datadog/openmetrics.yaml").read_text())["instances"]
    assert set(instance["metrics"]) <= NAMES
    manifest = yaml.safe_load((DEPLOY / "datadog/autodiscovery.yaml").read_text())
    check = json.loads(manifest["spec"]["template"]["metadata"]["annotations"]["ad.datadoghq.com/shop.checks"])
    assert set(check["openmetrics"]["instances"][0]["metrics"]) <= NAMES


def test_the_collector_changes_no_name():
    collector = yaml.safe_load((DEPLOY / "otel/collector.yaml").read_text())
    assert collector["receivers"]["prometheus"]["trim_metric_suffixes"] is False
    assert collector["exporters"]["prometheusremotewrite"]["add_metric_suffixes"] is False
    named = collector["service"]["pipelines"]["metrics"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(named[kind]) <= set(collector[kind])


def run(folder, script, *words):
    """The script with a `sentry-cli` that writes down how it is called."""
    program = folder / "sentry-cli"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n')
    program.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "SENTRY_AUTH_TOKEN": "secret"}
    command = [DEPLOY / "sentry" / script, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=30)
    calls = folder / "calls"
    assert "secret" not in done.stdout + done.stderr
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def test_a_release_is_told_with_its_deployment(tmp_path):
    assert run(tmp_path, "release.sh", "1.4.2", "production") == (
        0,
        [
            "releases new 1.4.2",
            "releases set-commits 1.4.2 --auto --ignore-missing",
            "releases finalize 1.4.2",
            "deploys new --release 1.4.2 --env production",
        ],
    )


@pytest.mark.parametrize("version", ["a/b", "..", "a b"])
def test_a_release_that_sentry_refuses_is_refused_before(version, tmp_path):
    assert run(tmp_path, "release.sh", version, "production") == (2, [])


def test_a_job_runs_under_its_monitor(tmp_path):
    code, (call,) = run(tmp_path, "cron.sh", "nightly", "15 3 * * *", "report", "--all")
    assert code == 0
    assert call.startswith("monitors run nightly --schedule 15 3 * * * ")
    assert call.endswith(" -- report --all")
