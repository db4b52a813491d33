"""Rows to nouns, with patience for damaged ones.

Here: what a damaged or foreign record means. In a list it is set aside and reported, so that the others go on; asked
for by itself it is an error.
Never here: SQL, and the form of records (journal/codec.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import structlog

from rearguard_controller.errors import DamagedError
from rearguard_controller.journal import codec

MOST_INDEXED = 200  # characters of an alert's name that lists go by

T = TypeVar("T")
N = TypeVar("N")
log = structlog.get_logger()


def listed_as(name: str | None) -> str | None:
    """An alert's name as lists go by it; names come from outside, and an index takes no long ones."""
    return None if name is None else name[:MOST_INDEXED]


def one(kind: type[T], name: object, body: str) -> T:
    """The noun in one record.

    Raises:
        DamagedError: that is what the record is.
    """
    try:
        return codec.load(kind, body)
    except ValueError as error:
        raise DamagedError(
            f"The journal's record of {kind.__name__.lower()} {name} is damaged: {error}.",
            hint="Restore the journal from a copy, or start the version of Rearguard that wrote it.",
        ) from error


def sorted_out(kind: type[T], rows: Iterable[tuple[N, str]]) -> tuple[list[tuple[N, T]], list[tuple[N, str]]]:
    """The nouns in rows of (name, body), with their names, and the names of damaged ones with what is wrong.

    Damaged ones are also reported in the log. What is written alike is read once: deliveries repeat themselves.
    """
    found, damaged = [], []
    read: dict[str, T] = {}
    for name, body in rows:
        try:
            noun = read.get(body)
            if noun is None:
                noun = read[body] = one(kind, name, body)
            found.append((name, noun))
        except DamagedError as error:
            log.error("record_set_aside", record=name, kind=kind.__name__, error=error.message, hint=error.hint)
            damaged.append((name, error.message))
    return found, damaged


def several(kind: type[T], rows: Iterable[tuple[object, str]]) -> tuple[T, ...]:
    """The nouns in rows of (name, body); damaged ones are left out and reported in the log."""
    return tuple(noun for _, noun in sorted_out(kind, rows)[0])


@contextlib.contextmanager
def goes_on() -> Iterator[None]:
    """A rollback goes on although what it would note on another record cannot be: that one is damaged.

    Nothing follows from a damaged record: a release is no destination, and a target is not judged.
    """
    try:
        yield
    except DamagedError as error:
        log.error("record_not_changed", error=error.message, hint=error.hint)
