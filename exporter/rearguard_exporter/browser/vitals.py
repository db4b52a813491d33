"""What a user chooses about measuring in the browser."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rearguard_exporter.browser.pages import Pages

MOST_TIMINGS = 50
"""Names that custom timings may have."""


@dataclass(frozen=True)
class Vitals:
    """Which pages are measured in the browser, how often, and who may send what was measured.

    Args:
        pages: the pages that metrics tell apart: paths (`/cart`), templates (`/items/{id}`), beginnings (`/blog/*`).
            All others are `__unmatched__`.
        sample: share of page loads that are measured, above 0 and at most 1.
        origins: further origins that may send, such as `https://www.example.com`; the service's own always may.
        timings: names that `rearguard.timing` may use; others are `_OTHER`.
        rate: beacons a second that this process takes; twice as many at once.

    Raises:
        ValueError: one of these cannot be meant so.
    """

    pages: Iterable[str] = ()
    sample: float = 1.0
    origins: Iterable[str] = ()
    timings: Iterable[str] = ()
    rate: float = 50.0
    paths: Pages = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check and keep everything as tuples."""
        for name in ("pages", "origins", "timings"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ValueError(f"vitals: {name} is a list of texts, not the text {given!r}")  # noqa: TRY004 - as documented
            object.__setattr__(self, name, tuple(given))
        object.__setattr__(self, "paths", Pages(self.pages))
        if not 0 < self.sample <= 1:
            raise ValueError(f"vitals: sample is a share above 0 and at most 1, not {self.sample!r}")
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"vitals: rate is a number of beacons a second above 0, not {self.rate!r}")
        for origin in self.origins:
            if not _is_origin(origin):
                raise ValueError(f"vitals: an origin is a scheme and a host, as https://example.com, not {origin!r}")
        if len(tuple(self.timings)) > MOST_TIMINGS:
            raise ValueError(f"vitals: at most {MOST_TIMINGS} names of timings")


def resolve_vitals(
    given: "Vitals | Iterable[str] | None", environment: Mapping[str, str] = os.environ
) -> Vitals | None:
    """What was given, pages alone or all of it; else what the environment says; None if neither says anything.

    Raises:
        ValueError: as `Vitals`.
    """
    if isinstance(given, Vitals):
        return given
    if given is not None:
        return Vitals(given)
    pages = environment.get("REARGUARD_VITALS_PAGES", "")
    if not pages:
        return None
    return Vitals(
        _words(pages),
        sample=_number(environment, "REARGUARD_VITALS_SAMPLE", 1.0),
        origins=_words(environment.get("REARGUARD_VITALS_ORIGINS", "")),
        timings=_words(environment.get("REARGUARD_VITALS_TIMINGS", "")),
        rate=_number(environment, "REARGUARD_VITALS_RATE", 50.0),
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return text == f"{parts.scheme}://{parts.netloc}".lower() and bool(parts.scheme and parts.hostname)
    except ValueError:
        return False
