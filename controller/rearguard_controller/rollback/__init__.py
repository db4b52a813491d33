"""The life of a rollback: one table of transitions, one plan, one question ("what next?"). No input or output.

A rollback is never changed in place. It is *opened* with a frozen plan of steps, and from then on it is the fold of
its events: `apply(rollback, event)` returns the next value. An event that the tables do not list is refused and
changes nothing. `next_move` says what to do next with such a value; it is given the moment and reads no other clock
and no other history. A crash therefore needs no recovery code of its own: whoever reads the events back and asks
`next_move` goes on after the last committed event.

Two tables hold everything. `PHASES` says which events a rollback accepts in which phase. `STEPS` says how events move
one step. The intent of a step (`step_started`) is committed before its effect, the result after it. A step that a new
process finds `started` therefore has an unknown result and becomes `interrupted`; its `after_crash` rule says what
happens then.

The order of a plan is fixed: before hooks, roll_back, verify_health, after hooks that must precede the return of
traffic, the undo of the before hooks in reverse, the other after hooks, verify_recovery. When the attempt ends early
(`stopping` holds its outcome), the steps that would act are skipped and the undo hooks still run.

A rollback may be opened *waiting*: until a person approves it, or until the time for a veto has passed. Both ends of
such a wait lead to one more judgement (`JudgeAgain`), and only that judgement leads to the first step. A rollback
that nobody approved in time closes as `expired`.

Rollbacks of several targets may be tied, so that they go back together (`together`). Each is still the fold of its
own events. It looks at the others before its next move, and waits where they have not come far enough.

Here: the plan (`plan`), the events (`events`), the tables and the fold (`transitions`), the next move (`next_move`),
and what else an event changes (`consequences`), and what ties several of them (`together`).
"""

from rearguard_controller.rollback.consequences import ReleaseChange, TargetChange, arming, consequences, marks
from rearguard_controller.rollback.events import Event, EventKind
from rearguard_controller.rollback.next_move import JudgeAgain, Move, Note, RunStep, WaitUntil, next_move
from rearguard_controller.rollback.transitions import apply

__all__ = [
    "Event",
    "EventKind",
    "JudgeAgain",
    "Move",
    "Note",
    "ReleaseChange",
    "RunStep",
    "TargetChange",
    "WaitUntil",
    "apply",
    "arming",
    "consequences",
    "marks",
    "next_move",
]
