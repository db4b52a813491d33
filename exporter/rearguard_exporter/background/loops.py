"""What runs beside the application: threads for sampling and rendering, and a few tasks on each loop that serves.

Started with the first application, stopped with the last; several applications may share one loop.
Never here: what is sampled (system, watch), how it is shown (render).
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.slots import Child

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
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """It does not run in this process."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
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
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """It has no thread in this process."""
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], Made]) -> Future[Made]:
        """What `work` returns, or the exception that it raises."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
            return self._executor.submit(work)

    def close(self) -> None:
        """End the thread after what was submitted; waits for nothing."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


class SpareLoop:
    """An event loop of its own, in a daemon thread, for jobs in a process that serves without any."""

    def __init__(self, name: str, jobs: "LoopJobs") -> None:
        self._name = name
        self._jobs = jobs
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """It does not run in this process."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] = _nothing

    def start(self) -> None:
        """Run the loop, when it does not run; the jobs are on it when this returns."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            entered = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(entered,), name=self._name, daemon=True)
            self._thread.start()
            entered.wait()

    def stop(self) -> threading.Thread | None:
        """Ask the loop to end, without waiting; its thread, for `wait_for`."""
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
    """The end of a loop that does not run."""


@dataclass(slots=True)
class _Loop:
    users: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    on_lost: list[Callable[[], None]] = field(default_factory=list)


class LoopJobs:
    """Tasks of each event loop, alive while an application of that loop is.

    A job added with `add` runs on one loop only: the first that serves, and after it the next.
    """

    def __init__(self, lag: Child) -> None:
        self._lag = lag
        self._jobs: list[LoopJob] = []
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """No application serves on any loop in this process yet."""
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._home: asyncio.AbstractEventLoop | None = None
        # Loops of several threads may start and end at once; one that is collected ends wherever its thread is.
        self._lock = threading.RLock()

    @property
    def has_home(self) -> bool:
        """Whether there is a loop that the jobs run on."""
        return self._home is not None and not self._home.is_closed()

    def add(self, job: LoopJob) -> None:
        """Run `job` (which never ends by itself) from now on, or from the first application's start."""
        with self._lock:
            self._jobs.append(job)
            home = self._home
        if home is not None and not home.is_closed():
            home.call_soon_threadsafe(self._spawn, home, [job])

    def enter(self, on_lost: Callable[[], None] | None = None, *, measured: bool = True) -> None:
        """An application of the running loop starts. `on_lost` is called when the loop ends before it left.

        Of a loop that is not measured the lateness is not, and its end is not noticed.
        """
        loop = asyncio.get_running_loop()
        due: list[LoopJob] = []
        with self._lock:
            self._forget_closed()
            state = self._loops.setdefault(loop, _Loop())
            state.users += 1
            if on_lost is not None:
                state.on_lost.append(on_lost)
            if state.users == 1 and measured:
                due.append(partial(self._probe_lag, loop))
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
            self._loops.pop(loop, None)
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
            state.tasks.extend(loop.create_task(_run(job)) for job in jobs)

    async def _probe_lag(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while True:
                due = time.perf_counter() + LAG_INTERVAL
                await asyncio.sleep(LAG_INTERVAL)
                self._lag.observe(max(0.0, time.perf_counter() - due))
        finally:
            self._lose(loop)

    def _lose(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            lost = self._loops.pop(loop, None)
            if lost is None:  # its last application left
                return
            if self._home is loop:
                self._move_home()
        for call in lost.on_lost:
            call()


async def _run(job: LoopJob) -> None:
    try:
        await job()
    except Exception:  # noqa: BLE001 - a job's fault is not the application's
        report("background job")
