"""Paths whose requests are not measured. Never here: routes, frameworks."""

from collections.abc import Iterable


class Excluded:
    """Exact paths, and with a `*` at the end whatever begins so."""

    def __init__(self, patterns: Iterable[str]) -> None:
        given = tuple(patterns)
        for pattern in given:
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                raise ValueError(f"an excluded path begins with / and has a * at its end only, unlike {pattern!r}")
        self._exact = frozenset(pattern for pattern in given if not pattern.endswith("*"))
        self._prefixes = tuple(pattern[:-1] for pattern in given if pattern.endswith("*"))

    def __contains__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._prefixes)
