"""Daemon threads that run beside the application: one that repeats a call, one that does what is submitted to it.

A thread holds its owner only weakly: it ends when the owner is garbage-collected. Both wait on a `SimpleQueue`, whose
`put` may be called by the garbage collector, in whatever code it interrupts.
"""

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.fork_safety import tell_after_fork

_JOIN = 2.0  # seconds to wait for threads that were asked to end

Result = TypeVar("Result")

_Works: TypeAlias = "queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]"  # None: nothing follows


class Ticker:
    """A daemon thread that calls `tick` every `interval` seconds until it is stopped. It can be started again.

    If `tick` is a method, its object is not kept alive.
    """

    def __init__(self, name: str, tick: Callable[[], None], interval: float) -> None:
        self._name = name
        self._tick = weakref.WeakMethod(tick) if hasattr(tick, "__self__") else _constant(tick)
        self._interval = interval
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process the thread does not run yet."""
        self._lock = threading.Lock()
        self._stop: queue.SimpleQueue[None] | None = None
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
            stop: queue.SimpleQueue[None] = queue.SimpleQueue()
            arguments = (self._tick, stop, self._name, self._interval)
            thread = threading.Thread(target=_tick_until, args=arguments, name=self._name, daemon=True)
            thread.start()
            self._thread, self._stop = thread, stop
            weakref.finalize(self, stop.put, None).atexit = False

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end, without waiting. Returns the thread, to be passed to `wait_for`."""
        with self._lock:
            if self._stop is not None:
                self._stop.put(None)
            thread, self._thread, self._stop = self._thread, None, None
        return thread


def _constant(tick: Callable[[], None]) -> Callable[[], Callable[[], None]]:
    return lambda: tick


def _tick_until(
    weak: Callable[[], Callable[[], None] | None], stop: "queue.SimpleQueue[None]", name: str, interval: float
) -> None:
    while (tick := weak()) is not None:
        try:
            tick()
        except Exception:  # noqa: BLE001 - the next tick is another chance
            report(name)
        del tick
        try:
            stop.get(timeout=interval)
        except queue.Empty:
            continue
        return


def wait_for(threads: Iterable[threading.Thread | None]) -> None:
    """Wait at most two seconds for all these threads. One that hangs is left behind: it holds nothing."""
    deadline = time.monotonic() + _JOIN
    for thread in threads:
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))


class Worker:
    """One daemon thread that does what is submitted, in order. `submit` creates it, also after `close` or a fork.

    The end of the process does not wait for it, as it would for a thread of a `ThreadPoolExecutor`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process there is no thread yet."""
        self._lock = threading.Lock()
        self._works: _Works | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run `work` in the thread. The future holds its result or its exception.

        Raises:
            RuntimeError: no thread is to be had.
        """
        future: Future[Result] = Future()
        with self._lock:
            if self._works is None:
                works: _Works = queue.SimpleQueue()
                thread = threading.Thread(target=_work_until_none, args=(works,), name=self._name, daemon=True)
                thread.start()
                self._thread, self._works = thread, works
                weakref.finalize(self, works.put, None).atexit = False
            self._works.put((work, future))
        return future

    def close(self) -> threading.Thread | None:
        """Let the thread end after the work that was submitted, without waiting for it. Returns the thread."""
        with self._lock:
            if self._works is not None:
                self._works.put(None)
            thread, self._thread, self._works = self._thread, None, None
        return thread


class AtOnce(Worker):
    """Does what is submitted at once, in the calling thread: for interpreters in which no thread is safe."""

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run `work` now. The future holds its result or its exception."""
        future: Future[Result] = Future()
        _do(work, future)
        return future

    def close(self) -> None:
        """Nothing: there is no thread."""


def _work_until_none(works: _Works) -> None:
    while (item := works.get()) is not None:
        _do(*item)
        del item  # while it waits, the thread holds nothing


def _do(work: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as failure:  # noqa: BLE001 - whoever waits for the future gets it
        future.set_exception(failure)
    else:
        future.set_result(result)
