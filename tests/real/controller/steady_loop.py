"""An event loop under a clock of its own: time passes when nothing is left to do, and only as far as it may.

Here: the loop, which takes its time from a world, does the work of other threads in its own, and stops when all that
can happen until a moment has happened. Nothing waits for real time, and the order of things is the same at each run.
Never here: what runs on it.
"""

import asyncio
import selectors


class SteadyLoop(asyncio.SelectorEventLoop):
    """`clock` has `steady` (seconds) and `tick(seconds)`."""

    def __init__(self, clock):
        self._clock, self._until = clock, clock.steady
        super().__init__(_Idle(self))

    def time(self):
        return self._clock.steady

    def run_in_executor(self, _executor, func, *args):
        """Done at once, in this thread."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # the caller's, as from a thread
            future.set_exception(error)
        return future

    def run_for(self, seconds=0.0):
        """Let time pass, and everything happen that happens meanwhile."""
        self._until = self._clock.steady + seconds
        self.run_forever()

    def do(self, coroutine):
        """The result of a coroutine that needs no time."""
        self._until = self._clock.steady
        return self.run_until_complete(coroutine)

    def idle(self, seconds):
        """Nothing is left to do for these seconds (None: for ever)."""
        left = self._until - self._clock.steady
        if seconds is not None and seconds <= left:
            self._clock.tick(seconds)
            return
        self._clock.tick(max(0.0, left))
        self.stop()


class _Idle(selectors.DefaultSelector):
    """Tells its loop instead of waiting."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        found = super().select(0)
        if not found and timeout != 0:
            self._loop.idle(timeout)
        return found
