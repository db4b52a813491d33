"""Foreign JSON documents as typed values.

Here: what an answer of an outside system must be made of; a wrong shape raises `ShapeError`, which names the place.
`decoder` makes that the only error that a reader of answers can raise.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

import orjson

from rearguard_controller.model import Labels
from rearguard_controller.times import durations, moments

P = ParamSpec("P")
T = TypeVar("T")

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|Inf|NaN)")  # as Go's
_PLAIN = b"0123456789+-.eE"  # of what is made of these, `float` takes what `_NUMBER` does
_TIMES = frozenset({int, float})
_AT_ONCE = 5000  # points that are checked together


class ShapeError(Exception):
    """An answer is not shaped as the API promises; the text names the place."""


class UnreadableError(ShapeError):
    """Reading an answer failed in a way that nobody foresaw; the cause is the fault itself."""


def decoder(read: Callable[P, T]) -> Callable[P, T]:
    """A reader of answers that raises nothing but `ShapeError`.

    Whatever else happens while it reads becomes an `UnreadableError`: then the answer is none, and whoever asked goes
    on. Readers touch nothing but the answer, so no other fault hides in there.
    """

    @functools.wraps(read)
    def decoded(*args: P.args, **kwargs: P.kwargs) -> T:
        with reading():
            return read(*args, **kwargs)

    return decoded


@contextlib.contextmanager
def reading(*expected: type[Exception]) -> Iterator[None]:
    """Turn every fault but `ShapeError` and the expected ones into an `UnreadableError` while the block runs."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (ShapeError, *expected)):
            raise
        raise UnreadableError(f"it cannot be read ({type(error).__name__})") from error


def mapping(value: object, place: str) -> Mapping[str, object]:
    """An object."""
    if not isinstance(value, dict):
        raise ShapeError(f"{place} is no object")
    return value


def entries(value: object, place: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """A list of objects, each with its place; null counts as an empty list, as Go writes it."""
    if value is None:
        return
    if not isinstance(value, list):
        raise ShapeError(f"{place} is no list")
    for index, entry in enumerate(value):
        yield f"{place}[{index}]", mapping(entry, f"{place}[{index}]")


def labels(value: object, place: str) -> Labels:
    """An object of texts; null counts as an empty one."""
    fields = mapping({} if value is None else value, place)
    return {name: text(each, f"{place}.{name}") for name, each in fields.items()}


Wanted = Callable[[Labels, str], bool]  # by labels and state


def only(maker: Callable[[], Wanted] | None, key: str = "labels") -> Callable[[bytes], bytes]:
    """Keeps of the alerts of one answer, each given as JSON by itself, those that are wanted; None keeps all.

    They are asked about by their state and by their labels, which stand under a key.
    """
    wanted = None if maker is None else maker()

    def keep(entry: bytes) -> bytes:
        if wanted is None:
            return entry
        fields = entry_of(entry)
        found = labels(fields.get(key), f"an entry's {key}")
        return entry if wanted(found, state_of(fields, found)) else b""

    return keep


def state_of(fields: Mapping[str, object], found: Labels) -> str:
    """The state of an alert of Prometheus, of Alertmanager, or of a series `ALERTS`; empty if there is none."""
    status = fields.get("status")
    of_status = status.get("state") if isinstance(status, dict) else None
    state = fields.get("state") or of_status or found.get("alertstate")
    return state if isinstance(state, str) else ""


def entry_of(entry: bytes) -> Mapping[str, object]:
    """An entry of a list, which came by itself as JSON."""
    try:
        fields: object = orjson.loads(entry)
    except orjson.JSONDecodeError:
        raise ShapeError("an entry is no JSON") from None
    return mapping(fields, "an entry")


def text(value: object, place: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ShapeError(f"{place} is no text")
    return value


def number(value: object, place: str) -> float:
    """A number, or a number as text (`1e+00`, `NaN`, `+Inf`), as Prometheus writes sample values."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise ShapeError(f"{place} is no number")


def points(values: Sequence[object], place: str) -> tuple[tuple[float, float], ...]:
    """Pairs of a moment and a number, as range answers have them; NaN is left out. One such answer has 100,000s."""
    found: list[tuple[float, float]] = []
    for first in range(0, len(values), _AT_ONCE):  # in pieces: while one is read, no other thread runs
        some = values[first : first + _AT_ONCE]
        found += _points_at_once(some) or (
            pair for pair in (point(value, place) for value in some) if not math.isnan(pair[1])
        )
    return tuple(found)


def point(value: object, place: str) -> tuple[float, float]:
    """A pair of a moment and a number."""
    match value:
        case [moment, found]:
            return unix_time(moment, place), number(found, place)
        case _:
            raise ShapeError(f"{place} is no pair of time and value")


def _points_at_once(values: Sequence[object]) -> tuple[tuple[float, float], ...]:
    """The pairs, checked together; nothing if there is none, or one that needs a closer look."""
    try:
        times, texts = zip(*(pair for pair in values if pair[1] != "NaN"), strict=True)  # type: ignore[index]
        if not _TIMES.issuperset(map(type, times)) or "".join(texts).encode().translate(None, _PLAIN):
            return ()
        if min(times) < moments.FIRST or max(times) > moments.LAST:
            return ()
        return tuple(zip(map(float, times), map(float, texts), strict=True))
    except (TypeError, ValueError, LookupError):  # what is no pair, or no number, is told by `point`
        return ()


def seconds(value: object, place: str) -> float:
    """A length of time as a number of seconds; a longer one than `durations.LONGEST` counts as that."""
    found = number(value, place)
    if not 0 <= found < math.inf:  # false for NaN, too
        raise ShapeError(f"{place} is no length of time")
    return min(found, durations.LONGEST)


def unix_time(value: object, place: str) -> float:
    """A moment as a number of seconds since the epoch, as samples have it."""
    try:
        return moments.bounded(number(value, place))
    except moments.OutOfRangeError:
        raise ShapeError(f"{place} is no time of the years {moments.FIRST_YEAR} to {moments.LAST_YEAR}") from None


def moment(value: object, place: str) -> float | None:
    """RFC 3339 to seconds since the epoch; None when absent or Go's zero time, which has the year 1.

    Raises:
        OutOfRangeError: it is a time after the last year that is let in. The caller says what that means.
    """
    if value is None:
        return None
    try:
        return moments.seconds_of(text(value, place))
    except moments.TooEarlyError:
        return None
    except moments.OutOfRangeError:
        raise
    except ValueError:
        raise ShapeError(f"{place} is no time with a zone") from None


def texts(value: object, place: str) -> tuple[str, ...]:
    """A list of texts; null counts as an empty one, as Go writes it."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ShapeError(f"{place} is no list")
    return tuple(text(each, f"{place}[{index}]") for index, each in enumerate(value))


def flag(value: object, place: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ShapeError(f"{place} is neither true nor false")
    return value
