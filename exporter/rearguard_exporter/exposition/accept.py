"""What a scraper asks for by its headers: format, escaping of names, compression, and how long it waits."""

import math
from typing import NamedTuple

from rearguard_exporter.exposition.names import Escaping

SCRAPE_TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"
"""The header in which Prometheus says how long it waits for the answer."""

DEFAULT_SECONDS = 2.0
"""Seconds that collectors of the application have for a scrape whose sender does not say how long it waits."""

_LEAST_SECONDS, _MOST_SECONDS = 0.1, 120.0
_SHARE, _MOST_SPARED = 0.8, 1.0  # of the scraper's time, and seconds: the rest is for writing and sending

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
_VERSIONS = {_TEXT: ("", "0.0.4", "1.0.0"), _OPENMETRICS: ("", "0.0.1", "1.0.0")}
_QUOTING = "1.0.0"  # versions before it cannot write UTF-8 names


class Form(NamedTuple):
    """The form of exposition that the scraper asked for."""

    is_openmetrics: bool = False
    is_gzip: bool = False
    escaping: Escaping | None = None  # None: it does not say, and gets underscores
    version: str = "0.0.4"
    has_created: bool = False  # whether counters and histograms say when they began; the monitor's setting

    @property
    def written_escaping(self) -> Escaping:
        """The escaping that names get."""
        return self.escaping or Escaping.UNDERSCORES

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the body."""
        kind = _OPENMETRICS if self.is_openmetrics else _TEXT
        content_type = f"{kind}; version={self.version}; charset=utf-8"
        if self.escaping is not None:
            content_type += f"; escaping={self.escaping}"
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if self.is_gzip:
            headers["Content-Encoding"] = "gzip"
        return headers


def asked(accept: str, accept_encoding: str) -> Form:
    """The form that these headers prefer."""
    is_gzip = max((each.weight for each in _ranges(accept_encoding) if each.value == "gzip"), default=0.0) > 0
    ranges = _ranges(accept)
    possible = [each for each in ranges if each.value in _VERSIONS]
    known = [each for each in possible if each.version in _VERSIONS[each.value]] or possible
    # Of the same weight: what is named, of this text, and of this the first.
    best = max(
        [*known, *_unnamed(ranges)], key=lambda each: (each.weight, each.is_named, each.value == _TEXT), default=None
    )
    if best is None or best.weight <= 0:
        return Form(is_gzip=is_gzip)
    is_openmetrics = best.value == _OPENMETRICS
    version = _QUOTING if is_openmetrics or best.version == _QUOTING else "0.0.4"
    escaping = best.escaping
    if escaping is Escaping.NONE and best.version != _QUOTING:
        escaping = Escaping.UNDERSCORES
    return Form(is_openmetrics, is_gzip, escaping, version)


def seconds_allowed(timeout: str) -> float:
    """Seconds that collectors have for this scrape, from the value of `SCRAPE_TIMEOUT`: a bit less than it says."""
    try:
        told = float(timeout)
    except ValueError:
        return DEFAULT_SECONDS
    if not math.isfinite(told) or told <= 0:
        return DEFAULT_SECONDS
    return min(_MOST_SECONDS, max(_LEAST_SECONDS, told * _SHARE, told - _MOST_SPARED))


class _Range(NamedTuple):
    """One part of an `Accept` header (RFC 9110, 12.5.1)."""

    value: str
    weight: float = 1.0
    version: str = ""
    escaping: Escaping | None = None
    is_named: bool = True


def _ranges(header: str) -> list[_Range]:
    return [_range(part) for part in header.split(",")]


def _unnamed(ranges: list[_Range]) -> list[_Range]:
    """The types that no range names, each with the weight of the closest range with a `*`, if there is one."""
    weights: dict[str, float] = {}
    for each in ranges:
        weights[each.value] = max(each.weight, weights.get(each.value, 0.0))
    found = []
    for kind in _VERSIONS.keys() - weights.keys():
        close = f"{kind.partition('/')[0]}/*"
        found.append(_Range(kind, weights.get(close, weights.get("*/*", 0.0)), is_named=False))
    return found


def _range(part: str) -> _Range:
    value, *parameters = (piece.strip().lower() for piece in part.split(";"))
    told = {}
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        told[name.strip()] = text.strip().strip('"')
    try:
        weight = float(told.get("q", "1"))
    except ValueError:
        weight = 0.0
    weight = weight if weight > 0 else 0.0  # also of what is no number
    scheme = told.get("escaping", "")
    escaping = Escaping(scheme) if scheme in set(Escaping) else None
    return _Range(value, weight, told.get("version", ""), escaping)
