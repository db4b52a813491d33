"""What runs beside the application: threads for sampling and rendering, and a few tasks on each loop that serves.

Started with the first application, stopped with the last; several applications may share one loop.
Never here: what is sampled (system, watch), how it is shown (render).
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from rearguard_exporter.quiet import report
from rearguard_exporter.slots import Child

LAG_INTERVAL = 0.5  # seconds between two wake-ups of the lag probe
_JOIN = 2.0  # seconds to wait for threads that are asked to end

LoopJob = Callable[[], Awaitable[None]]
Made = TypeVar("Made")


class Ticker:
    """A daemon thread that calls `tick` every `interval` seconds until stopped. May be started again."""

    def __init__(self, name: str, tick: Callable[[], None], interval: float) -> None:
        self._name = name
        self._tick = tick
        self._interval = interval
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs (false in a process forked from the one that started it)."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread when it does not run."""
        with self._lock:
            if self.alive:
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end, without waiting; the thread, for `wait_for`."""
        with self._lock:
            self._stop.set()
            thread, self._thread = self._thread, None
        return thread

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._tick()
            except Exception:  # noqa: BLE001 - the next tick is another chance
                report(self._name)
            stop.wait(self._interval)


def wait_for(threads: Iterable[threading.Thread | None]) -> None:
    """Wait a little for all of these to end; one whose tick hangs is left behind, it holds nothing."""
    deadline = time.monotonic() + _JOIN
    for thread in threads:
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))


class Worker:
    """One thread that does what is submitted, in order: made when it is asked for, also after `close` or a fork."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def submit(self, work: Callable[[], Made]) -> Future[Made]:
        """What `work` returns, or the exception that it raises."""
        self._forget_parent()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
            return self._executor.submit(work)

    def close(self) -> None:
        """End the thread after what was submitted; waits for nothing."""
        self._forget_parent()
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _forget_parent(self) -> None:
        if self._process != os.getpid():  # the thread stayed with the parent, and it may have held the lock
            self._lock, self._executor = threading.Lock(), None
            self._process = os.getpid()


@dataclass(slots=True)
class _Loop:
    users: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class LoopJobs:
    """Tasks of each event loop, alive while an application of that loop is.

    A job added with `add` runs on one loop only: the first that serves, and after it the next.
    """

    def __init__(self, lag: Child) -> None:
        self._lag = lag
        self._jobs: list[LoopJob] = []
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._home: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()  # loops of several threads may start and end at once

    def add(self, job: LoopJob) -> None:
        """Run `job` (which never ends by itself) from now on, or from the first application's start."""
        with self._lock:
            self._jobs.append(job)
            home = self._home
        if home is not None and not home.is_closed():
            home.call_soon_threadsafe(self._spawn, home, [job])

    def enter(self) -> None:
        """An application of the running loop starts."""
        loop = asyncio.get_running_loop()
        due: list[LoopJob] = []
        with self._lock:
            self._forget_closed()
            state = self._loops.setdefault(loop, _Loop())
            state.users += 1
            if state.users == 1:
                due.append(self._probe_lag)
            if self._home is None:
                self._home = loop
                due.extend(self._jobs)
        self._spawn(loop, due)

    async def leave(self) -> bool:
        """An application of the running loop ends. True when it was the last of all."""
        loop = asyncio.get_running_loop()
        state = self._loops[loop]
        with self._lock:
            state.users -= 1
            if state.users > 0:
                return False
            del self._loops[loop]
            self._forget_closed()
            is_last = not self._loops  # asked at once: of two that end together, one is
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
            del self._loops[loop]
        if self._home is not None and self._home.is_closed():
            self._home = None

    def _move_home(self) -> None:
        self._home = next(iter(self._loops), None)
        if self._home is not None:
            self._home.call_soon_threadsafe(self._spawn, self._home, list(self._jobs))

    def _spawn(self, loop: asyncio.AbstractEventLoop, jobs: Iterable[LoopJob]) -> None:
        state = self._loops.get(loop)
        if state is not None:
            state.tasks.extend(loop.create_task(_run(job)) for job in jobs)

    async def _probe_lag(self) -> None:
        while True:
            due = time.perf_counter() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._lag.observe(max(0.0, time.perf_counter() - due))


async def _run(job: LoopJob) -> None:
    try:
        await job()
    except Exception:  # noqa: BLE001 - a job's fault is not the application's
        report("background job")
