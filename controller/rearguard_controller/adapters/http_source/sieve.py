"""A sieve for a large JSON answer: it drops or shortens elements of long lists while the answer arrives.

Here: finding the elements of the lists under one key, and keeping what is left of them as one document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from rearguard_controller.adapters.foreign_json import ShapeError

MOST_ELEMENT = 4 * 1024 * 1024  # bytes of one element

# Every repetition is possessive, so a scan is linear; an element may hold objects three levels deep.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_OBJECT = rb'\{(?:[^{}"]++|' + _STRING + rb")*+\}"
for _ in range(2):
    _OBJECT = rb'\{(?:[^{}"]++|' + _STRING + rb"|" + _OBJECT + rb")*+\}"
_ELEMENT = re.compile(rb"[\s,]*+(" + _OBJECT + rb")", re.DOTALL)
_END = re.compile(rb"\s*+\]")
_NEXT = b"},{"  # where an element ends, as most sources write it: only a guess, for a text may hold it


class Sieve:
    """Takes an answer piece by piece; `rest` is the answer with what is left of its elements."""

    def __init__(self, key: str, keep: Callable[[bytes], bytes | None], known: Collection[bytes] = ()) -> None:
        """Nothing has arrived.

        Args:
            key: whose lists are sieved, wherever they stand; empty: the answer itself is the list.
            keep: what is left of an element, both as JSON; empty: nothing; None: the element, but somewhere else.
            known: elements of answers before. One that comes again is found without looking for its end.
        """
        opening = rb"\A\s*+\[" if not key else b'"' + key.encode() + rb'"\s*+:\s*+\['
        self._opening = re.compile(opening)
        self._is_whole = not key
        self._longest = len(key) + 64  # bytes that an opening may take
        self._keep, self._known = keep, known
        self._waiting = b""
        self._inside = False
        self._first = True
        self.rest = bytearray()
        self.taken = 0  # bytes of elements that are left somewhere else

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            ShapeError: an element is longer than `MOST_ELEMENT`, or is none.
        """
        data, at = self._waiting + piece, 0
        while True:
            at, more = self._elements(data, at) if self._inside else self._outside(data, at)
            if not more:
                break
        self._waiting = data[at:]
        if len(self._waiting) > MOST_ELEMENT:
            raise ShapeError(f"an entry is longer than {MOST_ELEMENT // 1024 // 1024} MiB, or is no object")

    def end(self) -> bytes:
        """The document that is left; what never ended is in it as it came."""
        self.rest += self._waiting
        self._waiting = b""
        return bytes(self.rest)

    def _outside(self, data: bytes, at: int) -> tuple[int, bool]:
        """Pass everything up to the next list; returns the place that was reached, and whether to go on."""
        found = None if self._is_whole and self.rest else self._opening.search(data, at)
        if found is not None:
            self.rest += data[at : found.end()]
            self._inside = self._first = True
            return found.end(), True
        if self._is_whole and not self.rest:  # only blanks so far, or no list at all
            return at, False
        safe = max(at, len(data) - self._longest)  # an opening may have begun after that
        self.rest += data[at:safe]
        return safe, False

    def _elements(self, data: bytes, at: int) -> tuple[int, bool]:
        """Ask about each element up to the end of the list, or of the piece."""
        guesses = bool(self._known)
        while True:
            start = at + 1 if data.startswith(b",", at) else at
            end = data.find(_NEXT, start) + 1 if guesses else 0
            guesses = end > 0
            element = data[start:end]
            if not guesses or element not in self._known:
                found = _ELEMENT.match(data, at)
                if found is None:
                    break
                guesses = guesses and end <= found.end()  # else they are not written like that
                element, end = found[1], found.end()
            at = end
            left = self._keep(element)
            if left is None:
                self.taken += len(element)
            elif left:
                self.rest += left if self._first else b"," + left
                self._first = False
        closing = _END.match(data, at)
        if closing is None:
            return at, False
        self.rest += b"]"
        self._inside = False
        return closing.end(), True
