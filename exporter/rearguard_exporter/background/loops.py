"""Tasks on event loops: on each loop that serves an application, or on a spare loop where there is none."""

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.slots import Child

LAG_INTERVAL = 0.5  # seconds between two wake-ups of the lag probe

LoopJob = Callable[[], Awaitable[None]]


class SpareLoop:
    """An event loop in a daemon thread. It runs the jobs of a process whose applications have no event loop."""

    def __init__(self, name: str, jobs: "LoopJobs") -> None:
        self._name = name
        self._jobs = jobs
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process the loop does not run yet."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] = _nothing

    def start(self) -> None:
        """Start the loop, unless it runs already. Returns when the jobs are on it."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            entered = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(entered,), name=self._name, daemon=True)
            self._thread.start()
            entered.wait()

    def stop(self) -> threading.Thread | None:
        """Ask the loop to end, without waiting. Returns its thread, to be passed to `wait_for`."""
        with self._lock:
            with contextlib.suppress(RuntimeError):  # its loop is closed already
                self._end()
            thread, self._thread, self._end = self._thread, None, _nothing
        return thread

    def _run(self, entered: threading.Event) -> None:
        try:
            asyncio.run(self._serve(entered))
        finally:
            entered.set()

    async def _serve(self, entered: threading.Event) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        self._end = partial(loop.call_soon_threadsafe, over.set)
        self._jobs.enter(measured=False)
        entered.set()
        await over.wait()
        await self._jobs.leave()


def _nothing() -> None:
    """Ends a loop that does not run: there is nothing to do."""


class _Loop:
    def __init__(self) -> None:
        self.users = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.on_lost: list[Callable[[], Callable[[], None] | None]] = []  # weak, as the tasks are


class LoopJobs:
    """Tasks on each event loop, alive as long as an application is served on that loop.

    Several applications may share a loop. A job added with `add` runs on one loop only, the home: the first loop that
    serves, and when that ends the next one.
    """

    def __init__(self, lag: Child) -> None:
        self._lag = lag
        self._jobs: list[LoopJob] = []
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process no loop serves an application yet."""
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._home: asyncio.AbstractEventLoop | None = None
        # Loops of several threads may start and end at once. One that is garbage-collected ends in any thread.
        self._lock = threading.RLock()

    @property
    def has_home(self) -> bool:
        """Whether there is a loop on which the jobs run."""
        return self._home is not None and not self._home.is_closed()

    def add(self, job: LoopJob) -> None:
        """Run `job`, which never returns, from now on; without a home, from the start of the first application on."""
        with self._lock:
            self._jobs.append(job)
            home = self._home
        if home is not None and not home.is_closed():
            home.call_soon_threadsafe(self._spawn, home, [job])

    def enter(self, on_lost: Callable[[], None] | None = None, *, measured: bool = True) -> None:
        """Say that an application starts on the running loop.

        `on_lost` is called if the loop ends before the application called `leave`. With `measured=False` the loop's
        lag is not measured, and its end is not noticed.
        """
        loop = asyncio.get_running_loop()
        due: list[LoopJob] = []
        with self._lock:
            self._forget_closed()
            state = self._loops.setdefault(loop, _Loop())
            state.users += 1
            if on_lost is not None:
                state.on_lost.append(weakref.WeakMethod(on_lost) if hasattr(on_lost, "__self__") else lambda: on_lost)
            if state.users == 1 and measured:
                due.append(partial(_probe_lag, weakref.ref(self), self._lag, loop))
            if self._home is None:
                self._home = loop
                due.extend(self._jobs)
        self._spawn(loop, due)

    async def leave(self) -> bool:
        """Say that an application on the running loop ended. True if it was the last one in this process."""
        loop = asyncio.get_running_loop()
        state = self._loops[loop]
        with self._lock:
            state.users -= 1
            if state.users > 0:
                return False
            self._loops.pop(loop, None)
            self._forget_closed()
            is_last = not self._loops  # asked under the lock: of two that end together, one is the last
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        with self._lock:
            self._forget_closed()
            if self._home is loop:
                self._move_home()
            return is_last and not self._loops  # another may have started meanwhile

    def _forget_closed(self) -> None:
        # A loop may end without its applications' clean-up.
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            self._loops.pop(loop, None)
        if self._home is not None and self._home.is_closed():
            self._home = None

    def _move_home(self) -> None:
        self._home = next(iter(self._loops), None)
        if self._home is not None:
            self._home.call_soon_threadsafe(self._spawn, self._home, list(self._jobs))

    def _spawn(self, loop: asyncio.AbstractEventLoop, jobs: Iterable[LoopJob]) -> None:
        state = self._loops.get(loop)
        if state is not None:
            tasks: list[Any] = [loop.create_task(_run(job)) for job in jobs]
            for task in tasks:
                task._log_destroy_pending = False  # noqa: SLF001 - the loop may be closed with tasks on it
            state.tasks.extend(tasks)

    def lose(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that this loop ends, or lost its tasks."""
        with self._lock:
            lost = self._loops.pop(loop, None)
            if lost is None:  # its last application left
                return
            if self._home is loop:
                self._move_home()
        for weak in lost.on_lost:
            if (call := weak()) is not None:
                call()


async def _probe_lag(weak: "weakref.ref[LoopJobs]", lag: Child, loop: asyncio.AbstractEventLoop) -> None:
    """Observe how late the loop is until it ends, or nobody has the jobs any more."""
    try:
        while weak() is not None:
            due = time.perf_counter() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            lag.observe(max(0.0, time.perf_counter() - due))
    finally:
        jobs = weak()
        if jobs is not None:
            jobs.lose(loop)


async def _run(job: LoopJob) -> None:
    try:
        await job()
    except Exception:  # noqa: BLE001 - a job's fault is not the application's
        report("background job")
