"""Several mistakes of one file, told at once: parts that do not depend on one another are all read.

Here: who collects them. What stands in for a part that cannot be read must cause no mistake elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from rearguard_controller.errors import ConfigError

T = TypeVar("T")

_PLACE = re.compile(r":(\d+): ")  # of the line, in a message


class Mistakes:
    """Collects what is wrong with several parts of a file."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self._found: dict[str, ConfigError] = {}  # by message

    def of(self, read: Callable[[], T], instead: T) -> T:
        """What `read` returns; `instead` if it finds a mistake, which is kept."""
        try:
            return read()
        except ConfigError as error:
            for each in (error, *error.others):
                self._found.setdefault(each.message, each)
            error.others = ()
            return instead

    def tell(self) -> None:
        """Return if nothing is wrong.

        Raises:
            ConfigError: the first mistake by its line; the others stand in it.
        """
        if self._found:
            first, *others = sorted(self._found.values(), key=_line)
            first.others = tuple(others)
            raise first


def _line(error: ConfigError) -> int:
    found = _PLACE.search(error.message)
    return int(found[1]) if found else 0
