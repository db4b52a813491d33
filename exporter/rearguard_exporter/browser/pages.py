"""Which page a path belongs to. Paths come from browsers, so only pages that the user listed become labels."""

import re
from collections.abc import Iterable

from rearguard_exporter.families import UNMATCHED

MOST_PAGES = 80
"""Pages that can be told apart: times navigation types and buckets, they make the series of each family."""

_PARAMETER = re.compile(r"\\{[^{}/]+\\}")  # as `re.escape` leaves `{name}`


class Pages:
    """Exact paths, templates with `{name}` for one segment, and patterns with a `*` at the end.

    An exact path wins; of the others the first one that matches does.

    Raises:
        ValueError: a page does not begin with `/`, has a `*` before its end, or there are too many.
    """

    def __init__(self, pages: Iterable[object]) -> None:
        given = tuple(dict.fromkeys(pages))
        if len(given) > MOST_PAGES:
            raise ValueError(f"vitals: at most {MOST_PAGES} pages, not {len(given)}; join some by {{name}} or *")
        self._exact: dict[str, str] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for page in given:
            if not isinstance(page, str) or not page.startswith("/") or "*" in page[:-1]:
                raise ValueError(f"vitals: a page begins with / and has a * at its end only, unlike {page!r}")
            if "{" in page or page.endswith("*"):
                self._patterns.append((_compiled(page), page))
            else:
                self._exact[page] = page

    def page_of(self, path: str) -> str:
        """The page of this path; `__unmatched__` if it is none of them."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        for pattern, page in self._patterns:
            if pattern.fullmatch(path):
                return page
        return UNMATCHED


def _compiled(page: str) -> re.Pattern[str]:
    template, rest = (page[:-1], ".*") if page.endswith("*") else (page, "")
    return re.compile(_PARAMETER.sub("[^/]+", re.escape(template)) + rest, re.DOTALL)
