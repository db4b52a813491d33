"""Paths whose requests and sockets are not measured."""

from collections.abc import Iterable


class ExcludedPaths:
    """Exact paths; a pattern that ends with `*` excludes every path with that beginning.

    Raises:
        ValueError: a pattern does not begin with `/`, or has a `*` before its end.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        given = tuple(patterns)
        for pattern in given:
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                raise ValueError(f"an excluded path begins with / and has a * at its end only, unlike {pattern!r}")
        self._exact = frozenset(pattern for pattern in given if not pattern.endswith("*"))
        self._prefixes = tuple(pattern[:-1] for pattern in given if pattern.endswith("*"))

    def __contains__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._prefixes)
