"""Ends tasks that wait too long for a body. One timer serves them all: a timer for each costs more than a beacon.

Never here: how a body is read. It needs asyncio.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_LOOKS = 10  # looks at the waiting tasks in the time that each has; one may wait a tenth longer


class _Loop:
    """What waits on one event loop: until when each task may, and 0 once it was ended."""

    __slots__ = ("is_looking", "until")

    def __init__(self) -> None:
        self.until: dict[asyncio.Task[object], float] = {}
        self.is_looking = False


class BodyDeadline:
    """Gives each task `seconds` to read a body."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()

    async def within(self, reading: Awaitable[T]) -> T:
        """What `reading` returns.

        Raises:
            TimeoutError: it took too long.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:  # somebody steps through us by hand: nothing can be cancelled
            return await reading
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _Loop()
        if not here.is_looking:
            self._look(loop, here)
        here.until[task] = loop.time() + self._seconds
        try:
            return await reading
        except asyncio.CancelledError:
            if here.until[task] == 0.0 and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            del here.until[task]

    def _look(self, loop: asyncio.AbstractEventLoop, here: _Loop) -> None:
        is_first, here.is_looking = not here.is_looking, True
        now = loop.time()
        for task, until in here.until.items():
            if until and until <= now:
                here.until[task] = 0.0
                task.cancel()
        if here.until or is_first:
            loop.call_later(self._seconds / _LOOKS, self._look, loop, here)
        else:
            here.is_looking = False
