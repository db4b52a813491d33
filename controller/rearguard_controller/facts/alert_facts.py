"""What Prometheus and Alertmanager say of one alert, each with the evidence for it.

Here: confirming a delivered alert by Prometheus' own list, and what of its silencing counts as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rearguard_controller.adapters.prometheus import PrometheusAlert, figures
from rearguard_controller.facts.alerts_now import AlertsReading, as_alert
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.target_facts import ALERTS
from rearguard_controller.model import (
    Alert,
    AlertFacts,
    AlertState,
    Condition,
    Evidence,
    EvidenceSource,
    ReasonCode,
    Sample,
    Silencing,
    Target,
)
from rearguard_controller.wording import clock_time, number

SILENCES = "GET /api/v2/silences, GET /api/v2/alerts"
NO_CONDITION = "the alert has no usable figure, and its rule is not among Prometheus' rules"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What is known of an alert.

    Attributes:
        facts: for the judgement.
        alert: as Prometheus has it; as it was delivered if Prometheus does not have it.
        condition: what can be measured of it; None when nothing can.
    """

    facts: AlertFacts
    alert: Alert
    condition: Condition | None


def confirm(target: Target, alert: Alert, reading: AlertsReading, silences: Silences, now: float) -> Confirmation:
    """Look a delivered alert up in Prometheus' list, and in Alertmanager's.

    A delivery may be late, a duplicate or forged: only what Prometheus has counts. An alert is confirmed only if the
    labels that it has in Prometheus make it a trigger of this target.

    Args:
        target: whose alert it is.
        alert: as it was delivered.
        reading: Prometheus' list.
        silences: Alertmanager's list.
        now: the moment of the judgement, in seconds since the epoch.
    """
    meant = reading.meant(alert)
    found = next((each for each in meant if target.triggered_by(each.labels)), None)
    condition, detail = None, reading.fault
    if found is None:
        state = AlertState.UNKNOWN if reading.fault else AlertState.INACTIVE
        detail = reading.fault or (only_delivered(target, alert, meant[0]) if meant else "")
    else:
        alert = as_alert(found, alert.source, alert, prometheus=reading.prometheus)
        state = AlertState.FIRING if found.state == AlertState.FIRING else AlertState.PENDING
        condition = figures.condition_of(found, reading.rules, target)
        detail = "" if condition else NO_CONDITION
    silencing = silences.of(alert)
    known = of_alert(found or next(iter(meant), None), reading.fault, reading.read_at)
    evidence = (known, *of_silencing(silencing, now))
    is_foreign = found is None and bool(meant) and not any(target.owns(each.labels) for each in meant)
    return Confirmation(AlertFacts(state, detail, silencing, is_foreign, evidence), alert, condition)


def only_delivered(target: Target, alert: Alert, found: PrometheusAlert) -> str:
    """Why an alert that Prometheus has is no trigger of a target: the labels that it would need, and lacks there."""
    lacking = min(
        (
            [name for name, value in each.items() if found.labels.get(name) != value]
            for each in target.trigger_labels()
        ),
        key=len,
        default=[],
    )
    named = ", ".join(f'{name}="{alert.labels[name]}"' for name in lacking if name in alert.labels)
    told = f" Delivered alone were {named}: such labels do not count." if named else ""
    return f"there it has no labels that make it a trigger of {target.name}.{told}"


def of_alert(found: PrometheusAlert | None, fault: str, at: float) -> Evidence:
    """What Prometheus' list says of the alert that is judged; `fault` is why the list could not be read."""
    serves = (ReasonCode.ALERT_CONFIRMED,)
    if found is None:
        said = f"no answer: {fault}" if fault else "not among the alerts that are pending or firing"
        return Evidence(EvidenceSource.PROMETHEUS, ALERTS, said, at, serves)
    return _of_listed(found.name, found.state, found.active_at, found.value, at)


@lru_cache(maxsize=1024)
def _of_listed(name: str, state: AlertState, active_at: float | None, value: float | None, at: float) -> Evidence:
    """What the list says of an alert; the same object for alerts of which it says the same."""
    since = "" if active_at is None else f", active since {clock_time(active_at)}"
    value = value if value is not None and abs(value) != float("inf") else None
    values = () if value is None else (Sample({}, value),)
    said = f"{name} is {state}{since}" + ("" if value is None else f", its expression at {number(value)}")
    return Evidence(EvidenceSource.PROMETHEUS, ALERTS, said, at, (ReasonCode.ALERT_CONFIRMED,), values)


@lru_cache(maxsize=1024)
def of_silencing(silencing: Silencing | None, now: float) -> tuple[Evidence, ...]:
    """What Alertmanager's list says of the alert that is judged; nothing when no Alertmanager is configured.

    The same object for alerts of which it says the same.
    """
    if silencing is None:
        return ()
    if silencing.age is None:
        said = f"no answer: {silencing.fault}" if silencing.fault else "not read yet"
    elif silencing.silence:
        until = "" if silencing.until is None else f", until {clock_time(silencing.until)}"
        said = f"silenced by {silencing.silence}{until}"
    elif silencing.inhibited_by:
        said = f"inhibited by the alert with fingerprint {silencing.inhibited_by}"
    else:
        said = "neither silenced nor inhibited"
    at = now if silencing.age is None else now - silencing.age
    return (Evidence(EvidenceSource.ALERTMANAGER, SILENCES, said, at, (ReasonCode.NOT_SILENCED,)),)
