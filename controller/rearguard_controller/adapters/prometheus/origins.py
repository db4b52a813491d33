"""Which jobs the series of an expression came from, and whether these are still scraped.

Here: questions about the source of an alert without a figure. Its expression returns nothing when its fault is over,
and also when whoever told of it is gone.
"""

from __future__ import annotations

import asyncio
import re

from rearguard_controller.adapters.prometheus.answers import Rules
from rearguard_controller.adapters.prometheus.possible import raw_series
from rearguard_controller.adapters.prometheus.promql import quoted
from rearguard_controller.adapters.prometheus.queryable import Asks

MOST_ASKED = 20  # metrics of an expression that are asked about


async def gone(asks: Asks, expression: str, rules: Rules, before: float) -> tuple[str, ...]:
    """The jobs that an expression's series came from at a moment before, and of which nothing is scraped now.

    Of several jobs with the same metric one that is scraped is enough. A job that was not scraped by this Prometheus
    then, such as one that is written to it remotely, is not known to be gone.

    Args:
        asks: who is asked.
        expression: PromQL.
        rules: all that are loaded, so that recorded names are followed.
        before: a moment at which the expression returned something, in seconds since the epoch.

    Raises:
        SourceError: Prometheus gave no usable answer.
    """
    metrics = raw_series(expression, rules)[:MOST_ASKED]
    samples = await asyncio.gather(*(asks.query(f"group by (job) ({each})", before) for each in metrics))
    jobs = [{each.labels.get("job", "") for each in of_metric} - {""} for of_metric in samples]
    named = sorted(set[str]().union(*jobs))
    if not named:
        return ()
    up = f"max by (job) (up{{job=~{quoted('|'.join(map(re.escape, named)))}}})"
    then, now = await asyncio.gather(asks.query(up, before), asks.query(up))
    were = {each.labels.get("job", "") for each in then if each.value == 1}
    are = {each.labels.get("job", "") for each in now if each.value == 1}
    lost = {job for of_metric in jobs if of_metric & were and not of_metric & are for job in of_metric & were}
    return tuple(sorted(lost))
