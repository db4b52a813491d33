"""What a browser may send, and nothing else: the text of a beacon becomes numbers in their ranges, or an error.

Anybody can send a beacon. So a beacon is taken as a whole or not at all, and no text of it is ever shown again.
Never here: what becomes of it (measurements), who may send (endpoints).
"""

import json
from typing import Any, Final, NamedTuple, NoReturn

MOST_BYTES: Final = 8192
"""Bytes that a beacon may have; one of the script has a few hundred."""

_MOST_MS = 600_000.0  # ten minutes
_RANGES: Final = (  # name, the largest value, and what divides it into seconds; CLS has no unit
    *((name, _MOST_MS, 1000.0) for name in ("lcp", "inp", "fcp", "ttfb")),
    ("cls", 1000.0, 1.0),
)
_MOST_TIMING_MS = 3_600_000.0
_MOST_TIMINGS = 50
_MOST_ERROR_TYPES = 20
_MOST_ERRORS = 1000
_LONGEST = 2000  # characters of a path or a name


class BeaconError(ValueError):
    """This is no beacon. The message is a fixed text, which repeats nothing of what was sent."""


class Beacon(NamedTuple):
    """What one page view measured. Its texts are a stranger's: look them up, never show them."""

    path: str
    navigation: str
    vitals: list[tuple[str, float]]  # seconds; `cls` has no unit
    timings: list[tuple[str, float]]  # seconds
    errors: list[tuple[str, int]]


def parse(body: bytes) -> Beacon:
    """The beacon that this text is. Keys and measurements that are not known are left out: the script may be newer.

    Raises:
        BeaconError: it is no JSON, or a value has another type or range.
    """
    try:
        text = body.decode().strip(_WHITESPACE)
        document, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        raise BeaconError("a beacon is a JSON object in UTF-8") from None
    if type(document) is not dict or end != len(text):
        raise BeaconError("a beacon is a JSON object in UTF-8")
    vitals, timings, errors = document.get("vitals", {}), document.get("timings", []), document.get("errors", {})
    if type(vitals) is not dict or type(errors) is not dict or type(timings) is not list:
        raise BeaconError("vitals and errors are objects, timings is a list")
    if len(timings) > _MOST_TIMINGS or len(errors) > _MOST_ERROR_TYPES:
        raise BeaconError("too many timings or types of errors")
    return Beacon(
        _text(document.get("page")),
        _text(document.get("navigation")),
        _vitals(vitals),
        [_timing(pair) for pair in timings] if timings else timings,
        [(_text(name), _count(value)) for name, value in errors.items()] if errors else [],
    )


def _refuse(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are no JSON


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_WHITESPACE = " \t\r\n"  # of JSON
_OUT_OF_RANGE = "a measurement is no number, or out of its range"


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > _LONGEST:
        raise BeaconError("page, navigation and names are texts of at most 2000 characters")
    return value


def _vitals(document: dict[str, Any]) -> list[tuple[str, float]]:
    found = []
    for name, most, unit in _RANGES:
        if name in document:
            value = document[name]
            kind = type(value)
            if not ((kind is float or kind is int) and 0 <= value <= most):  # as `_number`, whose call costs more
                raise BeaconError(_OUT_OF_RANGE)
            found.append((name, value / unit))
    return found


def _timing(pair: Any) -> tuple[str, float]:
    if type(pair) is not list or len(pair) != 2:  # noqa: PLR2004 - a pair
        raise BeaconError("a timing is a pair of name and milliseconds")
    return _text(pair[0]), _number(pair[1], _MOST_TIMING_MS) / 1000


def _count(value: Any) -> int:
    if type(value) is not int or not 0 < value <= _MOST_ERRORS:
        raise BeaconError("errors are counted from 1 to 1000")
    return value


def _number(value: Any, most: float) -> float:
    # A bool is no number here, and what no float can hold is out of range before it is one.
    if (type(value) is float or type(value) is int) and 0 <= value <= most:
        return float(value)
    raise BeaconError(_OUT_OF_RANGE)
