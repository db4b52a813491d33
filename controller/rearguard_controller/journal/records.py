"""What the rows of the journal mean, whichever database holds them.

Here: rows to values of the model, and the errors that both stores raise. A damaged or foreign record in a list is set
aside and logged, so that the others can be read. Asked for by itself, it is an error.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import orjson
import structlog

from rearguard_controller.errors import ConflictError, DamagedError, LeaseLostError, NotFoundError
from rearguard_controller.journal import codec
from rearguard_controller.journal.store import Fence
from rearguard_controller.model import Release, Rollback, TargetState
from rearguard_controller.model.shards import ONE, shard_of
from rearguard_controller.model.watched import Watched

T = TypeVar("T")
N = TypeVar("N")
log = structlog.get_logger(__name__)


OfShard: TypeAlias = tuple[int, int]  # its number, of how many

_NOTES = "shards"
_SEVERAL = f'{{"{_NOTES}":'  # how the notes of several shards begin
MOST_REMEMBERED = 64 * 1024  # characters of a rollback's record that is remembered


# --- rows to values


@functools.lru_cache(maxsize=64)
def _rollback(body: str) -> Any:
    """A rollback that is under way is read again every second, for what people say of it meanwhile."""
    return codec.load(Rollback, body)


def one(kind: type[T], name: object, body: str) -> T:
    """The value in one record.

    Raises:
        DamagedError: the record holds no such value.
    """
    try:
        if issubclass(kind, Rollback) and len(body) <= MOST_REMEMBERED:
            found: T = _rollback(body)
            return found
        return codec.load(kind, body)
    except ValueError as error:
        raise DamagedError(
            f"The journal's record of {kind.__name__.lower()} {name} is damaged: {error}.",
            hint="Restore the journal from a copy, or start the version of Rearguard that wrote it.",
        ) from error


def sorted_out(
    kind: type[T], rows: Iterable[tuple[N, str]], known: Mapping[str, T] | None = None
) -> tuple[list[tuple[N, T]], list[tuple[N, str]]]:
    """Rows of (name, body) as two lists: names with their values, and names of damaged rows with what is wrong.

    Damaged ones are also reported in the log. Equal bodies are decoded once, because deliveries repeat themselves;
    those that are `known` are not decoded at all.
    """
    found, damaged = [], []
    read: dict[str, T] = {}
    for name, body in rows:
        try:
            noun = read.get(body)
            if noun is None:
                noun = None if known is None else known.get(body)
                noun = read[body] = one(kind, name, body) if noun is None else noun
            found.append((name, noun))
        except DamagedError as error:
            log.error("record_set_aside", record=name, kind=kind.__name__, error=error.message, hint=error.hint)
            damaged.append((name, error.message))
    return found, damaged


def several(kind: type[T], rows: Iterable[tuple[object, str]]) -> tuple[T, ...]:
    """The values in rows of (name, body); damaged rows are left out and reported in the log."""
    return tuple(noun for _, noun in sorted_out(kind, rows)[0])


def rollback_in(rollback_id: str, body: str | None) -> Rollback:
    """The rollback in a record.

    Raises:
        NotFoundError: there is no record.
        DamagedError: the record holds no such value.
    """
    if body is None:
        raise NotFoundError(f"There is no rollback {rollback_id}.", hint="List them with: rearguard history")
    return one(Rollback, rollback_id, body)


def release_in(version: str, body: str | None) -> Release | None:
    """What is remembered of a version, in a record; None without one.

    Raises:
        DamagedError: the record holds no such value.
    """
    return None if body is None else one(Release, version, body)


def state_in(target: str, body: str | None, watched: str | None = None) -> TargetState:
    """The target's state in a record; without a record, that of a target never seen, which is armed.

    Args:
        target: its name.
        body: the record.
        watched: the notes of what was seen of all targets since, if there are any.

    Raises:
        DamagedError: the record holds no such value.
    """
    if body is None:
        return TargetState(target)
    state = replace(one(TargetState, target, body), target=target)
    for (number, count), note in () if watched is None else watched_in(watched):
        if shard_of(target, count) == number:
            state = note.of(state)
    return state


@functools.lru_cache(maxsize=2)  # it is read with every state, and is the same for all of them
def watched_in(body: str) -> tuple[tuple[OfShard, Watched], ...]:
    """The notes of what was seen of all targets of shards; none if they cannot be read: the states alone are true."""
    try:
        if not body.startswith(_SEVERAL):
            return (((0, ONE), one(Watched, "of all targets", body)),)
        return tuple(
            ((int(number), int(count)), one(Watched, f"of shard {number}", note))
            for number, count, note in orjson.loads(body)[_NOTES]
        )
    except (DamagedError, ValueError, KeyError, TypeError):
        return ()


def with_watched(body: str | None, of: OfShard, note: Watched) -> str:
    """The notes with that of one shard instead of its last one; a single shard's note stands alone."""
    if of[1] == ONE:
        return codec.dump(note)
    others = () if body is None else watched_in(body)
    kept = [(*each, codec.dump(known)) for each, known in others if each != of]
    return orjson.dumps({_NOTES: [*kept, (*of, codec.dump(note))]}).decode()


# --- errors of both stores


@contextlib.contextmanager
def goes_on() -> Iterator[None]:
    """Log a damaged record instead of raising: a rollback goes on although another record cannot be changed.

    That is safe, because nothing follows from a damaged record: such a release is no destination, and such a target
    is not judged.
    """
    try:
        yield
    except DamagedError as error:
        log.error("record_not_changed", error=error.message, hint=error.hint)


def prove_lead(fence: Fence, epoch: int | None) -> None:
    """Return when the lease's epoch is that of the fence.

    Raises:
        LeaseLostError: the fence has no epoch, or the lease another one.
    """
    if fence.epoch is None or epoch != fence.epoch:
        raise LeaseLostError("This process does not lead any more; nothing was stored.")


def key_used() -> ConflictError:
    """The refusal of a rollback whose idempotency key opened another one."""
    return ConflictError("This idempotency key was used before.")


def rollback_open(rollback: Rollback) -> ConflictError:
    """The refusal of a rollback whose target has an open one."""
    return ConflictError(f"A rollback of {rollback.target} is already under way.")


def already_handled(rollback: Rollback) -> ConflictError:
    """The refusal of a second automatic rollback away from one version."""
    return ConflictError(
        f"An automatic rollback of {rollback.target} away from {rollback.from_version} has started before."
    )


def drill_open(target: str) -> ConflictError:
    """The refusal of a drill while another one of the target goes on."""
    return ConflictError(
        f"A drill of {target} goes on already.",
        hint="Wait for its end; one whose controller stopped counts as over after five minutes.",
    )
