"""The clock of a source against ours: how far it is ahead."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import NamedTuple

SHIFT_FROM = 2.0  # seconds of difference, beyond what cannot be measured, from which on times are moved
_HALF_A_SECOND = 0.5  # the header `Date` has whole seconds


class Skew(NamedTuple):
    """How far a clock is ahead of ours, in seconds, and how much of that may be the measurement's."""

    ahead: float
    unsure: float

    @property
    def shift(self) -> float:
        """Seconds by which times are moved: none while the clocks may be the same."""
        return round(self.ahead, 3) if abs(self.ahead) - self.unsure > SHIFT_FROM else 0.0


def skew(theirs: float, asked_at: float, answered_after: float) -> Skew:
    """The skew by one answer.

    Args:
        theirs: what their clock said, in seconds since the epoch.
        asked_at: what ours said when they were asked.
        answered_after: seconds until the answer came; their clock was read at some moment in between.
    """
    return Skew(theirs - asked_at - answered_after / 2, answered_after / 2)


def skew_by_date(date: str, asked_at: float, answered_after: float) -> Skew | None:
    """The skew by the header `Date` of an answer; None if that is no date."""
    try:
        theirs = parsedate_to_datetime(date).timestamp() + _HALF_A_SECOND
    except (ValueError, OverflowError):
        return None
    found = skew(theirs, asked_at, answered_after)
    return Skew(found.ahead, found.unsure + _HALF_A_SECOND)
