"""The promise that measuring never breaks what is measured: faults of the exporter are logged, once a place.

Never here: anything that measures.
"""

import functools
import logging
import sys
from collections.abc import Callable
from typing import ParamSpec

log = logging.getLogger("rearguard_exporter")

P = ParamSpec("P")
_reported: set[str] = set()


def report(place: str) -> None:
    """Log the exception at hand, the first time that it happens at this place."""
    if place not in _reported:
        _reported.add(place)
        log.warning("rearguard_exporter: %s failed; the application is not affected", place, exc_info=sys.exception())


def quiet(function: Callable[P, None]) -> Callable[P, None]:
    """The function, but with its exceptions reported instead of raised."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception:  # noqa: BLE001 - this is the wall between the exporter and the application
            report(function.__qualname__)

    return guarded
