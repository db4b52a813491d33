"""Asks Prometheus about long times: in several parts at once, and in halves if an answer would be too large.

Here: range queries over any length of time, samples stored in some stretches of it, and the progress of both.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeVar

from rearguard_controller.adapters.prometheus import AnswerTooLargeError, Prometheus, Series
from rearguard_controller.backtest import stretches
from rearguard_controller.backtest.nouns import Stretch

Progress = Callable[[str, int, int], None]  # what is read, how many questions are answered, of how many
Key = tuple[tuple[str, str], ...]  # the sorted labels of a series
Times = dict[Key, list[float]]  # moments of series, in order

T = TypeVar("T")

MOST_PER_QUERY = 10_000  # points; Prometheus refuses more than 11,000
LONGEST_STORED = 3600.0  # seconds of stored samples in one question
SHORTEST_HALF = 60.0  # seconds; a question about a shorter time is not halved
NEAR = 900.0  # seconds between two stretches that are read along, which costs less than asking twice
AT_ONCE = 4  # questions under way
ROUNDING = 1e-6  # of a step


class Archive:
    """One Prometheus, asked about the past. Every method raises `SourceError` only."""

    def __init__(self, prometheus: Prometheus, progress: Progress) -> None:
        """Ask this Prometheus, and report progress."""
        self._prometheus = prometheus
        self._progress = progress
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def over(self, what: str, expression: str, start: float, end: float, step: float) -> Times:
        """The moments at which each series of an expression has a value, by its labels.

        The points are the multiples of `step`, wherever `start` lies. So a moment gets the same answer whatever time
        around it is asked for.
        """
        parts = _parts(start, end, step)
        done = 0

        async def one(part: Stretch) -> tuple[Series, ...]:
            nonlocal done
            found = await self.range(expression, part.start, part.end, step)
            done += 1
            self._progress(what, done, len(parts))
            return found

        times: Times = {}
        for found in await together(map(one, parts)):
            for series in found:
                of = times.setdefault(tuple(sorted(series.labels.items())), [])
                of += [moment for moment, _ in series.points]
        return times

    async def range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """A range query: see `Prometheus.query_range`."""
        async with self._at_once:
            return await self._prometheus.query_range(expression, start, end, step)

    async def stored(self, what: str, selector: str, asked: Iterable[Stretch]) -> Times:
        """The moments of the samples stored in these stretches of time, in order, by the labels of their series."""
        asked_windows = stretches.windows(asked, LONGEST_STORED, NEAR)
        done = 0

        async def one(window: Stretch) -> tuple[Series, ...]:
            nonlocal done
            found = await self._samples(selector, window)
            done += 1
            self._progress(what, done, len(asked_windows))
            return found

        times: dict[tuple[tuple[str, str], ...], set[float]] = {}
        for found in await together(map(one, asked_windows)):
            for series in found:
                key = tuple(sorted((name, value) for name, value in series.labels.items() if name != "__name__"))
                times.setdefault(key, set()).update(moment for moment, _ in series.points)
        return {key: sorted(moments) for key, moments in times.items()}

    async def _samples(self, selector: str, window: Stretch) -> tuple[Series, ...]:
        try:
            async with self._at_once:
                return await self._prometheus.stored(selector, window.start, window.end)
        except AnswerTooLargeError:
            if window.end - window.start < SHORTEST_HALF:
                raise
        middle = (window.start + window.end) / 2
        return (
            *await self._samples(selector, Stretch(window.start, middle)),
            *await self._samples(selector, Stretch(middle, window.end)),
        )


async def together(asked: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """All answers, in the order of the questions. The first error ends the other questions, and is then raised."""
    tasks = [asyncio.ensure_future(each) for each in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _parts(start: float, end: float, step: float) -> list[Stretch]:
    """The multiples of `step` from `start` to `end`, cut into parts of at most `MOST_PER_QUERY`; none is in two."""
    first, last = math.ceil(start / step - ROUNDING), math.floor(end / step + ROUNDING)
    return [
        Stretch(part * step, min(part + MOST_PER_QUERY - 1, last) * step)
        for part in range(first, last + 1, MOST_PER_QUERY)
    ]
