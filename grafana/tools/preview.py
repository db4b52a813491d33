"""Draw a dashboard from a live Prometheus into one HTML file, so that it can be looked at without Grafana.

    python grafana/tools/preview.py grafana/dashboards/rearguard-fleet.json --prometheus URL --to fleet.html

Here: what Grafana would ask, and the way from answers to a page; `drawing` has the panels. It is an approximation:
layout, units, colours and words follow the file; how Grafana itself draws is not shown.
"""

import argparse
import json
import re
import sys
import time
from html import escape
from pathlib import Path

import drawing
import requests

_POINTS = 240  # of a line
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ background: #111217; color: #d8d9da; font: 13px/1.4 system-ui, sans-serif; margin: 16px }}
h1 {{ font-size: 18px; margin: 0 0 4px }} p {{ color: #9fa7b3; margin: 0 0 12px }}
main {{ display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 30px; gap: 6px }}
section {{ background: #181b1f; border: 1px solid #24272e; border-radius: 3px; overflow: hidden; padding: 4px 8px;
  display: flex; flex-direction: column; min-width: 0 }}
section.row {{ background: none; border: 0; padding: 4px 0 }}
h2 {{ font-size: 12px; font-weight: 600; margin: 0 0 2px; white-space: nowrap; overflow: hidden }}
.row h2 {{ font-size: 14px }}
.tiles {{ display: flex; flex: 1; gap: 4px; min-height: 0 }}
.tile {{ align-items: center; border-radius: 3px; display: flex; flex: 1; flex-direction: column; min-width: 0;
  justify-content: center }}
.tile b {{ font-size: 21px; white-space: nowrap }} .tile span {{ color: #c8ccd2; font-size: 11px }}
svg {{ display: block; flex: 1; min-height: 0; width: 100% }}
.legend {{ font-size: 11px; max-height: 40%; overflow: hidden }}
.legend span {{ margin-right: 12px; white-space: nowrap }}
table {{ border-collapse: collapse; font-size: 12px; width: 100% }}
th {{ color: #6e9fff; font-weight: 600; text-align: left }}
td, th {{ border-bottom: 1px solid #24272e; padding: 2px 6px }}
.bar {{ align-items: center; display: grid; font-size: 12px; gap: 6px; margin: 2px 0;
  grid-template-columns: 34% 1fr 64px }}
.bar i {{ background: #24272e; display: block; height: 12px }} .bar u {{ display: block; height: 12px }}
.none {{ color: #7b8087; margin: auto }}
</style>
<h1>{title}</h1><p>{description}</p><main>
{panels}
</main></html>
"""


class PreviewError(Exception):
    """The dashboard cannot be drawn; the message says why."""


class Asker:
    """Asks one Prometheus about one stretch of time, with the dashboard's variables filled in."""

    def __init__(self, address, end, seconds, values):
        self.address = address.rstrip("/")
        self.end = end
        self.seconds = seconds
        self.step = max(1.0, seconds / _POINTS)
        self.values = values

    def filled(self, expression):
        """The expression with values for variables; every choice that nobody made is for all."""
        return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda at: self.values.get(at[1] or at[2], ".*"), expression)

    def series(self, query):
        """(name, labels, points) of each series; a query of one moment has one point."""
        asked = {"query": self.filled(query["expr"])}
        if query.get("instant"):
            result = self._ask("query", asked | {"time": self.end})
            return [self._named(query, each, [each["value"]]) for each in result]
        asked |= {"start": self.end - self.seconds, "end": self.end, "step": self.step}
        return [self._named(query, each, each["values"]) for each in self._ask("query_range", asked)]

    def _ask(self, what, asked):
        try:
            answer = requests.post(f"{self.address}/api/v1/{what}", asked, timeout=30)
            told = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise PreviewError(f"{self.address} does not answer as a Prometheus: {error}") from None
        if told.get("status") != "success":
            raise PreviewError(f"Prometheus refuses a query: {told.get('error', answer.status_code)}")
        return told["data"]["result"]

    @staticmethod
    def _named(query, found, values):
        labels = found["metric"]
        name = re.sub(r"\{\{(\w+)\}\}", lambda at: labels.get(at[1], ""), query.get("legendFormat", ""))
        points = [(float(moment), float(value)) for moment, value in values if value != "NaN"]
        return drawing.Series(name.strip() or "value", labels, points, query["refId"])


def page(board, asker):
    """The dashboard as one HTML page."""
    panels = "\n".join(_section(panel, asker) for panel in board["panels"])
    return _PAGE.format(title=escape(board["title"]), description=escape(board["description"]), panels=panels)


def _section(panel, asker):
    at = panel["gridPos"]
    place = f"grid-column:{at['x'] + 1}/span {at['w']};grid-row:{at['y'] + 1}/span {at['h']}"
    heading = f"<h2>{escape(panel['title'])}</h2>"
    if panel["type"] == "row":
        return f'<section class="row" style="{place}">{heading}</section>'
    found = [series for query in panel["targets"] for series in asker.series(query)]
    found = [series for series in found if series.points]
    window = drawing.Window(asker.end - asker.seconds, asker.end, asker.step)
    body = drawing.draw(panel, found, window) if found else '<div class="none">No data</div>'
    return f'<section style="{place}" title="{escape(panel["description"])}">{heading}{body}</section>'


def _seconds(text):
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no stretch of time such as 30m, 6h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def _setting(text):
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"\w+", name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def _options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dashboard", type=Path, help="a file of grafana/dashboards")
    parser.add_argument("--prometheus", required=True, help="its address")
    parser.add_argument("--to", type=Path, required=True, help="the HTML file to write")
    parser.add_argument(
        "--range", type=_seconds, default="1h", help="how much time is shown: 30m, 6h, 1d (default 1h)"
    )
    parser.add_argument("--at", type=float, default=None, help="the end of that time, Unix seconds (default now)")
    parser.add_argument("--rate-interval", default="1m", help="$__rate_interval: four scrape intervals (default 1m)")
    parser.add_argument("--set", type=_setting, action="append", default=[], help="a variable's value: service=shop")
    return parser.parse_args()


def main():
    """Write the page; 1 with one line on what is wrong."""
    options = _options()
    values = {
        "__rate_interval": options.rate_interval,
        "__range": f"{options.range}s",
        "__range_s": str(options.range),
        "__interval_ms": str(int(1000 * max(1.0, options.range / _POINTS))),
    } | dict(options.set)
    try:
        board = json.loads(options.dashboard.read_text(encoding="utf-8"))
        asker = Asker(options.prometheus, options.at or time.time(), options.range, values)
        options.to.write_text(page(board, asker), encoding="utf-8")
    except (PreviewError, OSError, ValueError) as error:
        print(f"preview: {error}", file=sys.stderr)
        return 1
    print(options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
