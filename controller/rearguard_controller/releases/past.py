"""What Prometheus' history says of a target's past that the controller did not see itself.

Here: queries about `ALERTS` and about the target's instances, at past moments and over past spans of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rearguard_controller.adapters.prometheus import Prometheus, PrometheusAlert, Rules, measured
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.adapters.prometheus.figures import LONGEST_LOOK
from rearguard_controller.adapters.prometheus.promql import alternatives, over_time, presence, selector_text
from rearguard_controller.judgement.already_firing import LONG_BEFORE
from rearguard_controller.model import (
    VERSION_LABEL,
    AlertsSeen,
    AlertState,
    Labels,
    Sample,
    SeenAlert,
    Target,
    TargetState,
)
from rearguard_controller.model.observations import LONGEST_SCRAPE
from rearguard_controller.releases.adoption import History
from rearguard_controller.wording import span

STEP = LONGEST_SCRAPE  # seconds between two points of a target's past: each then has a scrape of its own
FRESH = "[1m]"  # an instance counts as scraped at a moment if it was within this time
MOST_SEEN = 200  # alerts that a snapshot tells apart by version
JUST_BEFORE = 60.0  # seconds before a moment in which an alert counts as seen at it

_Found = tuple[Labels, AlertState, float | None]  # an alert's labels, its state, and since when it is active


def as_seen(alerts: Iterable[PrometheusAlert]) -> tuple[SeenAlert, ...]:
    """Alerts as the snapshot keeps them: each name and version once, firing rather than pending.

    Of more than `MOST_SEEN` only the names are kept: then they count whatever version they name.
    """
    return _seen((each.labels, each.state, each.active_at) for each in alerts)


async def alerts_before_change(prometheus: Prometheus, target: Target, state: TargetState) -> AlertsSeen:
    """The target's alerts that were pending or firing right before its version changed, and while it was not read.

    Raises:
        SourceError: Prometheus could not be asked; try again later.
    """
    start, end = state.changed_after, state.serving_since
    if start is None or end is None or not 0 <= end - start <= LONGEST_LOOK:
        unread = "ever" if start is None or end is None else f"for {span(end - start)}"
        return AlertsSeen(end or 0.0, unknown=f"the version before was not read {unread}", asked=True)
    if not await prometheus.query(presence(target.telemetry), start):
        detail = "Prometheus has no data of the target from when the version before was last read"
        return AlertsSeen(start, unknown=detail, asked=True)
    long_before = {each.name for each in await _active(prometheus, target, start - LONG_BEFORE, JUST_BEFORE)}
    before = tuple(
        replace(each, since=start - LONG_BEFORE if each.name in long_before else None)
        for each in await _active(prometheus, target, start, JUST_BEFORE)
    )
    between = await _active(prometheus, target, end, max(1.0, end - start))
    seen = {(each.name, each.state, each.service_version) for each in before}
    came = tuple(each for each in between if (each.name, each.state, each.service_version) not in seen)
    return AlertsSeen(start, before, came, asked=True)


async def service_of(
    prometheus: Prometheus, target: Target, now: float, look: float, rules: Rules | None = None
) -> History:
    """Which versions served over the last `look` seconds, scraped without a break, and with which trigger alerts.

    A failed scrape ends an instance's series at once; scrapes that Prometheus itself missed are seen by the age of
    the last sample. An alert counts for the whole step in which it was seen. Without `rules` nobody looks whether
    anything was measured.

    Raises:
        SourceError: Prometheus could not be asked.
    """
    end = now // STEP * STEP
    start = end - look // STEP * STEP
    both = [
        f"{name}{selector_text(each)}" for name in ("target_info", "up") for each in alternatives(target.telemetry)
    ]
    fresh = " or ".join(f"({series} and count_over_time({series}{FRESH}))" for series in both)
    shown = await prometheus.query_range(f"min by ({VERSION_LABEL}) ({fresh})", start, end, STEP)
    seen = " or ".join(over_time("last_over_time", "ALERTS", wanted, STEP) for wanted in target.trigger_labels())
    alerts = await prometheus.query_range(f"count by ({VERSION_LABEL}) ({seen})", start, end, STEP) if seen else ()
    scraped: dict[str, dict[float, bool]] = {}
    for each in shown:  # of several replicas, those that saw a moment must all have scraped
        of_version = scraped.setdefault(each.labels.get(VERSION_LABEL, ""), {})
        for at, value in each.points:
            of_version[round(at)] = of_version.get(round(at), True) and value == 1
    alerting: dict[str, set[float]] = {}
    for each in alerts:
        alerting.setdefault(each.labels.get(VERSION_LABEL, ""), set()).update(round(at) for at, _ in each.points)
    known = None if rules is None else await _measured(prometheus, target, rules, start, end)
    return History(end, STEP, scraped, alerting, known)


async def _measured(
    prometheus: Prometheus, target: Target, rules: Rules, start: float, end: float
) -> dict[str, frozenset[float]]:
    """The moments at which anything was measured, by service_version; under "" what names none."""
    triggers = [rule for rule in rules.alerting if can_raise(rule, target.policy.alerts)]
    jobs = await prometheus.query(measured.jobs_of(target.telemetry, end - start), end)
    names = {sample.labels.get("job", "") for sample in jobs} - {""}
    question = measured.by_version(target.telemetry, names, triggers, rules)
    if not question:
        return {}
    step = min(measured.COARSEST, max(STEP, target.policy.known_good_after / 3))
    found: dict[str, frozenset[float]] = {}
    for each in await prometheus.query_range(question, start, end, step):
        version = each.labels.get(VERSION_LABEL, "")
        found[version] = found.get(version, frozenset()) | {at for at, _ in each.points}
    return found


async def _active(prometheus: Prometheus, target: Target, at: float, within: float) -> tuple[SeenAlert, ...]:
    """The alerts of a target that were pending or firing at some time in the seconds up to a moment."""
    found: list[Sample] = []
    for match in target.match:
        found += await prometheus.query(over_time("last_over_time", "ALERTS", match, round(within)), at)
    return _seen((each.labels, _state(each.labels), None) for each in found)


def _state(labels: Labels) -> AlertState:
    return AlertState.FIRING if labels.get("alertstate") == "firing" else AlertState.PENDING


def _seen(found: Iterable[_Found]) -> tuple[SeenAlert, ...]:
    alerts = tuple(found)
    told_apart = _distinct(alerts, VERSION_LABEL)
    return told_apart if len(told_apart) <= MOST_SEEN else _distinct(alerts, "")


def _distinct(alerts: Iterable[_Found], version_label: str) -> tuple[SeenAlert, ...]:
    states: dict[tuple[str, str | None], AlertState] = {}
    began: dict[tuple[str, str | None], float] = {}
    for labels, state, since in alerts:
        key = (labels.get("alertname", ""), labels.get(version_label))
        if states.get(key) is not AlertState.FIRING:
            states[key] = state
        if since is not None:
            began[key] = min(since, began.get(key, since))
    ordered = sorted(states.items(), key=lambda each: (each[0][0], each[0][1] or ""))
    return tuple(SeenAlert(key[0], state, key[1], began.get(key)) for key, state in ordered)
