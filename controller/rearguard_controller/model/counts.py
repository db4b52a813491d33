"""Counted requests and failures of a release and of the version before it, step by step.

Here: the records. What follows from them stands in `judgement.evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Tally(NamedTuple):
    """What was counted in the seconds up to `at`."""

    at: float
    requests: float
    failures: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Counted requests of a release and of the older versions.

    Attributes:
        version: the release's `service_version`.
        older: the `service_version` of the older versions, in words.
        own: of the release, in order; steps of 5 s.
        beside: of the older versions at the same moments; steps without a request may be left out, here and in `own`.
        before: of the older versions in the hour before the release; steps of 15 s.
        limit: the fixed threshold of the alert, a share; None: the alert itself is judged by evidence.
    """

    version: str
    older: str
    own: tuple[Tally, ...]
    beside: tuple[Tally, ...] = ()
    before: tuple[Tally, ...] = ()
    limit: float | None = None
