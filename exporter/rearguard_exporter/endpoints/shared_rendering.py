"""Renderings that several readers of one event loop share: made one at a time, held only while somebody reads them.

A crowd of slow readers so costs the application one rendering at a time and the memory of a few.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress

from rearguard_exporter.exposition.accept import Form
from rearguard_exporter.exposition.foreign import Patience

SEND_SECONDS = 30.0
"""Seconds that a reader has to take the whole body."""

MOST_HELD = 4
"""Renderings that readers may hold at once. Beyond, the readers of the oldest are given up."""

PIECE = 1 << 16  # bytes written at once: what each slow reader has of its own in memory


class Rendering:
    """One body, in pieces that nobody copies."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = [piece[start : start + PIECE] for piece in pieces for start in range(0, len(piece), PIECE)]
        self.size = sum(map(len, self.pieces))
        self.limits: set[asyncio.Timeout] = set()  # one for each that reads it

    def give_up(self) -> None:
        """End all readers."""
        for limit in self.limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())


class LoopRenderings:
    """The renderings of one event loop."""

    def __init__(self) -> None:
        self._one_by_one = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._waiting: dict[Form, tuple[asyncio.Task[Rendering], Patience]] = {}  # none of them has begun
        self._held: dict[Rendering, None] = {}  # the oldest first

    async def next(self, form: Form, patience: Patience, pieces: Callable[[], AsyncIterator[bytes]]) -> Rendering:
        """The next rendering of this form, shared with all who wait for it, and as patient as the least of them."""
        if form in self._waiting:
            task, shared = self._waiting[form]
            shared.shorten(patience.until)
        else:
            task = asyncio.create_task(self._make(form, pieces))
            self._waiting[form] = (task, patience)
            task.add_done_callback(_look)
        return await asyncio.shield(task)

    async def _make(self, form: Form, pieces: Callable[[], AsyncIterator[bytes]]) -> Rendering:
        async with self._one_by_one:
            del self._waiting[form]  # whoever asks from here on gets the next one
            return Rendering([piece async for piece in pieces()])

    async def send(self, rendering: Rendering, write: Callable[[bytes], Awaitable[object]]) -> bool:
        """Write the pieces. False: the reader was given up."""
        limit = asyncio.timeout(SEND_SECONDS)
        try:
            async with limit:
                rendering.limits.add(limit)
                self._held[rendering] = None
                self._bound()
                for piece in rendering.pieces:
                    async with self._turn:  # of all readers, one writes in each turn of the loop
                        await asyncio.sleep(0)
                    await write(piece)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        finally:
            rendering.limits.discard(limit)
            if not rendering.limits:
                self._held.pop(rendering, None)
        return True

    def _bound(self) -> None:
        while len(self._held) > MOST_HELD:
            oldest = next(iter(self._held))
            del self._held[oldest]
            oldest.give_up()


def _look(task: asyncio.Task[Rendering]) -> None:
    """All who waited may have left: then nobody else looks at an error."""
    with suppress(asyncio.CancelledError):
        task.exception()
