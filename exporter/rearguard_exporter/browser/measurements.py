"""What is counted of beacons: each text in them becomes one of a few label values, or stands for all others."""

from typing import Final

from rearguard_exporter.browser.beacon import Beacon
from rearguard_exporter.browser.vitals import Vitals
from rearguard_exporter.families import OTHER
from rearguard_exporter.values.instruments import Instruments

NAVIGATION_TYPES: Final = frozenset(
    {
        "navigate",
        "reload",
        "back-forward",
        "back-forward-cache",
        "prerender",
        "restore",
        "soft-navigation",  # a call of `rearguard.navigate`; the others are OpenTelemetry's
    }
)
"""How a page view can have begun."""

ERROR_TYPES: Final = frozenset(
    {
        "Error",
        "AggregateError",
        "EvalError",
        "RangeError",
        "ReferenceError",
        "SyntaxError",
        "TypeError",
        "URIError",
        "ChunkLoadError",  # bundlers: part of a release that is not there any more
    }
)
"""The types of JavaScript errors that are told apart."""


class Measurements:
    """Counts beacons in the families of a monitor."""

    def __init__(self, vitals: Vitals, instruments: Instruments) -> None:
        self._page_of = vitals.paths.page_of
        self._timings = frozenset(vitals.timings)
        self._instruments = instruments

    def take(self, beacon: Beacon) -> None:
        """Count what one page view measured."""
        page = self._page_of(beacon.path)
        key = (page, beacon.navigation if beacon.navigation in NAVIGATION_TYPES else OTHER)
        into = self._instruments
        for name, value in beacon.vitals:
            into.vitals[name].observe(key, value)
        for name, seconds in beacon.timings:
            into.browser_timing.observe((name if name in self._timings else OTHER,), seconds)
        for kind, count in beacon.errors:
            into.browser_errors.add((page, kind if kind in ERROR_TYPES else OTHER), count)
