"""PromQL that finds in history for which versions of a target there was anything that trigger rules measure.

Here: the question, by the raw metrics that the figures read in the end. Rules may have been loaded only today:
then they recorded nothing in the past.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from rearguard_controller.adapters.prometheus.answers import AlertingRule, Rules
from rearguard_controller.adapters.prometheus.possible import PRESENCE, raw_metrics, tells_presence_only
from rearguard_controller.adapters.prometheus.promql import (
    METRIC_NAME,
    alternatives,
    duration,
    quoted,
    selector_text,
    series_of,
)
from rearguard_controller.model import VERSION_LABEL, Labels

COARSEST = 300.0  # seconds between two moments that are asked about: for so long Prometheus shows a sample
MOST_JOBS = 50  # that a question names


def jobs_of(selector: Labels, look: float) -> str:
    """PromQL of the jobs in which instances of a target were seen over the last `look` seconds."""
    within = f"[{duration(look)}]"
    seen = " or ".join(f"last_over_time(target_info{selector_text(each)}{within})" for each in alternatives(selector))
    return f"group by (job) ({seen})"


def by_version(selector: Labels, jobs: Collection[str], rules: Iterable[AlertingRule], known: Rules) -> str:
    """PromQL with one value for each service_version that something was measured of; empty if no rule measures.

    Args:
        selector: of the target's own figures.
        jobs: of its instances.
        rules: that trigger.
        known: all rules, so that recorded names are followed.
    """
    told = [rule.annotations.get("figure", "").strip() or rule.query for rule in rules]
    telling = [each for each in told if not tells_presence_only(each, known)]
    if not telling:
        return ""
    names = frozenset[str]().union(*(raw_metrics(each, known) for each in telling)) - PRESENCE
    raw = f"__name__=~{quoted('|'.join(sorted(names)))}"
    found = [series_of(each, selector) for each in dict.fromkeys(telling) if METRIC_NAME.fullmatch(each)]
    found += [f"{{{raw},{selector_text(each)[1:-1]}}}" for each in alternatives(selector)]
    if jobs:
        of_job = f"job=~{quoted('|'.join(re.escape(job) for job in sorted(jobs)[:MOST_JOBS]))}"
        found.append(
            f"(group by (job, instance, {VERSION_LABEL}) ({series_of('target_info', selector)})"
            f" and on (job, instance) {{{raw},{of_job}}})"
        )
    return " or ".join(f"group by ({VERSION_LABEL}) ({each})" for each in found)
