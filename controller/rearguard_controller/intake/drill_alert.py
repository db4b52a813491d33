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
    """Labels that take a drill's alert the way of this target's triggers; None when no alert can be one.

    Of several maps in `match` the first is taken.
    """
    wanted = target.trigger_labels()
    return {"alertname": DRILL_ALERT, **wanted[0], DRILL_LABEL: drill_id} if wanted else None


def drill_alert(target: Target, labels: Labels, now: float) -> Alert:
    """The alert that a drill sends: it says what it is to whoever else is told of it."""
    texts = {
        "summary": f"This is a drill of {target.name}: nothing is wrong.",
        "description": "Rearguard tries whether alerts reach it by way of Alertmanager. There is nothing to do.",
    }
    return Alert(labels["alertname"], labels, texts, starts_at=now)


def drills_in(alerts: Iterable[Alert]) -> tuple[str, ...]:
    """The ids of the drills whose alerts are among these, each once; a label that can be no id of ours is none."""
    found = (alert.labels.get(DRILL_LABEL, "") for alert in alerts)
    return tuple(dict.fromkeys(each for each in found if _DRILL_ID.fullmatch(each)))


def is_of_a_drill(alert: Alert) -> bool:
    """Whether an alert is a drill's, whoever sent it: never judged, never told of, whatever else it carries."""
    return bool(alert.labels.get(DRILL_LABEL))
