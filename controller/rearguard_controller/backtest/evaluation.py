"""The alerts that a rule would have raised in the past, if Prometheus holds no `ALERTS` of it.

Here: its expression over the whole time, in smaller steps around the moments at which it holds, and its `for`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rearguard_controller.adapters.prometheus import AlertingRule
from rearguard_controller.adapters.prometheus.alert_rules import worn
from rearguard_controller.adapters.prometheus.figures import FINEST_STEP
from rearguard_controller.backtest import stretches
from rearguard_controller.backtest.archive import Archive, Times, together
from rearguard_controller.backtest.nouns import AlertHistory, Stretch
from rearguard_controller.model import Target

MOST_LOOKED_AT = 200  # stretches of one rule that are looked at finely
BREAK = 1.5  # steps without the condition that begin `for` anew


async def evaluate(
    archive: Archive, rule: AlertingRule, targets: Sequence[Target], start: float, end: float, step: float
) -> list[AlertHistory]:
    """The alerts of a rule that belong to any of the targets.

    Args:
        archive: who is asked.
        rule: as it is loaded today.
        targets: whose alerts are wanted.
        start: since when, in seconds since the epoch.
        end: up to when.
        step: seconds between two points of the whole time.

    Raises:
        SourceError: Prometheus could not evaluate it.
    """
    coarse = min(step, max(FINEST_STEP, rule.for_seconds))  # what lasts long enough to fire holds a point
    fine = max(FINEST_STEP, rule.interval)  # as the rule would have been evaluated, however long the whole time is
    what = f"{rule.name} evaluated"
    times = await archive.over(what, rule.query, start, end, coarse)
    mine = {
        key: moments for key, moments in times.items() if any(each.owns(worn(rule, dict(key))) for each in targets)
    }
    active = {key: stretches.unbroken(moments, BREAK * coarse) for key, moments in mine.items()}
    around = stretches.windows(
        (
            Stretch(max(start, each.start - coarse), min(end, each.end + coarse))
            for found in active.values()
            for each in found
        ),
        math.inf,
    )
    if len(around) <= MOST_LOOKED_AT:
        exact = await _finely(archive, what, rule, around, fine)
        active = {key: stretches.unbroken(exact.get(key, []), BREAK * fine) for key in mine}
    return [
        AlertHistory(worn(rule, dict(key)), tuple(found), stretches.lasting(found, rule.for_seconds), evaluated=True)
        for key, found in active.items()
    ]


async def _finely(archive: Archive, what: str, rule: AlertingRule, around: Sequence[Stretch], fine: float) -> Times:
    joined: Times = {}
    for times in await together(archive.over(what, rule.query, *each, fine) for each in around):
        for key, moments in times.items():
            joined.setdefault(key, []).extend(moments)
    return joined
