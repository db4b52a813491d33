"""The dashboards as files: well-formed, linked, and with only names that the code exposes.

What they show is tested by test_grafana_service.py (series of our own) and test_grafana_live.py (a real Prometheus).
"""

import itertools
import json
import re
import subprocess
import sys
from functools import cache

import pytest
import yaml

from check.dashboards import BOARDS, FOLDER, ROOT, SERVICE, SOURCE, names_in
from check.rule_files import OPENTELEMETRY
from rearguard_controller.adapters import telemetry
from rearguard_exporter import families

EACH_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=str)
EACH_PANEL = pytest.mark.parametrize(
    "panel",
    [pytest.param(panel, id=f"{board}: {panel['title']}") for board in BOARDS.values() for panel in board.panels],
)
EACH_EXPRESSION = pytest.mark.parametrize(
    "expression", dict.fromkeys(expression for board in BOARDS.values() for expression in board.expressions)
)
# Labels that Prometheus itself adds to every scraped series, to histograms and to alerts.
ADDED = {"job", "instance", "le", "alertname", "alertstate", "severity"}
# What Prometheus itself records.
PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"}
PAGES = {"/", "/targets/"}


def _recorded():
    rules = itertools.chain.from_iterable(
        group["rules"]
        for file in (ROOT / "rules").glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
    )
    return {rule["record"] for rule in rules if "record" in rule}


@cache
def _exposed():
    names, labels = {*_recorded(), *OPENTELEMETRY, *PROMETHEUS}, ADDED.union(*OPENTELEMETRY.values())
    for family in families.FAMILIES:
        names |= set(family.series)
        labels |= set(family.labels)
    for family in telemetry.FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        names |= {family.name + suffix for suffix in suffixes}
        labels |= set(family.labels)
    return names, labels


@EACH_BOARD
def test_a_dashboard_is_fixed_and_refreshes(board):
    assert board.path.stem == board.uid
    assert board.content["title"].startswith("Rearguard / ")
    assert board.content["tags"] == ["rearguard"]
    assert board.content["editable"] is False
    assert board.content["refresh"]
    assert "id" not in board.content


def test_titles_are_unique():
    assert len({board.content["title"] for board in BOARDS.values()}) == len(BOARDS)


@EACH_BOARD
def test_panel_ids_are_unique(board):
    ids = [panel["id"] for panel in board.content["panels"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@EACH_BOARD
def test_panels_fill_the_grid_without_overlap_or_gap(board):
    taken = set()
    for panel in board.content["panels"]:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


@EACH_PANEL
def test_every_panel_explains_itself(panel):
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    assert [query["datasource"] for query in panel["targets"]] == [SOURCE] * len(panel["targets"])
    assert len({query["refId"] for query in panel["targets"]}) == len(panel["targets"])


@EACH_BOARD
def test_every_variable_is_defined_and_used(board):
    defined = {variable["name"] for variable in board.variables}
    parts = [board.content[name] for name in ("panels", "annotations", "links")]
    used = set(re.findall(r"\$\{?([a-z_]\w*)", json.dumps(parts)))
    assert {name for name in used if not name.startswith("__")} == defined
    for variable in board.choices:
        assert variable["datasource"] == SOURCE
        assert variable["definition"] == variable["query"]["query"]


@EACH_BOARD
def test_dashboards_lead_to_the_page_and_to_each_other(board):
    page, others = board.content["links"]
    assert page["url"] == "${rearguard_url}/"
    assert (others["type"], others["tags"], others["keepTime"]) == ("dashboards", ["rearguard"], True)
    for url in re.findall(r'"url": "([^"]+)"', json.dumps(board.panels)):
        if url.startswith("/d/"):
            uid, asked = url.removeprefix("/d/").split("?")
            assert set(re.findall(r"var-(\w+)=", asked)) <= {each["name"] for each in BOARDS[uid].variables}
        else:
            path = re.sub(r"\$\{__[\w.]+\}$", "", url.removeprefix("${rearguard_url}"))
            assert path in PAGES


@EACH_PANEL
def test_a_link_names_only_labels_that_its_panel_has(panel):
    for label in re.findall(r"__(?:data\.fields|field\.labels)\.(\w+)", json.dumps(panel["fieldConfig"])):
        for query in panel["targets"]:
            assert label in re.search(r"\bby \(([^)]*)\)", query["expr"])[1].split(", ")


def test_some_panel_leads_to_the_page_of_a_target():
    boards = [board for board in BOARDS.values() if "${rearguard_url}/targets/" in json.dumps(board.panels)]
    assert {"rearguard-controller", "rearguard-service"} <= {board.uid for board in boards}


@EACH_EXPRESSION
def test_rates_take_the_interval_that_grafana_works_out(expression):
    for window in re.findall(r"\[([^\]]+)\]", expression):
        assert window in {"$__rate_interval", "$__range"}


@EACH_EXPRESSION
def test_every_metric_and_label_is_one_that_the_code_exposes(expression):
    exposed_names, exposed_labels = _exposed()
    names, labels = names_in(expression)
    assert names
    assert names <= exposed_names
    assert labels <= exposed_labels


def test_a_metric_or_label_that_nobody_exposes_is_noticed():
    names, labels = names_in('sum by (nobody) (rate(no_such_total{neither="x"}[5m])) / (Other_total > 0)')
    assert names == {"no_such_total", "Other_total"}
    assert labels == {"nobody", "neither"}


def test_the_dashboards_built_by_code_are_what_the_code_builds(tmp_path):
    subprocess.run([sys.executable, "-B", FOLDER / "tools/boards", tmp_path], check=True, timeout=60)
    built = {file.name: file.read_text() for file in tmp_path.iterdir()}
    kept = {board.path.name: board.path.read_text() for board in BOARDS.values()}
    assert built == {name: text for name, text in kept.items() if name != "rearguard-service.json"}


def test_versions_that_have_left_are_not_shown_as_serving():
    (panel,) = [panel for panel in SERVICE.panels if panel["title"] == "Serving"]
    assert panel["options"]["reduceOptions"]["calcs"] == [
        "lastNotNull"
    ]  # of a range: of every version that was there
    assert panel["targets"][0]["instant"] is True


def test_every_dashboard_is_shipped_in_the_same_way():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (made,) = kustomization["configMapGenerator"]
    assert made["files"] == [f"dashboards/{name}.json" for name in sorted(BOARDS)]


def test_provisioning_names_the_folder_and_the_environment():
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/rearguard.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"]
    assert provider["allowUiUpdates"] is False
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/rearguard.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "${PROMETHEUS_URL}"
