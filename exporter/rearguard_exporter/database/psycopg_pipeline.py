"""The statements of a psycopg pipeline between their sending and their results.

`execute` returns in a pipeline before the server did anything; what it comes to is known when the pipeline hands the
results to the cursor, and until then kept on the pipeline. After a failure the server ignores what was sent with it.
Never here: cursors (psycopg_cursor), what a label may say (operation).
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from psycopg.errors import PipelineAborted

from rearguard_exporter.database.operations import Operations
from rearguard_exporter.fault_barrier import quiet, report

_NAME = "rearguard_sent"


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement whose result is still to come."""

    waiting: deque["Statement"]  # all of the pipeline that are measured alike, oldest first
    cursor: Any
    began: float
    query: Any


def sent(pipeline: Any, cursor: Any, operations: Operations, began: float, query: Any) -> Statement | None:
    """A statement is about to be sent by this cursor; None where the pipeline cannot be told."""
    try:
        waiting = vars(pipeline).setdefault(_NAME, {}).setdefault(id(operations), deque())
    except Exception:  # noqa: BLE001 - the wall between the exporter and the application
        report("psycopg pipeline")
        return None
    statement = Statement(waiting, cursor, began, query)
    waiting.append(statement)
    return statement


def take_back(statement: Statement) -> bool:
    """It was not sent after all; False when it is known already what became of it."""
    if statement not in statement.waiting:
        return False
    statement.waiting.remove(statement)
    return True


@quiet
def arrived(pipeline: Any, cursor: Any, operations: Operations, failure: BaseException | None) -> None:
    """Results of this cursor came: of its oldest statement, or of an `executemany`, which nobody waits for here."""
    waiting: deque[Statement] = vars(pipeline).get(_NAME, {}).get(id(operations), ())
    if not waiting or waiting[0].cursor is not cursor:
        return
    first = waiting.popleft()
    operations.since(first.began, first.query, failure)
    while failure is not None and waiting:
        ignored = waiting.popleft()
        operations.since(ignored.began, ignored.query, PipelineAborted())
