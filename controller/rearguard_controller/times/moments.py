"""Moments from outside, as seconds since the epoch, and their bounds.

Here: the one way in for a time of a delivery, a request, the command line or an answer. A time outside the bounds is
refused at the door, because no calendar shows it in every time zone. So nothing that was let in breaks a list later.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

FIRST_YEAR = 2  # Go's zero time, which means no time, has the year 1
LAST_YEAR = 9000  # every zone can still show it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OutOfRangeError(ValueError):
    """A time before `FIRST_YEAR`, after `LAST_YEAR`, or one that is no finite number."""


class TooEarlyError(OutOfRangeError):
    """A time before `FIRST_YEAR`, such as Go's zero time."""


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()


FIRST = _seconds(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
_END = _seconds(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))
LAST = _END - 0.001  # to the millisecond, as times are shown
_FIRST_SHOWN, _LAST_SHOWN = _seconds(datetime.min.replace(tzinfo=UTC)), _seconds(datetime.max.replace(tzinfo=UTC))


def seconds_of(text: str) -> float:
    """RFC 3339 as seconds since the epoch.

    Raises:
        OutOfRangeError: it is a time, and outside the bounds.
        ValueError: it is no time, or one without a zone.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return bounded(_seconds(found))


def bounded(seconds: float) -> float:
    """The seconds, if they are within the bounds.

    Raises:
        OutOfRangeError: they are not, or no finite number.
    """
    if seconds < FIRST:
        raise TooEarlyError(f"a time before the year {FIRST_YEAR}")
    if not seconds < _END:  # true for NaN, too
        raise OutOfRangeError(f"a time after the year {LAST_YEAR}")
    return seconds


def shown(seconds: float) -> datetime:
    """A moment in UTC, whatever the number: one that no calendar shows is its first or last day."""
    if math.isnan(seconds) or seconds >= _LAST_SHOWN:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.min.replace(tzinfo=UTC) if seconds <= _FIRST_SHOWN else datetime.fromtimestamp(seconds, UTC)
