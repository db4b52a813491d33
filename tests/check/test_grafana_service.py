"""What the panels of one service draw of series of our own: promtool evaluates their expressions."""

import subprocess

import pytest
import yaml

from check.dashboards import ROOT, SERVICE, filled
from local_stack.binaries import environment, fetch, find

LABELS = 'job="shop", instance="a", service_name="shop", deployment_environment_name="production"'
INFO = f'target_info{{{LABELS}, service_version="%s"}}'
REQUESTS = 'http_server_request_duration_seconds_count{job="shop", instance="a", http_response_status_code="%s"}'


def _promtool(folder, series, checks):
    """Whether promtool finds that each expression has the samples it should have, at scrapes of 5 s."""
    fetch()
    test = {
        "interval": "5s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": filled(expression), "eval_time": at, "exp_samples": samples}
            for expression, at, samples in checks
        ],
    }
    path = folder / "dashboard.test.yml"
    settings = {"rule_files": [str(ROOT / f"rules/{name}.yml") for name in ("thresholds", "recording", "release")]}
    settings |= {"evaluation_interval": "5s", "tests": [test]}
    settings["group_eval_order"] = [
        f"rearguard.{name}"
        for name in (
            "thresholds",
            "thresholds_of_releases",
            "identity",
            "release",
            "release_floor",
            "release_small",
            "service_thresholds",
            "release_thresholds",
            "figures",
            "browsers",
        )
    ]
    path.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [find("promtool"), "test", "rules", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_release_marks_the_graphs_and_a_missed_scrape_does_not(tmp_path):
    (expression,) = [one["expr"] for one in SERVICE.annotations if one["name"] == "Releases"]
    series = {INFO % "v1": "1x20 stale 1x20 stale", INFO % "v2": "_x43 1x40"}
    mark = {"labels": '{service_name="shop", service_version="v2"}', "value": 1}
    quiet = [(expression, f"{at}s", []) for at in range(60, 211, 5)]
    _promtool(tmp_path, series, [*quiet, (expression, "215s", [mark]), (expression, "270s", [])])


def test_what_the_old_version_did_is_not_drawn_under_the_new_one_at_the_same_address(tmp_path):
    series = {
        INFO % "v1": "1x20 stale",
        INFO % "v2": "_x21 1x40",
        REQUESTS % "200": "0+10x20 10+10x40",
        REQUESTS % "500": "0+90x20 stale",
        REQUESTS.replace("_count", "_sum") % "200": "0+1000x20 1+1x40",
    }
    labels = '{service_name="shop", service_version="v2"}'
    drawn = {"Error ratio, by version": 0.0, "Latency, by version": 0.1}
    checks = [(SERVICE.expr(title), "115s", [{"labels": labels, "value": value}]) for title, value in drawn.items()]
    _promtool(tmp_path, series, checks)


SCRAPED = 'job="shop", instance="a", otel_scope_name="shop"'


@pytest.mark.parametrize(
    ("title", "ref", "series", "drawn"),
    [
        (
            "Memory",
            "A",
            {"container_memory_usage_bytes": "600x40", "container_memory_available_bytes": "400x40"},
            {"": 0.6},
        ),
        ("Memory", "A", {"process_memory_utilization_ratio": "0.3x40"}, {"": 0.3}),
        ("Memory and its limit", "A", {"container_memory_usage_bytes": "600x40"}, {"instance": 600}),
        (
            "Memory and its limit",
            "B",
            {"container_memory_usage_bytes": "600x40", "container_memory_available_bytes": "400x40"},
            {"": 1000},
        ),
        ("Processors in use", "A", {"process_cpu_time_seconds_total": "0+10x40"}, {"instance": 2}),
        ("Garbage collections per second", "A", {"cpython_gc_collections_total": "0+5x40"}, {"instance": 1}),
    ],
)
def test_what_opentelemetry_alone_shows_is_drawn_in_the_same_panel(tmp_path, title, ref, series, drawn):
    ((label, value),) = drawn.items()
    labels = 'service_name="shop"' + (', service_version="v1", instance="a"' if label else "")
    shown = {f"{name}{{{SCRAPED}}}": values for name, values in series.items()}
    checks = [(SERVICE.expr(title, ref), "150s", [{"labels": f"{{{labels}}}", "value": value}])]
    _promtool(tmp_path, {INFO % "v1": "1x40", **shown}, checks)


def test_messages_are_drawn_by_the_old_label_of_their_direction_and_by_the_new_one(tmp_path):
    expression = SERVICE.expr("Messages per second, by direction")
    series = {
        INFO % "v1": "1x40",
        f'websocket_server_messages_total{{{SCRAPED}, network_io_direction="receive"}}': "0+5x40",
        f'websocket_server_messages_total{{{SCRAPED}, websocket_message_direction="transmit"}}': "0+10x40",
    }
    samples = [
        {"labels": f'{{service_name="shop", websocket_message_direction="{direction}"}}', "value": value}
        for direction, value in (("receive", 1), ("transmit", 2))
    ]
    _promtool(tmp_path, series, [(expression, "150s", samples)])
