"""The time-lines of targets and rollbacks: what is asked of Prometheus and the journal for them.

Here: the questions, how long an answer counts, and what is said where there is none. Never a line without data.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

from rearguard_controller.api import readable
from rearguard_controller.api.services import Curve, Limited, Present, Services
from rearguard_controller.errors import SourceError
from rearguard_controller.model import (
    VERSION_LABEL,
    Alert,
    Condition,
    Decision,
    Release,
    Rollback,
    StepKind,
    Target,
    compare,
)
from rearguard_controller.page import chart
from rearguard_controller.page.chart import Fired, Moment, Period, Served
from rearguard_controller.page.rendering import segment
from rearguard_controller.wording import number

FRESH = 15.0  # seconds for which a curve counts
WITHIN = 4.0  # seconds that Prometheus has
MOST_FIGURES = 3
MOST_KEPT = 500
MOST_DECISIONS = 60
BEFORE, AFTER, LONGEST = 900.0, 900.0, 6 * 3600.0  # seconds around a rollback that are drawn
LATELY = 300.0  # seconds before the version was put back whose worst value counts
_T = TypeVar("_T")


@dataclass(slots=True)
class TimeLines:
    """Draws time-lines."""

    services: Services
    _found: dict[tuple[str, ...], tuple[float, object]] = field(default_factory=dict)

    async def of(self, now: Present, target: Target, over: str) -> dict[str, object]:
        """The time-line of a target over an hour, a day or a fortnight."""
        over = over if over in chart.SPANS else "hour"
        end = self.services.clock()
        period = Period(end - chart.SPANS[over], end)
        journal = self.services.journal
        rollbacks = (await journal.rollbacks(target=target.name, limit=20)).items
        decisions = (await journal.decisions(target=target.name, limit=MOST_DECISIONS)).items
        fired, problem = await self._fired(now, target, period, over)
        around = await self._around(target.name, period, fired, decisions, rollbacks)
        names = {each.name for each in fired}
        asked = _conditions(now, target, rollbacks)
        asked.sort(key=lambda each: each.alert not in names)  # what fired is drawn first
        pictures = []
        for condition in asked[:MOST_FIGURES]:
            found = await self._asked(now, target.name, condition, period, (target.name, condition.figure, over))
            drawn = _drawn(condition, found, period)
            pictures.append({**around, **drawn, "label": f"{condition.alert}, the last {over}"})
        return {
            "over": over,
            "spans": list(chart.SPANS),
            "pictures": pictures
            or [{**around, **NO_FIGURE, "size": around["flat"], "label": f"what served, the last {over}"}],
            "problem": problem,
            "marked": bool(around["marks"] or around["lanes"]),
        }

    async def of_rollback(
        self, now: Present, rollback: Rollback, decision: Decision | None
    ) -> list[dict[str, object]]:
        """What must be over, before and after, one picture for each condition that Prometheus can tell about.

        `decision` is None where it cannot be shown.
        """
        period = _around(rollback, decision, self.services.clock())
        target = next((each for each in now.configuration.targets if each.name == rollback.target), None)
        fired = () if target is None else (await self._fired(now, target, period, rollback.id))[0]
        around = await self._around(
            rollback.target, period, fired, () if decision is None else (decision,), (rollback,)
        )
        put_back = _put_back(rollback)
        pictures = []
        for place, condition in enumerate(rollback.conditions[:MOST_FIGURES]):
            if condition.of_cluster:
                continue
            key = (rollback.id, str(place), str(period.end))
            found = await self._asked(now, rollback.target, condition, period, key)
            lines, limit, operator = _parts(found)
            before, after = _before_and_after(lines, put_back, condition.settle, operator)
            more = {
                "problem": found if isinstance(found, str) else _lacking(before, after, put_back),
                "label": f"{condition.alert} around this rollback",
                "before": None if before is None else number(before),
                "after": None if after is None else number(after),
                "over": _is_over(after, limit, operator),
            }
            pictures.append({**around, **_drawn(condition, found, period), **more})
        return pictures

    async def _asked(
        self, now: Present, target: str, condition: Condition, period: Period, key: tuple[str, ...]
    ) -> Limited | str:
        ask = partial(now.watcher.curves(target).of_condition, condition, period.start, period.end, period.step)
        return await self._kept(key, ask)

    async def _around(
        self,
        target: str,
        period: Period,
        fired: Sequence[Fired],
        decisions: Sequence[Decision],
        rollbacks: Sequence[Rollback],
    ) -> dict[str, object]:
        """What stands around the lines of every picture of a target."""
        journal = self.services.journal
        state = await readable.state_of(self.services, target)
        served = _served(await journal.releases(target), state.serving_version, state.serving_since, period.end)
        lanes = chart.lanes(fired, [_decided(each) for each in reversed(decisions)], period)
        return {
            "bands": chart.bands(served, period),
            "marks": chart.marks([moment for each in rollbacks for moment in _moments(each)], period),
            "lanes": lanes,
            "hours": chart.hours(period),
            "size": chart.size(len(lanes)),
            "flat": chart.size(len(lanes), chart.FLAT),
        }

    async def _fired(self, now: Present, target: Target, period: Period, key: str) -> tuple[tuple[Fired, ...], str]:
        """The alerts that fired, and a sentence where Prometheus does not tell."""
        ask = partial(now.watcher.curves(target.name).of_alerts, target, period.start, period.end, period.step)
        found = await self._kept((target.name, "", key), ask)
        if isinstance(found, str):
            return _known(now.watcher.firing(target.name), period), f"Which alerts fired is not known. {found}"
        fired = [
            Fired(curve.labels.get("alertname", ""), piece[0][0], piece[-1][0])
            for curve in found
            for piece in chart.unbroken(curve.points, period.step)
        ]
        return tuple(fired), ""

    async def _kept(self, key: tuple[str, ...], ask: Callable[[], Awaitable[_T]]) -> _T | str:
        """The answer, or why there is none."""
        known = self._found.get(key)
        if known is not None and time.monotonic() - known[0] < FRESH:
            return cast("_T | str", known[1])
        found: _T | str
        try:
            async with asyncio.timeout(WITHIN):
                found = await ask()
        except TimeoutError:
            found = "Prometheus did not answer in time."
        except SourceError as error:
            found = error.message
        if len(self._found) >= MOST_KEPT:
            self._found.clear()
        self._found[key] = (time.monotonic(), found)
        return found


NO_FIGURE = {"lines": (), "limit": None, "levels": (), "alert": "", "operator": "", "problem": ""}


def _lines(found: Sequence[Curve]) -> list[tuple[str, chart.Points]]:
    return [(curve.labels.get(VERSION_LABEL, ""), curve.points) for curve in found]


def _parts(found: Limited | str) -> tuple[Sequence[tuple[str, chart.Points]], chart.Points, str]:
    """Lines, limit and operator; none where there is no answer."""
    return ((), (), "") if isinstance(found, str) else (_lines(found.values), found.limit, found.operator)


def _drawn(condition: Condition, found: Limited | str, period: Period) -> dict[str, object]:
    """The lines of a condition; where there are none, it says so."""
    lines, limit, operator = _parts(found)
    drawn = chart.figure(lines, limit, period, period.step)
    problem = found if isinstance(found, str) else "" if drawn["lines"] else "There is no data."
    return {**drawn, "alert": condition.alert, "operator": operator, "problem": problem}


def _conditions(now: Present, target: Target, rollbacks: Sequence[Rollback]) -> list[Condition]:
    """What may be drawn of a target: figures with data now, those of alerts that fire, those of the last rollbacks.

    A service that is down has no data, and its time-line is looked at then.
    """
    found = [
        Condition(each.alert, each.figure, f"{each.operator} {each.limit}", target.telemetry)
        for each in now.watcher.figures(target.name)
        if each.figure
    ]
    for alert in now.watcher.firing(target.name):
        figure, threshold = (alert.annotations.get(name, "").strip() for name in ("figure", "threshold"))
        if figure and threshold:
            found.append(Condition(alert.name, figure, threshold, target.telemetry))
    found += [each for rollback in rollbacks for each in rollback.conditions if not each.of_cluster]
    first: dict[str, Condition] = {}
    for each in found:
        first.setdefault(each.figure, each)
    return list(first.values())


def _served(releases: Sequence[Release], serving: str | None, since: float | None, end: float) -> list[Served]:
    """The versions that served: each from when it was first seen serving to the next one."""
    began = [(each.served_at, each.version) for each in releases if each.served_at is not None]
    if serving is not None and since is not None:
        began = [each for each in began if each[1] != serving or each[0] < since] + [(since, serving)]
    began.sort()
    ends = [at for at, _ in began[1:]] + [end]
    return [Served(version, at, until) for (at, version), until in zip(began, ends, strict=False)]


def _moments(rollback: Rollback) -> list[Moment]:
    """When a rollback was opened, put the version back, and ended."""
    to = f"/rollbacks/{segment(rollback.id)}"
    found = [Moment(rollback.opened_at, "rollback opened", "", to)]
    step = rollback.step_of(StepKind.ROLL_BACK)
    if step is not None and step.ended_at is not None:
        told = f"{rollback.to_version} put back"
        found.append(Moment(step.ended_at, told, "step", to, told))
    if rollback.closed_at is not None and rollback.outcome is not None:
        found.append(Moment(rollback.closed_at, rollback.outcome.value.replace("_", " "), "step", to))
    return found


def _decided(decision: Decision) -> Moment:
    verdict = decision.verdict.value.replace("_", " ")
    why = decision.alert.name if decision.alert else "asked by a person"
    return Moment(
        decision.decided_at, f"{why}: {verdict}", f"v-{decision.verdict}", f"/decisions/{segment(decision.id)}"
    )


def _known(firing: Sequence[Alert], period: Period) -> tuple[Fired, ...]:
    return tuple(Fired(each.name, each.starts_at, period.end) for each in firing if each.starts_at is not None)


def _put_back(rollback: Rollback) -> float | None:
    step = rollback.step_of(StepKind.ROLL_BACK)
    return None if step is None else step.ended_at


def _around(rollback: Rollback, decision: Decision | None, now: float) -> Period:
    """From before the fault to after the end; of a rollback that runs, to this quarter of a minute."""
    began = rollback.opened_at
    alert = None if decision is None else decision.alert
    if alert is not None and alert.starts_at is not None:
        began = min(began, max(alert.starts_at, began - LONGEST))
    end = now if rollback.closed_at is None else min(now, rollback.closed_at + AFTER)
    return Period(began - BEFORE, max(began, end - end % FRESH if end == now else end))


def _before_and_after(
    lines: Sequence[tuple[str, chart.Points]], put_back: float | None, settle: float, operator: str
) -> tuple[float | None, float | None]:
    """The worst value of the last minutes before the version was put back, and the last one once it has settled."""
    worst = min if operator in {"<", "<="} else max
    points = [point for _, of in lines for point in of]
    edge = max((at for at, _ in points), default=0.0) if put_back is None else put_back
    before = [value for at, value in points if edge - LATELY <= at <= edge]
    latest = max((at for at, _ in points if at > edge + settle), default=None)
    after = [value for at, value in points if at == latest]
    return worst(before, default=None), worst(after, default=None)


def _is_over(after: float | None, limit: chart.Points, operator: str) -> bool | None:
    """Whether the last value is not past the limit any more; None: not known."""
    if after is None or not limit:
        return None
    return not compare(after, operator, limit[-1][1])


def _lacking(before: float | None, after: float | None, put_back: float | None) -> str:
    if before is None and after is None:
        return "Prometheus has no figure of this time. That is no sign of health."
    if after is None and put_back is not None:
        return "There is no figure of the time after. That is no sign of health."
    return "" if before is not None else "Prometheus has no figure of the time before."
