"""Panels as HTML and inline SVG: stat, timeseries, state-timeline, bargauge, table.

Never here: asking Prometheus, the page around them (`preview`).
"""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from html import escape

_COLOURS = {
    "green": "#73bf69", "red": "#f2495c", "dark-red": "#c4162a", "orange": "#ff9830", "blue": "#5794f2",
    "purple": "#b877d9", "text": "#d8d9da", "yellow": "#fade2a",
}  # fmt: skip
_PALETTE = (
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#b877d9",
    "#8ab8ff",
    "#f2495c",
    "#56a64b",
    "#e0b400",
    "#96d98d",
)
_LEFT, _UNDER = 52, 18  # room for the words beside and under a drawing
_COLUMN, _UNIT, _HEADING, _LEGEND = 54, 36, 34, 26  # pixels of a column and a row of the grid, and what a panel keeps
_LEGEND_MOST = 8
_LONG = 1000  # numbers from here on are written whole
_SIZES = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True)
class Series:
    """One series: its name in the legend, its labels, and (moment, value) points."""

    name: str
    labels: dict
    points: list
    ref: str


@dataclass(frozen=True)
class Window:
    """The time that is shown, and how far two points lie apart; Unix seconds."""

    begin: float
    end: float
    step: float
    wide: float = 0.0  # of the drawing, pixels, as its height is
    high: float = 0.0

    def of(self, panel):
        """The same time, in a drawing as large as this panel has room for."""
        at, legend = panel["gridPos"], _LEGEND if panel["type"] == "timeseries" else 0
        return replace(self, wide=at["w"] * _COLUMN - 20, high=at["h"] * _UNIT - _HEADING - legend)

    def x(self, moment):
        """Where a moment lies in the drawing."""
        return _LEFT + (moment - self.begin) / (self.end - self.begin) * (self.wide - _LEFT - 6)

    def y(self, value, top):
        """Where a value lies in the drawing, whose upper edge is at `top`."""
        return self.high - _UNDER - max(0.0, value) / top * (self.high - _UNDER - 8)


def draw(panel, series, window):
    """The body of a panel that has data."""
    kinds = {
        "stat": _stat,
        "timeseries": _timeseries,
        "state-timeline": _timeline,
        "bargauge": _bars,
        "table": _table,
    }
    return kinds[panel["type"]](panel, series, window.of(panel))


def worded(value, unit, decimals=None):
    """A number as Grafana writes it in this unit, or nearly so."""
    if unit == "percentunit":
        return f"{100 * value:.{1 if decimals is None else decimals}f}%"
    if unit == "bytes":
        power = min(4, int(math.log(max(value, 1), 1024)))
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    if unit == "s":
        return _time_worded(value)
    text = f"{value:.3g}" if abs(value) < _LONG else f"{value:,.0f}"
    return text + {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")


def _time_worded(value):
    for size, name in _SIZES:
        if value >= size * 1.5:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s" if value >= 1 or value == 0 else f"{1000 * value:.3g} ms"


def _looks(panel, value):
    """Word and colour of a value, by the mappings and thresholds of the panel."""
    defaults = panel["fieldConfig"]["defaults"]
    text = worded(value, defaults["unit"], defaults.get("decimals"))
    colour = "text"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    for mapping in defaults.get("mappings", []):
        found = mapping["options"].get(f"{value:g}") if mapping["type"] == "value" else None
        if found:
            text, colour = found["text"], found["color"]
    return text, _COLOURS.get(colour, colour)


def _stat(panel, series, _window):
    mode, tiles = panel["options"].get("textMode", "auto"), []
    for each in series:
        text, colour = _looks(panel, each.points[-1][1])
        shown = each.name if mode == "name" else text
        name = f"<span>{escape(each.name)}</span>" if len(series) > 1 and mode != "name" else ""
        is_filled = panel["options"]["colorMode"] == "background"
        style = f"background:{colour};color:#111217" if is_filled else f"color:{colour}"
        tiles.append(f'<div class="tile" style="{style}"><b>{escape(shown)}</b>{name}</div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _timeseries(panel, series, window):
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults["custom"], defaults["unit"]
    is_bars = custom["drawStyle"] == "bars"
    totals = defaultdict(float)
    for each in series:
        for moment, value in each.points:
            totals[moment] = totals[moment] + value if is_bars else max(totals[moment], value)
    top = _above(max(totals.values()))
    drawn = [_axes(window, top, unit)]
    if is_bars:
        drawn += _stacked(series, window, top)
    else:
        drawn += [_line(each, window, top, _colour(each, at)) for at, each in enumerate(series)]
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is not None and step["value"] <= top:
                y = window.y(step["value"], top)
                drawn.append(
                    f'<path d="M{_LEFT} {y:.1f}H{window.wide}" stroke="{_COLOURS[step["color"]]}"'
                    ' stroke-dasharray="6 5"/>'
                )
    entries = []
    for at, each in enumerate(series[:_LEGEND_MOST]):
        told = max(value for _, value in each.points) if is_bars else each.points[-1][1]
        told_text = worded(told, unit)
        entries.append(
            f'<span><b style="color:{_colour(each, at)}">━</b> {escape(each.name)} <b>{escape(told_text)}</b></span>'
        )
    more = f"<span>and {len(series) - _LEGEND_MOST} more</span>" if len(series) > _LEGEND_MOST else ""
    return f'{_svg("".join(drawn), window)}<div class="legend">{"".join(entries)}{more}</div>'


def _colour(series, at):
    return _COLOURS["red"] if series.name.startswith("threshold") else _PALETTE[at % len(_PALETTE)]


def _svg(drawn, window):
    return f'<svg viewBox="0 0 {window.wide} {window.high}" preserveAspectRatio="none" fill="none">{drawn}</svg>'


def _above(value):
    """The next round number, so that a line does not touch the edge."""
    if value <= 0:
        return 1.0
    size = 10 ** math.floor(math.log10(value))
    return next(size * each for each in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15) if size * each > value * 1.02)


def _axes(window, top, unit):
    parts = []
    for share in (0, 0.5, 1):
        y = window.y(top * share, top)
        label = escape(worded(top * share, unit))
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{window.wide}" stroke="#2c3038"/>')
        parts.append(
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end" font-size="11" fill="#9fa7b3">{label}</text>'
        )
    return "".join(parts) + _moments(window)


def _moments(window):
    """Words under the drawing: how long ago that was."""
    length = window.end - window.begin
    return "".join(
        f'<text x="{window.x(window.end - length * share):.0f}" y="{window.high - 4}" font-size="11" fill="#9fa7b3"'
        f' text-anchor="middle">-{escape(_time_worded(length * share))}</text>'
        for share in (0.75, 0.5, 0.25)
    )


def _line(series, window, top, colour):
    parts, before = [], None
    for moment, value in series.points:
        letter = "M" if before is None or moment - before > 1.5 * window.step else "L"
        parts.append(f"{letter}{window.x(moment):.1f} {window.y(value, top):.1f}")
        before = moment
    dashes = ' stroke-dasharray="8 6"' if series.name.startswith("threshold") else ""
    return f'<path d="{"".join(parts)}" stroke="{colour}" stroke-width="1.8" stroke-linecap="round"{dashes}/>'


def _stacked(series, window, top):
    width = max(1.5, (window.wide - _LEFT) * window.step / (window.end - window.begin) * 0.9)
    under = defaultdict(float)
    parts = []
    for at, each in enumerate(series):
        for moment, value in each.points:
            low, under[moment] = under[moment], under[moment] + value
            y = window.y(under[moment], top)
            parts.append(
                f'<rect x="{window.x(moment) - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}"'
                f' height="{window.y(low, top) - y:.1f}" fill="{_colour(each, at)}"/>'
            )
    return parts


def _timeline(panel, series, window):
    height = (window.high - _UNDER) / len(series)
    parts = []
    for row, each in enumerate(series):
        y, size = row * height, min(12.0, height * 0.7)
        for begin, end, value in _stretches(each.points, window.step):
            colour = _looks(panel, value)[1]
            parts.append(
                f'<rect x="{window.x(begin):.1f}" y="{y + 1:.1f}" width="{window.x(end) - window.x(begin):.1f}"'
                f' height="{height - 2:.1f}" fill="{colour}" fill-opacity="0.75"/>'
            )
        parts.append(
            f'<text x="{_LEFT + 6}" y="{y + height / 2 + size / 3:.1f}" font-size="{size:.1f}" fill="#fff">'
            f"{escape(each.name)}</text>"
        )
    return _svg("".join(parts) + _moments(window), window)


def _stretches(points, step):
    """(begin, end, value) of every stretch of equal values without a gap."""
    found = []
    for moment, value in points:
        if found and found[-1][2] == value and moment - found[-1][1] <= 1.5 * step:
            found[-1][1] = moment
        else:
            if found and moment - found[-1][1] <= 1.5 * step:
                found[-1][1] = moment
            found.append([moment, moment, value])
    return found


def _bars(panel, series, _window):
    most = max([each.points[-1][1] for each in series] + [1e-9])
    rows = []
    for each in series:
        text, colour = _looks(panel, each.points[-1][1])
        share = max(0.0, each.points[-1][1]) / most
        rows.append(
            f'<div class="bar"><span>{escape(each.name)}</span>'
            f'<i><u style="width:{100 * share:.1f}%;background:{colour}"></u></i><b>{escape(text)}</b></div>'
        )
    return "".join(rows)


def _table(panel, series, _window):
    organize = panel["transformations"][1]["options"]
    fields, names = list(organize["indexByName"]), organize["renameByName"]
    units = {each["matcher"]["options"]: each["properties"][0]["value"] for each in panel["fieldConfig"]["overrides"]}
    rows = defaultdict(dict)
    for each in series:
        key = tuple(each.labels.get(field, "") for field in fields if not field.startswith("Value"))
        value_field = f"Value #{each.ref}" if len(panel["targets"]) > 1 else "Value"
        rows[key] |= each.labels | {value_field: each.points[-1][1]}
    titles = [names.get(field, field) for field in fields]
    body = []
    for row in rows.values():
        cells = []
        for field, title in zip(fields, titles, strict=True):
            value = row.get(field, "")
            cells.append(worded(value, units.get(title, "none")) if isinstance(value, float) else value)
        body.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"
