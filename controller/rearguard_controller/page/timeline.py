"""The time-line of a target: what is asked of Prometheus and the journal for it, and how long an answer counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rearguard_controller.api.services import Curve, Present, Services
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Target
from rearguard_controller.page import chart

FRESH = 15.0  # seconds for which a curve counts
WITHIN = 4.0  # seconds that Prometheus has
MOST_FIGURES = 3
MOST_KEPT = 500
_CACHED = tuple[float, tuple[Curve, ...] | str]


@dataclass(slots=True)
class TimeLines:
    """Draws time-lines."""

    services: Services
    _found: dict[tuple[str, str, str], _CACHED] = field(default_factory=dict)

    async def of(self, now: Present, target: Target, over: str) -> dict[str, object]:
        """The time-line of a target over an hour, a day or a fortnight."""
        over = over if over in chart.SPANS else "hour"
        end = self.services.clock()
        period = chart.Period(end - chart.SPANS[over], end)
        journal = self.services.journal
        state = await journal.target_state(target.name)
        releases = await journal.releases(target.name)
        rollbacks = (await journal.rollbacks(target=target.name, limit=20)).items
        seen: dict[str, tuple[str, str, float | None]] = {}
        for each in now.watcher.figures(target.name):
            if each.figure:
                seen.setdefault(each.figure, (each.alert, each.operator, each.threshold))
        drawn = []
        for figure, (alert, operator, threshold) in list(seen.items())[:MOST_FIGURES]:
            found = await self._curves(now, target, figure, over, period)
            shown = chart.curves(() if isinstance(found, str) else found, threshold, period)
            problem = found if isinstance(found, str) else "" if shown["lines"] else "There is no data."
            drawn.append({**shown, "alert": alert, "operator": operator, "figure": figure, "problem": problem})
        return {
            "over": over,
            "spans": list(chart.SPANS),
            "figures": drawn or [{**chart.curves((), None, period), "alert": "", "figure": "", "problem": ""}],
            "bands": chart.bands(releases, state.serving_version, state.serving_since, period),
            "marks": chart.marks(rollbacks, period),
            "hours": chart.hours(period),
            "size": (chart.WIDTH, chart.HEIGHT, chart.LEFT, chart.RIGHT, chart.TOP, chart.BOTTOM),
        }

    async def _curves(
        self, now: Present, target: Target, figure: str, over: str, period: chart.Period
    ) -> Sequence[Curve] | str:
        """The curves, or why there are none."""
        key = (target.name, figure, over)
        known = self._found.get(key)
        if known is not None and time.monotonic() - known[0] < FRESH:
            return known[1]
        found: tuple[Curve, ...] | str
        try:
            async with asyncio.timeout(WITHIN):
                found = tuple(await now.watcher.curves(target, figure, period.start, period.end))
        except TimeoutError:
            found = "Prometheus did not answer in time."
        except SourceError as error:
            found = error.message
        if len(self._found) >= MOST_KEPT:
            self._found.clear()
        self._found[key] = (time.monotonic(), found)
        return found
