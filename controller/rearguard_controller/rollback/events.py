"""What can happen to a rollback.

Here: the events. A rollback is the fold of its events.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique

from rearguard_controller.model import Outcome, Rollback


@unique
class EventKind(StrEnum):
    """What can happen to a rollback."""

    OPENED = "opened"
    APPROVED = "approved"
    VETOED = "vetoed"
    WAIT_ENDED = "wait_ended"
    FAULT_OVER = "fault_over"
    STEP_STARTED = "step_started"
    STEP_DONE = "step_done"
    STEP_FAILED = "step_failed"
    STEP_SKIPPED = "step_skipped"
    STEP_INTERRUPTED = "step_interrupted"
    TARGET_CHANGED = "target_changed"
    ABORT_ASKED = "abort_asked"
    CLOSE_ASKED = "close_asked"
    TOGETHER_DONE = "together_done"  # all that go back together were changed
    TOGETHER_ENDED = "together_ended"  # another one's attempt has ended, so this one's ends, too
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a rollback. Fields that a kind does not use stay empty."""

    kind: EventKind
    at: float
    seq: int | None = None  # the step, for step events
    output: str = ""
    detail: str = ""
    outcome: Outcome | None = None  # of `closed`, `together_ended`, or of a step's result that ends the attempt
    opened: Rollback | None = None  # of `opened`
