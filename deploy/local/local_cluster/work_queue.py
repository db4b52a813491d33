"""The loop of a controller: keys that want a look, each at most once in the queue, looked at one by one."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from local_cluster.errors import ApiError
from local_cluster.store import Key

_log = logging.getLogger(__name__)
_AGAIN = 0.05  # seconds until a look that met a conflict is repeated


class WorkQueue:
    """Keys of objects to look at."""

    def __init__(self, look: Callable[[Key], None]) -> None:
        """Look at nothing until `start`; `look` reads the store by itself and does not wait."""
        self._look = look
        self._keys: dict[Key, None] = {}
        self._arrived = asyncio.Event()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, key: Key) -> None:
        """Have a look soon."""
        self._keys[key] = None
        self._arrived.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a look after this time; of several such wishes for one key the soonest counts."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0.0)
        timer = self._timers.get(key)
        if timer and not timer.cancelled() and timer.when() <= due:
            return
        if timer:
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._ring, key)

    def _ring(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    @property
    def idle(self) -> bool:
        """True when nothing waits for a look now."""
        return not self._keys

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._keys:
                key = next(iter(self._keys))
                del self._keys[key]
                try:
                    self._look(key)
                except ApiError as error:
                    _log.info("looks again at %s: %s", key, error)
                    self.add_after(key, _AGAIN)
                except Exception:  # noqa: BLE001 - the other objects are looked at all the same
                    _log.exception("a controller of the stand-in cluster failed at %s", key)
                await asyncio.sleep(0)
