"""The families against OpenTelemetry's own: every metric of its conventions, as its SDK exposes it to Prometheus."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.semconv import _incubating, metrics
from opentelemetry.semconv._incubating.attributes import cpu_attributes, system_attributes
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rearguard_exporter import FAMILIES
from rearguard_exporter.families import OWN
from rearguard_exporter.values.process_figures import ProcessFigures

README = (Path(__file__).parents[3] / "exporter/README.md").read_text()


def _makers():
    """Every function of the conventions that makes an instrument."""
    for package in (metrics, importlib.import_module(f"{_incubating.__name__}.metrics")):
        for module in pkgutil.iter_modules(package.__path__):
            made = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
            yield from (made[name] for name in sorted(made) if name.startswith("create_"))


@pytest.fixture(scope="module")
def conventions():
    """The names that OpenTelemetry's SDK gives to all metrics of its conventions, as Prometheus reads them."""
    reader = PrometheusMetricReader()
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
            family.name + ("_total" if family.type == "counter" else "")
            for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())
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
    assert used - known == {"reason", "websocket_message_direction", "family", "collector"}


def test_a_direction_of_messages_is_not_one_of_network_interfaces():
    """OpenTelemetry 1.43 took the attribute back for logical connections."""
    assert "network_io_direction" not in {label for family in FAMILIES for label in family.labels}


def test_modes_of_processors_and_states_of_memory_are_those_of_the_conventions():
    figures = ProcessFigures()
    figures.sample()
    sum(range(1_000_000))
    figures.sample()
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
