"""Whether a rollback helped, if history can tell. Pure.

Here: what became of an alert after people went back to the same version as the controller would have.
"""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.backtest.nouns import AlertHistory, Change
from rearguard_controller.model import Target


def helped(
    target: Target, alert_name: str, to_version: str | None, following: Change | None, alerts: Iterable[AlertHistory]
) -> bool | None:
    """Whether the alert was over once the target had served the destination for as long as recovery may take.

    Args:
        target: what would have been rolled back.
        alert_name: the trigger, whichever version or instance it is about.
        to_version: the destination.
        following: the change that really came next.
        alerts: of the target.

    Returns:
        None if another version than the destination came next: then nobody knows.
    """
    if following is None or following.version != to_version:
        return None
    at = following.at + target.recovers_within
    fires = any(
        history.labels.get("alertname") == alert_name and firing.start <= at <= firing.end
        for history in alerts
        for firing in history.firing
    )
    return not fires
