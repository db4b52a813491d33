"""The statements of a psycopg pipeline between their sending and their results.

In a pipeline `execute` returns before the server did anything. The statement is kept on the pipeline until that hands
its results to the cursor. After a failure the server ignores all statements that were sent with the failed one.
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
    """Keep a statement that this cursor is about to send; None if the pipeline cannot keep it."""
    try:
        waiting = vars(pipeline).setdefault(_NAME, {}).setdefault(id(operations), deque())
    except Exception:  # noqa: BLE001 - the wall between the exporter and the application
        report("psycopg pipeline")
        return None
    statement = Statement(waiting, cursor, began, query)
    waiting.append(statement)
    return statement


def take_back(statement: Statement) -> bool:
    """Remove a statement that was not sent after all. False if its result is known already."""
    if statement not in statement.waiting:
        return False
    statement.waiting.remove(statement)
    return True


@quiet
def arrived(pipeline: Any, cursor: Any, operations: Operations, failure: BaseException | None) -> None:
    """Count the oldest statement of this cursor, whose results came.

    They may also be those of an `executemany`, which is not kept here; then this does nothing.
    """
    waiting: deque[Statement] = vars(pipeline).get(_NAME, {}).get(id(operations), ())
    if not waiting or waiting[0].cursor is not cursor:
        return
    first = waiting.popleft()
    operations.since(first.began, first.query, failure)
    while failure is not None and waiting:
        ignored = waiting.popleft()
        operations.since(ignored.began, ignored.query, PipelineAborted())
