"""Answers of a bounded size, in which one record that cannot be shown hides no other.

Here: how many alerts fit into an answer, and how a page of the journal is shown. The journal itself bounds a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar

import structlog

from rearguard_controller.journal.store import Page
from rearguard_controller.model import Alert, Decision, Drill, Rollback
from rearguard_controller.model.annotations import cut, size_of

log = structlog.get_logger(__name__)

MOST_BYTES = 1024 * 1024  # of the labels and annotations of all alerts in one list of an answer
_OF_AN_ALERT = 256  # bytes of an alert's other fields

R = TypeVar("R", Decision, Drill, Rollback)
V = TypeVar("V")


@dataclass(slots=True)
class AlertRoom:
    """What is left of the bytes for alerts in one answer."""

    left: int = MOST_BYTES

    def take(self, alerts: Sequence[Alert]) -> tuple[Sequence[Alert], int]:
        """The first alerts, as many as fit, and how many are left out."""
        for number, alert in enumerate(alerts):
            self.left -= _OF_AN_ALERT + size_of(alert.labels) + size_of(cut(alert.annotations))
            if self.left < 0:
                self.left = 0
                return alerts[:number], len(alerts) - number
        return alerts, 0


class Unreadable(TypedDict, total=False):
    """The part of a page that names what cannot be shown."""

    unreadable: list[str]


def shown_of(page: Page[R], view: Callable[[R], V]) -> tuple[list[V], Unreadable]:
    """The records of a page as they are shown, and the ids of those that are damaged or cannot be shown, if any."""
    shown: list[V] = []
    unreadable = list(page.unreadable)
    for record in page.items:
        try:
            shown.append(view(record))
        except Exception as error:  # a journal may hold what an earlier version let in
            log.error("record_not_shown", record=record.id, exc_info=error)
            unreadable.append(record.id)
    return shown, {"unreadable": unreadable} if unreadable else {}
