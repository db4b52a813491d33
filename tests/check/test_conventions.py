"""Families and rules against OpenTelemetry's own: every metric of its conventions, as its SDK exposes it."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import time

import pytest
import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.semconv import _incubating, metrics
from opentelemetry.semconv._incubating.attributes import cpu_attributes, system_attributes
from opentelemetry.semconv._incubating.metrics import container_metrics
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from check.rule_files import OPENTELEMETRY, ROOT, reads, rules
from local_stack.binaries import environment, fetch, find
from rearguard_controller.adapters.prometheus.possible import PRESENCE
from rearguard_exporter import FAMILIES
from rearguard_exporter.browser.measurements import NAVIGATION_TYPES
from rearguard_exporter.families import OWN
from rearguard_exporter.values.process_figures import ProcessFigures

ALL = rules()
README, RULES_PAGE = ((ROOT / path).read_text() for path in ("exporter/README.md", "docs/rules.md"))


def _makers():
    """Every function of the conventions that makes an instrument."""
    for package in (metrics, importlib.import_module(f"{_incubating.__name__}.metrics")):
        for module in pkgutil.iter_modules(package.__path__):
            made = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            yield from (made[name] for name in sorted(made) if name.startswith("create_"))


@pytest.fixture(scope="module")
def conventions():
    """The names that OpenTelemetry's SDK gives to all metrics of its conventions, as Prometheus reads them."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry)
    provider = MeterProvider(metric_readers=[reader])
    meter = provider.get_meter("conventions")
    for make in _makers():
        if "callbacks" in inspect.signature(make).parameters:
            make(meter, [lambda _: [Observation(1)]])
            continue
        made = make(meter)
        (getattr(made, "add", None) or getattr(made, "record", None) or made.set)(1)
    try:
        return {
            name
            for family in text_string_to_metric_families(generate_latest(registry).decode())
            for name in (family.name, *(sample.name for sample in family.samples))
        }
    finally:
        provider.shutdown()


def _is_of(name, conventions):
    # Prometheus' translation asks for `_ratio`; the SDK for Python leaves it out.
    return name in conventions or name.removesuffix("_ratio") in conventions


def test_the_readme_names_exactly_those_families_that_no_convention_has(conventions):
    table = README.split("| own name |", 1)[1].split("\n\n", 1)[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    own = {family.name for family in OWN if not _is_of(family.name, conventions)} - {"target_info"}
    assert told == own


@pytest.mark.parametrize(
    "name",
    [
        "http_server_request_duration_seconds",
        "http_server_active_requests",
        "db_client_operation_duration_seconds",
        "db_client_connection_count",
        "db_client_connection_max",
        "db_client_connection_pending_requests",
        "db_client_connection_timeouts_total",
        "process_memory_usage_bytes",
        "process_cpu_utilization_ratio",
        "system_cpu_utilization_ratio",
        "system_memory_utilization_ratio",
    ],
)
def test_what_a_convention_has_is_called_as_it_says(conventions, name):
    assert _is_of(name, conventions)
    assert name in {family.name for family in FAMILIES}


def test_labels_are_attributes_of_the_conventions_or_this_exporter_s_own():
    known = set()
    for package in ("opentelemetry.semconv.attributes", f"{_incubating.__name__}.attributes"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            constants = vars(importlib.import_module(f"{package}.{module.name}"))
            known |= {each.replace(".", "_") for each in constants.values() if isinstance(each, str)}
    used = {label for family in OWN for label in family.labels}
    own = {
        "browser_timing_name",
        "collector",
        "family",
        "page",
        "reason",
        "result",
        "websocket_message_direction",
        "worker_number",
    }
    assert used - known == own


def test_a_direction_of_messages_is_not_one_of_network_interfaces():
    """OpenTelemetry 1.43 took the attribute back for logical connections."""
    assert "network_io_direction" not in {label for family in FAMILIES for label in family.labels}


def test_modes_of_processors_and_states_of_memory_are_those_of_the_conventions():
    figures, deadline = ProcessFigures(), time.monotonic() + 30
    shown = {"cpu_mode": set()}
    while not shown["cpu_mode"]:  # the use of processors is taken over some time
        assert time.monotonic() < deadline
        figures.sample()
        sum(range(1_000_000))
        shown = {
            label: {
                sample.labels[label]
                for family in figures.collect()
                for sample in family.samples
                if sample.labels.get(label)
            }
            for label in ("cpu_mode", "system_memory_state")
        }
    assert {"user", "system"} <= shown["cpu_mode"] <= {mode.value for mode in cpu_attributes.CpuModeValues}
    assert not shown["cpu_mode"] & {"idle", "iowait"}  # so that the modes add up to the use
    assert shown["system_memory_state"] == {system_attributes.SystemMemoryStateValues.USED.value}


def test_navigation_types_are_those_of_the_conventions_and_one_for_calls():
    # The values of `browser.web_vital.navigation_type` in version 1.44; the installed package may be older.
    known = {"navigate", "reload", "back-forward", "back-forward-cache", "prerender", "restore"}
    assert known | {"soft-navigation"} == NAVIGATION_TYPES


# --- the rules -----------------------------------------------------------------------------------------------------


def _raw(rule):
    """The metrics that a rule reads in the end, through recorded names."""
    recorded = {each.name for each in ALL if not each.alerting}
    found = set()
    waiting = [rule]
    while waiting:
        new = {read.series for read in reads(waiting.pop().expr)} - found
        found |= new
        waiting += [each for each in ALL if each.name in new and not each.alerting]
    return {name for name in found - recorded if ":" not in name}  # without users' own thresholds


def test_the_rules_page_names_exactly_those_alerts_that_opentelemetry_alone_can_never_fire(conventions):
    table = RULES_PAGE.split("| alert | what it reads |", 1)[1].split("\n\n", 1)[0]
    told = {"never": set(), "fires": set()}
    for row in table.splitlines()[2:]:
        _, alerts, _, answer, _ = row.split("|")
        told[answer.split()[0]] |= set(re.findall(r"`(\w+)`", alerts))
    answers = {"never": set(), "fires": set()}
    for rule in ALL:
        if rule.alerting and rule.file in {"alerts.yml", "evidence.yml", "release.yml"}:
            raw = _raw(rule)
            fed = raw <= PRESENCE or any(_is_of(name, conventions) for name in raw - PRESENCE)
            answers["fires" if fed else "never"].add(rule.name)
    assert told == answers


def test_what_rules_and_dashboard_read_in_place_of_the_exporter_s_names_is_opentelemetry_s(conventions):
    assert [name for name in OPENTELEMETRY if not _is_of(name, conventions)] == []


def _series(name, labels):
    quoted = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{quoted}}}"


@pytest.mark.parametrize(
    ("used", "fires"),
    [(960, True), (500, False)],
)
def test_memory_that_opentelemetry_s_sdk_exposes_fires_the_alert(tmp_path, used, fires):
    """The series are those of its Prometheus exporter, with the labels that it gives them."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry)
    resource = Resource({
        "service.name": "shop", "service.version": "v1", "deployment.environment.name": "production",
    })  # fmt: skip
    provider = MeterProvider(metric_readers=[reader], resource=resource)
    meter = provider.get_meter("shop")
    container_metrics.create_container_memory_usage(meter).add(used)
    container_metrics.create_container_memory_available(meter).add(1000 - used)
    exposed = generate_latest(registry).decode()
    provider.shutdown()
    scraped = {"job": "shop", "instance": "a"}  # what Prometheus adds
    series = {
        _series(sample.name, {**sample.labels, **scraped}): f"{sample.value:g}x60"
        for family in text_string_to_metric_families(exposed)
        if family.name == "target_info" or family.name.startswith("container_memory")
        for sample in family.samples
    }
    assert len(series) == 3
    alert = 'count(ALERTS{alertname="CriticalMemoryUsage", alertstate="firing"})'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    test = {
        "rule_files": [str(ROOT / f"rules/{name}.yml") for name in ("thresholds", "recording", "release", "alerts")],
        "evaluation_interval": "5s",
        "group_eval_order": [
            f"rearguard.{name}"
            for name in (
                "thresholds", "thresholds_of_releases", "identity", "release", "release_floor", "release_small",
                "service_thresholds", "release_thresholds", "figures", "alerts",
            )
        ],
        "tests": [{
            "interval": "5s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": alert, "eval_time": "3m", "exp_samples": samples}],
        }],
    }  # fmt: skip
    path = tmp_path / "memory.test.yml"
    path.write_text(yaml.safe_dump(test))
    fetch()
    done = subprocess.run(
        [find("promtool"), "test", "rules", path],
        capture_output=True, text=True, check=False, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
