"""Secrets kept out of what is stored and shown: an action may print or echo what it was given.

Here: which values of an action are secret, and replacing them in its output and in sentences about it. Secrets that
only the far side knows, and values that are printed in another form (encoded, split over lines), are not recognized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

LEAST = 8  # characters of a secret; replacing shorter ones would leave little of a text
MASK = "***"
_LEAST_PART = 4  # characters; a part of a secret that is as long is replaced, too, where the output was cut


class Secrets:
    """Values that must not be kept."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Those of the values that are long enough."""
        self._values = sorted({value for value in values if len(value) >= LEAST}, key=len, reverse=True)

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> Secrets:
        """The values of headers, and their words: a server may repeat a token without its scheme."""
        return cls(part for value in headers.values() for part in (value, *value.split()))

    @classmethod
    def of_variables(cls, names: Iterable[str], own: Mapping[str, str]) -> Secrets:
        """The values of variables, without those that only say where a file is."""
        return cls(own[name] for name in names if name in own and not _is_path(own[name]))

    def hide(self, text: str, *, cut_before: bool = False, cut_after: bool = False) -> str:
        """A text without the secrets; where it was cut, also without a part of one."""
        for value in self._values:
            text = text.replace(value, MASK)
        end = max((_most(value, text.endswith, from_start=True) for value in self._values), default=0)
        if cut_after and end:
            text = text[:-end] + MASK
        start = max((_most(value, text.startswith, from_start=False) for value in self._values), default=0)
        if cut_before and start:
            text = MASK + text[start:]
        return text


def _most(value: str, found: Callable[[str], bool], *, from_start: bool) -> int:
    """The length of the longest part of a value, from its start or up to its end, that is found."""
    lengths = range(len(value) - 1, _LEAST_PART - 1, -1)
    return next((length for length in lengths if found(value[:length] if from_start else value[-length:])), 0)


def _is_path(value: str) -> bool:
    """Whether a value names a file, or is a list of such names: a key may well begin with a slash, too."""
    with suppress(OSError):
        return value.startswith("/") and any(Path(each).exists() for each in value.split(":") if each)
    return False
