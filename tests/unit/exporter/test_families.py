"""The list of families: their names and labels, and what promlint would ask for."""

import re

from rearguard_exporter import FAMILIES
from rearguard_exporter.families import OWN, Kind

# What users build dashboards and rules on: written down here by hand, not taken from the code.
PROMISED = {
    "target_info": {"service_name", "service_version", "deployment_environment_name"},
    "http_server_request_duration_seconds": {
        "http_request_method",
        "http_route",
        "http_response_status_code",
        "error_type",
    },
    "http_server_active_requests": {"http_request_method", "url_scheme"},
    "websocket_server_active_connections": {"http_route"},
    "websocket_server_connections_total": {"http_route"},
    "websocket_server_connection_duration_seconds": {"http_route"},
    "websocket_server_disconnects_total": {"http_route", "reason"},
    "websocket_server_messages_total": {"http_route", "websocket_message_direction"},
    "db_client_operation_duration_seconds": {
        "db_system_name",
        "db_namespace",
        "db_operation_name",
        "error_type",
    },
    "db_client_connection_count": {"db_client_connection_pool_name", "db_client_connection_state"},
    "db_client_connection_max": {"db_client_connection_pool_name"},
    "db_client_connection_pending_requests": {"db_client_connection_pool_name"},
    "db_client_connection_timeouts_total": {"db_client_connection_pool_name"},
    "db_client_connection_failures_total": {"db_client_connection_pool_name"},
    "db_up": {"db_client_connection_pool_name"},
    "browser_web_vital_lcp_seconds": {"page", "browser_web_vital_navigation_type"},
    "browser_web_vital_inp_seconds": {"page", "browser_web_vital_navigation_type"},
    "browser_web_vital_fcp_seconds": {"page", "browser_web_vital_navigation_type"},
    "browser_web_vital_ttfb_seconds": {"page", "browser_web_vital_navigation_type"},
    "browser_web_vital_cls": {"page", "browser_web_vital_navigation_type"},
    "browser_timing_seconds": {"browser_timing_name"},
    "browser_javascript_errors_total": {"page", "error_type"},
    "process_memory_usage_bytes": set(),
    "process_memory_limit_bytes": set(),
    "process_cpu_utilization_ratio": {"cpu_mode"},
    "system_cpu_utilization_ratio": {"cpu_mode"},
    "system_memory_utilization_ratio": {"system_memory_state"},
    "python_event_loop_lag_seconds": set(),
    "rearguard_exporter_series": {"family"},
    "rearguard_exporter_folded_total": {"family"},
    "rearguard_exporter_render_seconds": {"family"},
    "rearguard_exporter_collector_timeouts_total": {"collector"},
    "rearguard_exporter_beacons_total": {"result"},
    "rearguard_exporter_workers": {"service_version"},
    "process_worker_memory_usage_bytes": {"worker_number"},
    "process_worker_cpu_seconds_total": {"worker_number"},
    "process_worker_open_fds": {"worker_number"},
    "process_worker_start_time_seconds": {"worker_number"},
}


def test_names_and_labels_are_those_that_users_rely_on():
    assert {family.name: set(family.labels) for family in OWN} == PROMISED


def test_names_are_unique_and_well_formed():
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
        assert family.help.endswith(".")
        assert list(family.bounds) == sorted(set(family.bounds))
        assert bool(family.bounds) == (family.kind is Kind.HISTOGRAM)


# https://web.dev/articles/vitals: good up to the first, poor above the second.
RATED = {
    "browser_web_vital_lcp_seconds": {2.5, 4.0},
    "browser_web_vital_inp_seconds": {0.2, 0.5},
    "browser_web_vital_cls": {0.1, 0.25},
    "browser_web_vital_fcp_seconds": {1.8, 3.0},
    "browser_web_vital_ttfb_seconds": {0.8, 1.8},
}


def test_web_vitals_can_be_rated_by_their_buckets():
    bounds = {family.name: set(family.bounds) for family in OWN}
    assert {name: rated & bounds[name] for name, rated in RATED.items()} == RATED


def test_a_histogram_is_found_under_its_three_names():
    series = {name for family in FAMILIES for name in family.series}
    assert "http_server_request_duration_seconds_bucket" in series
    assert "http_server_request_duration_seconds" not in series
    assert "db_up" in series
