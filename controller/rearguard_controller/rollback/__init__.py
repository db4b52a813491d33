"""The life of a rollback: one table of transitions, one plan, one question ("what next?"). No input or output.

A rollback is never changed in place. It is *opened* with a frozen plan of steps, and from then on it is the fold of
its events: `apply(rollback, event)` returns the next value, and an event that the tables do not list is
refused and changes nothing. `next_move` looks at such a value and says what to do next; it knows no clock but the
moment that it is given and no history but the fold. A crash therefore needs no recovery code of its own: whoever
reads the events back and asks `next_move` goes on where the last committed event stands.

Two tables hold everything. `PHASES` says which events a rollback accepts in which phase. `STEPS` says how events move
one step: an intent (`step_started`) is committed before the effect, a result after it, so a step found `started` by
a new process has an unknown result and becomes `interrupted`; what then happens is its `after_crash` rule.

The order of a plan is fixed: before hooks, roll_back, verify_health, after hooks that clear the way for traffic, the
undo of the before hooks in reverse, the other after hooks, verify_recovery. When the attempt ends early (`stopping`
holds its outcome), the steps that would act are skipped and the undo hooks still run.

A rollback may be opened *waiting*: for a person's approval until a moment, or for the time to veto it to pass. Both
ends of a wait, the approval and the moment, lead to one more judgement (`JudgeAgain`) and only that to the first
step; where nobody approved in time it closes as `expired`.

Here: the events (`events`), the tables and the fold (`transitions`), the next move (`moves`), and what a rollback
leaves behind (`consequences`).
Never here: a clock, input or output, and making the plan (`planning`).
"""

from rearguard_controller.rollback.consequences import arming, marks
from rearguard_controller.rollback.events import Event, EventKind
from rearguard_controller.rollback.next_move import (
    RETRY_FIRST,
    RETRY_MOST,
    JudgeAgain,
    Move,
    Note,
    RunStep,
    WaitUntil,
    next_move,
)
from rearguard_controller.rollback.transitions import PHASES, STEPS, apply

__all__ = [
    "PHASES",
    "RETRY_FIRST",
    "RETRY_MOST",
    "STEPS",
    "Event",
    "EventKind",
    "JudgeAgain",
    "Move",
    "Note",
    "RunStep",
    "WaitUntil",
    "apply",
    "arming",
    "marks",
    "next_move",
]
