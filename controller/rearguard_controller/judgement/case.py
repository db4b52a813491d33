"""What a question of the judgement may look at, and the sentences that several remedies share. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rearguard_controller.model import VERSION_LABEL, Alert, Facts, Release, Target
from rearguard_controller.model.observations import OF_CLUSTER
from rearguard_controller.wording import clock_time, span

READ_PROMETHEUS = "Prometheus would have to answer: see `prometheus.url` and whether it runs."
AFTER_STORM = "The storm would have to pass: then it is asked, and judged anew."
READ_CURRENT = "The target's command `current` would have to print the version that serves."


@dataclass(frozen=True, slots=True)
class Case:
    """An alert about a target, with everything known.

    Attributes:
        alert: what questions may see of it: see `seen_of`.
        destination: where a rollback would go, if anywhere.
    """

    alert: Alert
    target: Target
    facts: Facts
    destination: Release | None


def seen_of(alert: Alert) -> Alert:
    """What questions may see of an alert: its name, its version, and whether Kubernetes tells of it.

    So alerts of many instances are alike.
    """
    version = alert.labels.get(VERSION_LABEL)
    labels = {} if version is None else {VERSION_LABEL: version}
    return Alert(alert.name, labels, source=OF_CLUSTER) if alert.source == OF_CLUSTER else Alert(alert.name, labels)


def a_person_can(target: Target) -> str:
    """That a person can go back, and how."""
    return f'A person can go back: rearguard rollback {target.name} --reason "..."'


def to_come(moment: float, now: float) -> str:
    """A moment to come, and how far off it is."""
    return f"{clock_time(moment)}, in {span(max(0.0, moment - now))}"
