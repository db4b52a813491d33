"""The shipped dashboards as data: panels, queries, variables, and which names an expression reads.

Here: reading grafana/dashboards, and filling in variables as Grafana would. Never here: what is right.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VALUES = {
    "service": "shop",
    "environment": "production",
    "target": "checkout",
    "controller": "rearguard",
    "__rate_interval": "20s",
    "__range": "1m",
    "__range_s": "60",
    "__interval_ms": "15000",
}
_LISTED = r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)"


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    board: str  # uid of the dashboard
    panel: str
    ref: str
    expr: str
    legend: str

    def __str__(self):
        """What names it among all queries."""
        return f"{self.board}: {self.panel} {self.ref}"


class Board:
    """One dashboard."""

    def __init__(self, path):
        self.path = path
        self.content = json.loads(path.read_text(encoding="utf-8"))
        self.uid = self.content["uid"]
        self.panels = [panel for panel in self.content["panels"] if panel["type"] != "row"]
        self.annotations = self.content["annotations"]["list"]
        self.variables = self.content["templating"]["list"]
        self.choices = [each for each in self.variables if each["type"] == "query"]
        self.queries = [
            Query(self.uid, panel["title"], query["refId"], query["expr"], query["legendFormat"])
            for panel in self.panels
            for query in panel["targets"]
        ]
        self.expressions = [*(query.expr for query in self.queries), *(one["expr"] for one in self.annotations)]

    def __str__(self):
        """Its uid, as a test is named."""
        return self.uid

    def expr(self, panel, ref="A"):
        """The expression of the panel with this title."""
        (found,) = [each.expr for each in self.queries if each.panel == panel and each.ref == ref]
        return found


BOARDS = {board.uid: board for board in map(Board, sorted(FOLDER.glob("dashboards/*.json")))}
SERVICE = BOARDS["rearguard-service"]


def filled(expression):
    """The expression with every variable's value."""
    return re.sub(r"\$([a-z_]\w*)", lambda found: VALUES[found[1]], expression)


def names_in(expression):
    """Metric names and label names of an expression, told apart by where they stand."""
    labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression))
    for listed in re.findall(_LISTED, expression):
        labels |= {label.strip() for label in listed.split(",") if label.strip()}
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    bare = re.sub(_LISTED, " ", bare)
    words = set(re.findall(r"(?<![\w$])[A-Za-z_][\w:]*(?!\s*\()\b(?!\()", bare))
    return words - {"by", "on", "or", "and", "unless", "offset", "bool"}, labels
