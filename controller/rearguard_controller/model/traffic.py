"""What a target answers now: told to people, and nothing is judged by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a version of a target answers now; `errors` and `mean` are None without requests."""

    version: str | None  # the service_version; None: the instances tell none
    requests: float  # per second
    errors: float | None = None  # the share of them that fails, 0 to 1
    mean: float | None = None  # seconds for each, on average
