"""Daemon threads that run beside the application: one that repeats a call, one that does what is submitted to it."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.fork_safety import tell_after_fork

_JOIN = 2.0  # seconds to wait for threads that were asked to end

Result = TypeVar("Result")


class Ticker:
    """A daemon thread that calls `tick` every `interval` seconds until it is stopped. It can be started again."""

    def __init__(self, name: str, tick: Callable[[], None], interval: float) -> None:
        self._name = name
        self._tick = tick
        self._interval = interval
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process the thread does not run yet."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it runs already.

        Raises:
            RuntimeError: no thread is to be had.
        """
        with self._lock:
            if self.alive:
                return
            self._stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(self._stop,), name=self._name, daemon=True)
            thread.start()
            self._thread = thread

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end, without waiting. Returns the thread, to be passed to `wait_for`."""
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
    """Wait at most two seconds for all these threads. One that hangs is left behind: it holds nothing."""
    deadline = time.monotonic() + _JOIN
    for thread in threads:
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))


class Worker:
    """One thread that does what is submitted, in order. `submit` creates it, also after `close` or a fork."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process there is no thread yet."""
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run `work` in the thread. The future holds its result or its exception."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
            return self._executor.submit(work)

    def close(self) -> None:
        """Let the thread end after the work that was submitted, without waiting for it."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
