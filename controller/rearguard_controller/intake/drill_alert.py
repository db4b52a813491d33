"""The alert that a drill sends by way of Alertmanager, and how it is told from a real one when it comes back.

Here: its name, its labels, and the ids that it carries. `watching.drill` sends it and waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rearguard_controller.model import DRILL_LABEL, Alert, Labels, Target

DRILL_ALERT = "RearguardDrill"


_DRILL_ID = re.compile(r"x[0-9A-Za-z_-]{1,60}")  # as the service makes them


def drill_labels(target: Target, drill_id: str) -> Labels | None:
    """Labels with which Alertmanager routes a drill's alert like the target's triggers; None if no alert can trigger.

    If `match` holds several maps, the first one that fits is taken.
    """
    wanted = target.trigger_labels()
    return {"alertname": DRILL_ALERT, **wanted[0], DRILL_LABEL: drill_id} if wanted else None


def drill_alert(target: Target, labels: Labels, now: float) -> Alert:
    """The alert that a drill sends. Its texts say that it is a drill, for other receivers that Alertmanager tells."""
    texts = {
        "summary": f"This is a drill of {target.name}: nothing is wrong.",
        "description": "Rearguard tries whether alerts reach it by way of Alertmanager. There is nothing to do.",
    }
    return Alert(labels["alertname"], labels, texts, starts_at=now)


def drills_in(alerts: Iterable[Alert]) -> tuple[str, ...]:
    """The ids of the drills whose alerts are among these, each once; labels that cannot be ids are left out."""
    found = [alert.labels[DRILL_LABEL] for alert in alerts if DRILL_LABEL in alert.labels]
    return tuple(dict.fromkeys(each for each in found if _DRILL_ID.fullmatch(each))) if found else ()


def is_of_a_drill(alert: Alert) -> bool:
    """Whether an alert is a drill's, whoever sent it. It is never judged, and people are not told of it."""
    return bool(alert.labels.get(DRILL_LABEL))
