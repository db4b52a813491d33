"""Asks Prometheus each question once for all measurements of one condition, which run side by side.

Here: the answers of one judgement. They are of one moment, so none is older than the judgement itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from rearguard_controller.adapters.prometheus import Series
from rearguard_controller.adapters.prometheus.agreement import url_of
from rearguard_controller.adapters.prometheus.answers import About
from rearguard_controller.adapters.prometheus.queryable import Asks, apart
from rearguard_controller.model import Sample

T = TypeVar("T")


class AskedOnce:
    """Hands questions on, and gives the same answer to whoever asks the same again. Use a new one for each judgement.

    A question that fails fails for all who asked it.
    """

    def __init__(self, asks: Asks) -> None:
        """Nothing was asked yet."""
        replicas = apart(asks)
        self._asks = asks
        self._each: tuple[AskedOnce, ...] = () if len(replicas) == 1 else tuple(map(AskedOnce, replicas))
        self._asked: dict[tuple[object, ...], list[tuple[About | None, asyncio.Task[Any]]]] = {}

    @property
    def replicas(self) -> Sequence[Asks]:
        """Each replica by itself."""
        return self._each or (self,)

    @property
    def address(self) -> str:
        """The address of who is asked."""
        return url_of(self._asks)

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """See `Prometheus.query`."""
        asks = self._asks
        return await self._once(
            (expression, time), None, lambda: asks.query(expression) if time is None else asks.query(expression, time)
        )

    async def query_range(
        self, expression: str, start: float, end: float, step: float, about: About | None = None
    ) -> tuple[Series, ...]:
        """See `Prometheus.query_range`."""
        return await self._once(
            (expression, start, end, step),
            about,
            lambda: self._asks.query_range(expression, start, end, step, about),
        )

    async def _once(
        self, question: tuple[object, ...], about: About | None, ask: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        asked = self._asked.setdefault(question, [])
        task = next((task for of, task in asked if of == about), None)
        if task is None:
            task = asyncio.create_task(ask())
            asked.append((about, task))
        return cast("T", await task)
