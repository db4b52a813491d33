"""Work on long lists that lets the event loop go on: piece by piece, or in a thread beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

PIECE = 50  # values that are worked on without a pause: at most some milliseconds
LONG = 2000  # values from which on work that only computes is done in a thread


async def in_pieces(values: Sequence[T]) -> AsyncIterator[T]:
    """The values one by one; after each `PIECE` of them everything else has its turn."""
    for number, value in enumerate(values):
        if number and number % PIECE == 0:
            await asyncio.sleep(0)
        yield value


async def computed(many: int, compute: Callable[[], T]) -> T:
    """What `compute` returns from so many values; it runs in a thread where they are many, and must only compute."""
    return compute() if many < LONG else await asyncio.to_thread(compute)
