"""Measuring never breaks what is measured: a fault of the exporter is logged, once for each place, and not raised."""

import functools
import logging
import sys
from collections.abc import Callable
from typing import ParamSpec

log = logging.getLogger("rearguard_exporter")

P = ParamSpec("P")
_reported: set[str] = set()


def report(place: str) -> None:
    """Log the current exception, if it is the first one at this place."""
    if place not in _reported:
        _reported.add(place)
        log.warning("rearguard_exporter: %s failed; the application is not affected", place, exc_info=sys.exception())


def quiet(function: Callable[P, None]) -> Callable[P, None]:
    """A function that reports exceptions instead of raising them."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception:  # noqa: BLE001 - this is the wall between the exporter and the application
            report(function.__qualname__)

    return guarded
