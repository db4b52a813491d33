"""Prometheus durations (`5m`, `1h30m`, `400d`, `0s`) to seconds and back.

Here: the text form of durations as the Prometheus documentation defines it (units y w d h m s ms, largest
first, each at most once; a year is 365 days).
"""

from __future__ import annotations

import re

from rearguard_controller.errors import InvalidInputError, shortened

_MS = 1000
_UNITS = (  # name, milliseconds, whether formatting uses it only when nothing smaller is left over
    ("y", 365 * 86_400 * _MS, True),
    ("w", 7 * 86_400 * _MS, True),
    ("d", 86_400 * _MS, False),
    ("h", 3_600 * _MS, False),
    ("m", 60 * _MS, False),
    ("s", _MS, False),
    ("ms", 1, False),
)
_PATTERN = re.compile("".join(rf"(?:([0-9]{{1,15}}){unit})?" for unit, _, _ in _UNITS))
_LENIENT = re.compile("".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit})?" for unit, _, _ in _UNITS))
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
LONGEST = 200 * 365 * 86_400.0  # seconds; Prometheus itself overflows at about 292 years
_SHOWN = 40  # characters of a bad text that an error repeats
_HINT = "Write a Prometheus duration such as 30s, 5m, 1h30m or 14d."


def parse(text: str) -> float:
    """Read a Prometheus duration; a bare `0` is allowed, as in Prometheus.

    Returns:
        Seconds, from 0 to `LONGEST`.

    Raises:
        InvalidInputError: the text is no such duration.
    """
    if text == "0":
        return 0.0
    shown = shortened(repr(text), _SHOWN)  # shortened after escaping: an escaped character has up to ten
    match = _PATTERN.fullmatch(text)
    if match is None or not text:
        hint = f"A duration needs a unit: {text}s or {text}m?" if re.fullmatch(r"[0-9]{1,9}", text) else _HINT
        raise InvalidInputError(f"{shown} is not a duration", hint=hint)
    total = sum(
        int(count) * size for count, (_, size, _) in zip(match.groups(), _UNITS, strict=True) if count is not None
    )
    if total > LONGEST * _MS:
        raise InvalidInputError(f"{shown} is longer than 200 years", hint=_HINT)
    return total / _MS


def of_answer(text: str) -> float | None:
    """Read a duration that a Prometheus of any version may have written into an answer.

    That is a duration as `parse` takes it, also with decimals, or a number of seconds. A longer one than `LONGEST`
    counts as `LONGEST`: Prometheus' own bound is 292 years.

    Returns:
        Seconds, from 0 to `LONGEST`; None if the text is no duration.
    """
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST)
    match = _LENIENT.fullmatch(text)
    if match is None or not text:
        return None
    total = sum(
        float(count) * size for count, (_, size, _) in zip(match.groups(), _UNITS, strict=True) if count is not None
    )
    return min(total / _MS, LONGEST)


def render(seconds: float) -> str:
    """Write seconds as the shortest Prometheus duration, to the millisecond (400 days: `400d`).

    Raises:
        InvalidInputError: negative, infinite, not a number, or longer than `LONGEST`.
    """
    if not 0 <= seconds <= LONGEST:
        raise InvalidInputError(f"{seconds} seconds is not a duration between 0 and 200 years")
    left = round(seconds * _MS)
    if left == 0:
        return "0s"
    parts: list[str] = []
    for unit, size, only_exact in _UNITS:
        if left < size or (only_exact and left % size):
            continue
        count, left = divmod(left, size)
        parts.append(f"{count}{unit}")
    return "".join(parts)
