"""Reports of back-tests and drills: a part of a page, and one file of HTML that needs nothing beside it.

Here: pictures and templates from plain values, so that the command line draws the same as the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict, cast

from markupsafe import Markup

from rearguard_controller.page import chart, static
from rearguard_controller.page.chart import Fired, Moment, Period, Served
from rearguard_controller.page.rendering import render
from rearguard_controller.wording import span

BEGINS, ENDS = b'<main id="main">', b"</main>"
MOST_LEFT = 50
MOST_DRILLS = 12  # of which each check is shown
_ANSWERS: Mapping[object, str] = {True: "yes", False: "no", None: "unknown"}
_ORDER: Mapping[object, int] = {False: 0, None: 1, True: 2}
_HOUR = 3600.0


class OfTarget(TypedDict):
    """What is drawn of a target: versions and alerts with their first and last moment, and what was done when."""

    name: str
    mode: str
    versions: Sequence[tuple[str, float, float]]
    alerts: Sequence[tuple[str, float, float]]
    would: Sequence[tuple[float, str]]
    people: Sequence[tuple[float, str]]


class Figure(TypedDict):
    """The figure of a rollback that would have been begun."""

    alert: str
    operator: str
    start: float
    end: float
    step: float
    lines: Sequence[tuple[str, chart.Points]]
    limit: chart.Points


class Drawn(TypedDict):
    """What is drawn of a back-test."""

    start: float
    end: float
    targets: Sequence[OfTarget]
    figures: Mapping[str, Figure]
    left: Sequence[Mapping[str, object]]


def backtest(report: Mapping[str, object], numbers: Mapping[str, object], summary: str, prometheus: str) -> Markup:
    """The report of a back-test, from its JSON and from the numbers of what is drawn: those of `Drawn`."""
    drawn = cast("Drawn", numbers)
    whole = Period(drawn["start"], drawn["end"])
    by_name = {each["name"]: each for each in drawn["targets"]}
    values = {
        "report": report,
        "summary": summary,
        "prometheus": prometheus,
        "length": span(whole.end - whole.start),
        "targets": [{**each, "picture": _of_target(each, whole)} for each in drawn["targets"] if each["versions"]],
        "pictures": {name: _figure(figure, by_name, report, name) for name, figure in drawn["figures"].items()},
        "left": [{**each, "at": chart.told_moment(float(str(each["at"])))} for each in drawn["left"][:MOST_LEFT]],
        "left_out": max(0, len(drawn["left"]) - MOST_LEFT),
    }
    return render("backtest_report.html", values)


def _of_target(target: OfTarget, period: Period) -> dict[str, object]:
    moments = [
        *(Moment(at, f"would have been rolled back to {to}", "", name=f"to {to}") for at, to in target["would"]),
        *(Moment(at, f"people went back to {to}", "step", name=f"people: {to}") for at, to in target["people"]),
    ]
    return _bare(target, period, moments, f"{target['name']} from {chart.told_moment(period.start)}")


def _bare(target: OfTarget, period: Period, moments: Sequence[Moment], label: str) -> dict[str, object]:
    """A picture without a figure."""
    lanes = chart.lanes([Fired(*each) for each in target["alerts"]], (), period)
    return {
        "label": label,
        "alert": "",
        "operator": "",
        "problem": "",
        "lines": (),
        "limit": None,
        "levels": (),
        "bands": chart.bands([Served(*each) for each in target["versions"]], period),
        "marks": chart.marks(moments, period),
        "lanes": lanes,
        "hours": chart.hours(period),
        "size": chart.size(len(lanes), chart.FLAT),
    }


def _figure(
    figure: Figure, by_name: Mapping[str, OfTarget], report: Mapping[str, object], decision: str
) -> dict[str, object]:
    rollbacks = report["rollbacks"]
    assert isinstance(rollbacks, Sequence)  # noqa: S101  # of our own report
    mine = next(each for each in rollbacks if each["id"] == decision)
    target = by_name[mine["target"]]
    last = max([figure["end"], *(at for at, _ in target["people"] if at < figure["end"] + _HOUR)])
    period = Period(figure["start"], last)
    decided = datetime.fromisoformat(mine["decided_at"]).timestamp()
    moments = [
        Moment(decided, "Rearguard would have begun", "", name="Rearguard"),
        *(Moment(at, f"people went back to {to}", "step", name="people") for at, to in target["people"]),
    ]
    bare = _bare(target, period, moments, f"{figure['alert']} around {mine['decided_at']}")
    drawn = chart.figure(figure["lines"], figure["limit"], period, figure["step"])
    problem = "" if drawn["lines"] else "There is no data."
    size = chart.size(len(cast("Sequence[object]", bare["lanes"])))
    return {
        **bare,
        **drawn,
        "size": size,
        "alert": figure["alert"],
        "operator": figure["operator"],
        "problem": problem,
    }


def drill(target: str, drills: Sequence[Mapping[str, object]]) -> Markup:
    """The report of a drill, the first of these, beside the ones before it, newest first."""
    now, earlier = drills[0], drills[:MOST_DRILLS]
    began = [_seconds(each["at"]) for each in earlier]
    length = max(began) - min(began)
    period = Period(min(began) - max(60.0, length / 40), max(began) + max(60.0, length / 40))
    dots = [
        Moment(at, f"drill by {each['operator']}: {_told(each)}", _ANSWERS[each["ok"]])
        for at, each in zip(began, earlier, strict=True)
    ]
    lanes = chart.lanes((), dots, period, of="drills")
    picture = {
        "label": f"the drills of {target}",
        "lanes": lanes,
        "hours": chart.hours(period),
        "size": chart.size(len(lanes), 6),
        **dict.fromkeys(("lines", "levels", "bands", "marks"), ()),
        "limit": None,
    }
    values = {"target": target, "drill": now, "told": _told(now), "earlier": earlier, "picture_of": picture}
    return render("drill_report.html", {**values, "checks": _checks(earlier)})


def _told(drill: Mapping[str, object]) -> str:
    words: Mapping[object, str] = {
        True: "all is good",
        False: "not all is good",
        None: "it goes on, or has no end" if drill["ended_at"] is None else "not everything is known",
    }
    return words[drill["ok"]]


def _checks(drills: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Each check of the newest drill, those that fail first, with its answer in each drill, oldest first."""
    by_drill: list[dict[str, object]] = []
    for each in reversed(drills):
        checks = each["checks"]
        by_drill.append({check["name"]: check["holds"] for check in checks} if isinstance(checks, Sequence) else {})
    newest = drills[0]["checks"]
    assert isinstance(newest, Sequence)  # noqa: S101  # of our own shape
    return [
        {
            **check,
            "before": [_ANSWERS[of[check["name"]]] if check["name"] in of else "none" for of in by_drill],
        }
        for check in sorted(newest, key=lambda each: _ORDER[each["holds"]])
    ]


def _seconds(moment: object) -> float:
    return datetime.fromisoformat(str(moment)).timestamp()


def document(title: str, main: Markup) -> str:
    """A whole page as one file: its style is in it, it has no script, and asks nobody for anything."""
    css = static.CONTENTS["page.css"]
    digest = base64.b64encode(hashlib.sha256(css).digest()).decode()
    style = Markup(css.decode())  # noqa: S704  # our own file
    return str(render("report.html", {"title": title, "main": main, "style": style, "hash": digest}))


def main_of(whole: bytes) -> Markup:
    """The part of a report's file that stands in the page's own frame."""
    inside = whole.partition(BEGINS)[2].rpartition(ENDS)[0]
    return Markup(inside.decode("utf-8", "replace"))  # noqa: S704  # made by `document` from escaped texts
