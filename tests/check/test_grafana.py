"""The dashboard: well-formed, only names that the code exposes, and data in every panel from a real Prometheus.

No Grafana is asked for: its variables are filled in here as Grafana would, and the expressions run in Prometheus.
"""

import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
import requests
import yaml

from check.rule_files import OPENTELEMETRY
from local_stack.binaries import environment, fetch, find
from local_stack.process import Program, free_ports, wait_until
from rearguard_controller.adapters import telemetry
from rearguard_exporter import families

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboards/rearguard-service.json").read_text())
CONFIGURATION = ROOT / "deploy/kubernetes/base/rearguard.yaml"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VALUES = {
    "service": "shop",
    "environment": "production",
    "target": "checkout",
    "__rate_interval": "20s",
    "__range": "1m",
}
# Labels that Prometheus itself adds to every scraped series, and to histograms.
ADDED = {"job", "instance", "le"}
BEACON = (
    '{"page": "/cart", "navigation": "navigate", "vitals": {"lcp": 3500, "inp": 350, "cls": 0.2}, '
    '"timings": [["checkout_rendered", 900]], "errors": {"TypeError": 1}}'
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ANNOTATIONS = DASHBOARD["annotations"]["list"]
VARIABLES = DASHBOARD["templating"]["list"]
QUERIES = [
    (panel["title"], query["refId"], query["expr"], query["legendFormat"])
    for panel in PANELS
    for query in panel["targets"]
]


def _filled(expression):
    return re.sub(r"\$([a-z_]\w*)", lambda found: VALUES[found[1]], expression)


def _recorded():
    rules = itertools.chain.from_iterable(
        group["rules"]
        for file in (ROOT / "rules").glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
    )
    return {rule["record"] for rule in rules if "record" in rule}


def _exposed():
    names, labels = {*_recorded(), *OPENTELEMETRY}, ADDED.union(*OPENTELEMETRY.values())
    for family in families.FAMILIES:
        names |= set(family.series)
        labels |= set(family.labels)
    for family in telemetry.FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        names |= {family.name + suffix for suffix in suffixes}
        labels |= set(family.labels)
    return names, labels


def _names_in(expression):
    """Metric names and label names of an expression, told apart by where they stand."""
    labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression))
    for listed in re.findall(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in listed.split(",") if label.strip()}
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    bare = re.sub(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = set(re.findall(r"(?<![\w$])[a-z_][\w:]*(?!\s*\()\b(?!\()", bare))
    return words - {"by", "on", "or", "and", "unless", "offset", "bool"}, labels


# --- the file ----------------------------------------------------------------------------------------------------


def test_the_dashboard_is_fixed_and_refreshes():
    assert DASHBOARD["uid"] == "rearguard-service"
    assert DASHBOARD["title"] == "Rearguard / Service"
    assert DASHBOARD["editable"] is False
    assert DASHBOARD["refresh"]
    assert "id" not in DASHBOARD


def test_panel_ids_are_unique():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_panels_fill_the_grid_without_overlap_or_gap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_every_panel_explains_itself(panel):
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    assert [query["datasource"] for query in panel["targets"]] == [SOURCE] * len(panel["targets"])
    assert len({query["refId"] for query in panel["targets"]}) == len(panel["targets"])


def test_every_variable_is_defined_and_used():
    defined = {variable["name"] for variable in VARIABLES}
    used = set(re.findall(r"\$\{?([a-z_]\w*)", json.dumps(DASHBOARD["panels"]) + json.dumps(ANNOTATIONS)))
    assert {name for name in used if not name.startswith("__")} == defined
    for variable in VARIABLES[1:]:
        assert variable["datasource"] == SOURCE
        assert variable["definition"] == variable["query"]["query"]


@pytest.mark.parametrize("expression", [*(query[2] for query in QUERIES), *(one["expr"] for one in ANNOTATIONS)])
def test_rates_take_the_interval_that_grafana_works_out(expression):
    for window in re.findall(r"\[([^\]]+)\]", expression):
        assert window in {"$__rate_interval", "$__range"}


@pytest.mark.parametrize("expression", [*(query[2] for query in QUERIES), *(one["expr"] for one in ANNOTATIONS)])
def test_every_metric_and_label_is_one_that_the_code_exposes(expression):
    exposed_names, exposed_labels = _exposed()
    names, labels = _names_in(expression)
    assert names
    assert names <= exposed_names
    assert labels <= exposed_labels


def test_a_metric_or_label_that_nobody_exposes_is_noticed():
    names, labels = _names_in('sum by (nobody) (rate(no_such_total{neither="x"}[5m])) / (other_total > 0)')
    assert names == {"no_such_total", "other_total"}
    assert labels == {"nobody", "neither"}


def test_provisioning_names_the_folder_and_the_environment():
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/rearguard.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"]
    assert provider["allowUiUpdates"] is False
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/rearguard.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "${PROMETHEUS_URL}"


# --- against series of our own ------------------------------------------------------------------------------------

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
            {"expr": _filled(expression), "eval_time": at, "exp_samples": samples}
            for expression, at, samples in checks
        ],
    }
    path = folder / "dashboard.test.yml"
    settings = {"rule_files": [str(ROOT / f"rules/{name}.yml") for name in ("thresholds", "recording", "release")]}
    settings |= {"evaluation_interval": "5s", "tests": [test]}
    settings["group_eval_order"] = [
        f"rearguard.{name}" for name in ("thresholds", "release", "service_thresholds", "figures")
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
    (expression,) = [one["expr"] for one in ANNOTATIONS if one["name"] == "Releases"]
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
    panels = {(title, ref): expression for title, ref, expression, _ in QUERIES}
    labels = '{service_name="shop", service_version="v2"}'
    drawn = {"Error ratio, by version": 0.0, "Latency, by version": 0.1}
    checks = [(panels[title, "A"], "115s", [{"labels": labels, "value": value}]) for title, value in drawn.items()]
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
    panels = {(name, letter): expression for name, letter, expression, _ in QUERIES}
    ((label, value),) = drawn.items()
    labels = 'service_name="shop"' + (', service_version="v1", instance="a"' if label else "")
    shown = {f"{name}{{{SCRAPED}}}": values for name, values in series.items()}
    checks = [(panels[title, ref], "150s", [{"labels": f"{{{labels}}}", "value": value}])]
    _promtool(tmp_path, {INFO % "v1": "1x40", **shown}, checks)


def test_messages_are_drawn_by_the_old_label_of_their_direction_and_by_the_new_one(tmp_path):
    (expression,) = [one[2] for one in QUERIES if one[0].startswith("Messages per second")]
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


# --- against a real Prometheus -------------------------------------------------------------------------------------


def _settings(shop):
    jobs = [
        {"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{shop}"]}]},
        {
            "job_name": "rearguard",
            "metrics_path": "/controller",
            "static_configs": [{"targets": [f"127.0.0.1:{shop}"]}],
        },
    ]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "rules/*.yml")],
        "scrape_configs": jobs,
    }


async def _visit(address):
    async with aiohttp.ClientSession(address) as session:
        for path in ("/orders",) * 9 + ("/fail",):
            async with session.get(path) as answer:
                await answer.read()
        async with session.post("/rollback") as answer:
            assert answer.status == 200
        async with session.post("/api/monitoring/vitals", data=BEACON) as answer:
            assert answer.status == 204
        async with session.ws_connect("/feed") as socket:
            await socket.send_str("hello")
            await socket.receive(timeout=5)


class Prometheus:
    """The real one, for the time of the tests."""

    def __init__(self, address, shop):
        self.address = address
        self.shop = shop
        self.moment = 0.0  # all queries ask about one moment, however long the tests take

    def query(self, expression):
        answer = requests.get(
            f"{self.address}/api/v1/query", {"query": _filled(expression), "time": self.moment}, timeout=10
        ).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def ready(self):
        """Make a little traffic and let a rollback happen; true once every panel has data."""
        asyncio.run(_visit(self.shop))
        self.moment = time.time()
        return all(_numbers(self.query(query[2])) for query in QUERIES)


def _numbers(result):
    return [sample for sample in result if sample["value"][1] != "NaN"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    fetch()
    folder = tmp_path_factory.mktemp("grafana")
    shop_port, port = free_ports(2)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_settings(shop_port)))
    shop, address = f"http://127.0.0.1:{shop_port}", f"http://127.0.0.1:{port}"
    shop_command = [
        sys.executable,
        Path(__file__).with_name("shop_for_grafana.py"),
        str(shop_port),
        "1.4.2",
        CONFIGURATION,
    ]
    command = [
        find("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    starts = [("shop", shop_command, f"{shop}/healthz"), ("prometheus", command, f"{address}/-/ready")]
    programs = [
        Program(name, line, folder=folder, log=folder / f"{name}.log", ready_url=url, environment=environment())
        for name, line, url in starts
    ]
    try:
        for program in programs:
            program.start()
        running = Prometheus(address, shop)
        # The recording rules' groups run every 5 s; rates need two scrapes.
        wait_until(running.ready, within=60, what="data in every panel", every=0.5)
        yield running
    finally:
        for program in programs:
            program.stop()


@pytest.mark.parametrize(
    ("title", "ref", "expression", "legend"), QUERIES, ids=[f"{one[0]} {one[1]}" for one in QUERIES]
)
def test_every_panel_shows_what_prometheus_has(prometheus, title, ref, expression, legend):
    result = prometheus.query(expression)
    assert _numbers(result)
    for label in re.findall(r"\{\{(\w+)\}\}", legend):
        assert all(sample["metric"].get(label) for sample in result)


def test_the_error_ratio_is_that_of_the_traffic(prometheus):
    (expression,) = [one[2] for one in QUERIES if one[0].startswith("Error ratio") and one[1] == "A"]
    (sample,) = prometheus.query(expression)
    assert sample["metric"] == {"service_name": "shop", "service_version": "1.4.2"}
    # One of eleven answers fails; a scrape may fall between, and its own answers count too.
    assert float(sample["value"][1]) == pytest.approx(1 / 11, abs=0.04)


@pytest.mark.parametrize(
    ("panel", "label", "happened"),
    [
        ("Rollbacks, by outcome", "outcome", {"recovered"}),
        ("Decisions, by verdict", "verdict", {"leave"}),
        ("Why not", "reason", {"recent_release"}),
        ("Time of a rollback, by span", "span", {"command", "total"}),
    ],
)
def test_only_what_the_controller_did_is_shown(prometheus, panel, label, happened):
    (expression,) = [one[2] for one in QUERIES if one[0] == panel]
    assert {sample["metric"][label] for sample in _numbers(prometheus.query(expression))} == happened


def test_the_times_of_a_rollback_are_those_recorded(prometheus):
    (expression,) = [one[2] for one in QUERIES if one[0].startswith("Time of a rollback")]
    times = {sample["metric"]["span"]: float(sample["value"][1]) for sample in prometheus.query(expression)}
    assert times == pytest.approx({"command": 1.5, "total": 30.0})


def test_a_closed_rollback_marks_the_graphs(prometheus):
    (expression,) = [one["expr"] for one in ANNOTATIONS if one["name"] == "Rollbacks closed"]
    (sample,) = prometheus.query(expression)
    assert sample["metric"] == {"target": "checkout", "outcome": "recovered", "trigger": "alert"}


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=lambda one: one["name"])
def test_every_annotation_runs_and_names_only_labels_it_gets(prometheus, annotation):
    prometheus.query(annotation["expr"])
    wanted = re.findall(r"\{\{(\w+)\}\}", annotation["textFormat"])
    (kept,) = set(re.findall(r"^\w+ by \(([^)]*)\)", annotation["expr"]))
    assert set(wanted) <= {label.strip() for label in kept.split(",")}


@pytest.mark.parametrize("variable", VARIABLES[1:], ids=lambda one: one["name"])
def test_every_variable_finds_its_values(prometheus, variable):
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()
    result = prometheus.query(selector)
    assert {sample["metric"][label] for sample in result} == {VALUES[variable["name"]]}
