"""How many accepted alerts wait, asked at every webhook and therefore seldom counted.

Here: a count that is at most `FRESH` old, plus what this process has accepted since.
Never here: what is done when too many wait.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

FRESH = 0.5  # seconds that a count is used
MOST_COUNTED = 200_000  # more than this is not told apart


class Backlog:
    """The number of alerts that wait to be judged."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._counted = 0
        self._since = 0
        self._at: float | None = None

    def accepted(self, number: int) -> None:
        """So many more wait."""
        self._since += number

    async def count(self, ask: Callable[[], Awaitable[int]]) -> int:
        """The number, by `ask` where the last answer is too old."""
        now = time.monotonic()
        if self._at is None or now - self._at >= FRESH:
            self._at, self._since = now, 0  # one asker at a time; the others take the answer before
            self._counted = await ask()
        return self._counted + self._since
