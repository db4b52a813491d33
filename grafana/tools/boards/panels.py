"""Panels, variables, links and the grid of a dashboard, as Grafana's JSON.

Here: how things look. Never here: what a dashboard shows (`controller`, `fleet`, `exporter_cost`).
"""

from dataclasses import dataclass, field
from itertools import count

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid
YES_NO = {0: ("red", "no"), 1: ("green", "yes")}
PAGE = "http://localhost:9465"  # until somebody enters theirs


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are called: labels in double braces."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Link:
    """What a click on a value opens."""

    title: str
    url: str


@dataclass(frozen=True)
class Panel:
    """One panel; `kind` is Grafana's type."""

    kind: str
    title: str
    description: str
    queries: tuple[Query, ...]
    width: int
    unit: str = "short"
    steps: tuple[tuple[float | None, str], ...] = ((None, "green"),)  # from this value on, this colour
    words: dict[int, tuple[str, str]] = field(default_factory=dict)  # value: (colour, word)
    bars: bool = False
    links: tuple[Link, ...] = ()
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)  # field of a table: (name, unit)
    show: str = "auto"  # text of a stat: auto, name, value_and_name


@dataclass(frozen=True)
class Row:
    """Panels side by side under a title; no title: they go on under the row above."""

    title: str
    height: int
    panels: tuple[Panel, ...]


TARGET_PAGE = Link("Open the page of ${__field.labels.target}", "${rearguard_url}/targets/${__field.labels.target}")
TARGET_PAGE_OF_ROW = Link("Open the page of this target", "${rearguard_url}/targets/${__data.fields.target}")
SERVICE_BOARD = Link(
    "Open the dashboard of this service",
    "/d/rearguard-service?var-service=${__data.fields.service_name}&${__url_time_range}",
)


def dashboard(uid, title, description, variables, rows, *, begins="now-6h", annotations=()):
    """The whole file as data."""
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": links(),
        "panels": _grid(rows),
        "refresh": "30s",
        "schemaVersion": 39,
        "tags": ["rearguard"],
        "templating": {"list": [_data_source(), *variables, page_address()]},
        "time": {"from": begins, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "version": 1,
        "weekStart": "",
    }


def links():
    """To the page, and to the other dashboards."""
    common = {"asDropdown": False, "icon": "external link", "includeVars": False, "tooltip": ""}
    page = {
        "type": "link",
        "title": "Page",
        "url": "${rearguard_url}/",
        "targetBlank": True,
        "keepTime": False,
        "tags": [],
    }
    others = {
        "type": "dashboards",
        "title": "",
        "url": "",
        "targetBlank": False,
        "keepTime": True,
        "tags": ["rearguard"],
    }
    return [common | page, common | others]


def variable(name, label, query, description):
    """A choice among the values of a label; all of them at first."""
    return {
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": SOURCE,
        "definition": query,
        "description": description,
        "hide": 0,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": query, "refId": f"Var-{name}"},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }


def page_address():
    """Where the controller's page is, for the links; entered by hand."""
    value = {"selected": True, "text": PAGE, "value": PAGE}
    return {
        "current": value,
        "description": "external_url of the controller, for the links",
        "hide": 0,
        "label": "Page",
        "name": "rearguard_url",
        "options": [value],
        "query": PAGE,
        "skipUrlSync": False,
        "type": "textbox",
    }


def annotation(name, colour, expr, title, text):
    """Marks on all graphs, at the moments when the expression has a value."""
    return {
        "datasource": SOURCE,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "step": "60s",
        "tagKeys": "",
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": False,
    }


def _data_source():
    return {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    }


def _grid(rows):
    ids, y, placed = count(1), 0, []
    for row in rows:
        if row.title:
            at = {"h": 1, "w": WIDTH, "x": 0, "y": y}
            heading = {"collapsed": False, "gridPos": at, "id": next(ids), "panels": [], "title": row.title}
            placed.append(heading | {"type": "row"})
            y += 1
        x = 0
        for panel in row.panels:
            at = {"h": row.height, "w": panel.width, "x": x, "y": y}
            placed.append(_panel(panel, at, next(ids)))
            x += panel.width
        y += row.height
    return placed


def _panel(panel, at, number):
    custom, options = _LOOKS[panel.kind](panel)
    mode = "thresholds" if panel.kind != "timeseries" else "palette-classic-by-name"
    defaults = {
        "color": {"mode": mode},
        "custom": custom,
        "links": [{"title": each.title, "url": each.url, "targetBlank": True} for each in panel.links],
        "mappings": _mappings(panel.words),
        "min": 0,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for value, colour in panel.steps],
        },
        "unit": panel.unit,
    }
    made = {
        "datasource": SOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel)},
        "gridPos": at,
        "id": number,
        "options": options,
        "targets": [_target(panel, query, letter) for query, letter in zip(panel.queries, "ABCDEF", strict=False)],
        "title": panel.title,
        "type": panel.kind,
    }
    return made | ({"transformations": _transformations(panel)} if panel.kind == "table" else {})


def _target(panel, query, letter):
    made = {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "refId": letter,
    }
    if panel.kind == "table":
        return made | {"format": "table", "instant": True, "range": False}
    if panel.kind == "bargauge":
        return made | {"instant": True, "range": False}
    return made | {"range": True}


def _mappings(words):
    shown = {
        str(value): {"color": colour, "text": text, "index": index}
        for index, (value, (colour, text)) in enumerate(words.items())
    }
    return [{"type": "value", "options": shown}] if shown else []


def _overrides(panel):
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in panel.columns.values()
        if unit
    ]


def _transformations(panel):
    names = list(panel.columns)
    organize = {
        "excludeByName": {
            "Time": True,
            **{f"Value #{letter}": True for letter in "ABCDEF" if f"Value #{letter}" not in names},
        },
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": {field_name: name for field_name, (name, _) in panel.columns.items() if name != field_name},
    }
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]


def _stat(panel):
    background = "background" if panel.words else "value"
    return {}, {
        "colorMode": background,
        "graphMode": "none" if panel.words or panel.show == "name" else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": panel.show,
    }


def _timeseries(panel):
    drawn = {"drawStyle": "bars", "fillOpacity": 60} if panel.bars else {"drawStyle": "line", "fillOpacity": 8}
    line = any(value for value, _ in panel.steps if value is not None)
    custom = drawn | {
        "lineInterpolation": "linear",
        "lineWidth": 1 if panel.bars else 2,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.bars else "none"},
        "thresholdsStyle": {"mode": "dashed" if line else "off"},
    }
    calcs = ["max"] if panel.bars else ["lastNotNull", "max"]  # a sum would count what two windows share twice
    legend = {"calcs": calcs, "displayMode": "table", "placement": "bottom", "showLegend": True}
    return custom, {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _state_timeline(_panel):
    return {"fillOpacity": 75, "lineWidth": 0}, {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }


def _bargauge(_panel):
    return {}, {
        "displayMode": "basic",
        "minVizHeight": 12,
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "valueMode": "color",
    }


def _table(_panel):
    return {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}, {
        "cellHeight": "sm",
        "footer": {"show": False},
        "showHeader": True,
    }


_LOOKS = {
    "stat": _stat,
    "timeseries": _timeseries,
    "state-timeline": _state_timeline,
    "bargauge": _bargauge,
    "table": _table,
}
