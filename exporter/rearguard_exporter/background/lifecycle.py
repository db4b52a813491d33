"""When the exporter's threads and event-loop jobs run: from the first request or scrape until the end."""

import asyncio
import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.registry import Collector

from rearguard_exporter.background.interpreters import is_sub_interpreter
from rearguard_exporter.background.loops import LoopJobs, SpareLoop
from rearguard_exporter.background.threads import Ticker, Worker, wait_for
from rearguard_exporter.database.watch import Watch
from rearguard_exporter.database.watches import Watches
from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.slots import Child

SAMPLE_INTERVAL = 5.0
"""Seconds between two samples of the process: less than the shortest supported scrape interval."""

_PATIENCE = 60.0  # seconds that a service may take to start; then the log says that coroutine checks wait in vain


class Lifecycle(Collector):
    """Starts and stops the background work of one monitor.

    `sample` is called every `SAMPLE_INTERVAL` seconds. `lag` observes the lag of each event loop that serves.
    `workers` do what the endpoints submit, and are closed with everything else. Threads and tasks do not keep it
    alive: they end when it is garbage-collected.
    """

    def __init__(
        self,
        sample: Callable[[], None],
        watches: Watches,
        workers: Sequence[Worker],
        lag: Child,
        *,
        is_shared: bool = False,
    ) -> None:
        self.watches = watches
        self._sample = sample
        self._is_shared = is_shared  # what this process counts is shown by others, too
        self._workers = workers
        self._began = time.monotonic()
        self._sampler = Ticker("rearguard-system", self._tick, SAMPLE_INTERVAL)
        self._checkers: list[Ticker] = []
        self._jobs = LoopJobs(lag)
        self._spare_loop = SpareLoop("rearguard-loop", self._jobs)
        weakref.finalize(self, self._spare_loop.stop).atexit = False
        self._port: tuple[int, str] | None = None  # the process that listens, and its address
        self._has_told = mmap.mmap(-1, 1)  # that forked processes are unseen; they share this byte, and say it once
        self.forget_parent()
        tell_after_fork(self)
        self._has_no_threads = is_sub_interpreter()
        if self._has_no_threads:
            log.warning(
                "rearguard_exporter: Python aborts where a sub-interpreter ends before its threads, so that none is "
                "started in this one: no checks of databases, and no port. Use the main one (mod_wsgi: "
                "WSGIApplicationGroup %{GLOBAL})"
            )

    def forget_parent(self) -> None:
        """In a forked process nothing runs until it serves a request or is scraped."""
        self._is_fresh = True
        self._has_served = False
        self._is_reminded = False
        self._runs = False
        self._has_no_loop = False

    def watch(self, watch: Watch) -> None:
        """Check this database as long as this process serves.

        The checks begin no sooner: a process that only forks workers would share its connections with them.
        """
        self.watches.add(watch)
        if watch.is_async:
            self._jobs.add(watch.job())
            self._find_loop()
            return
        checker = Ticker(f"rearguard-watch-{watch.name}", watch.check_in_thread, watch.interval)
        self._checkers.append(checker)
        if self._runs:
            self._start(checker)

    @quiet
    def counts_in_fork(self) -> None:
        """Say, once for all forked processes, that nobody sees what they count; nothing where this one serves."""
        if not self._is_fresh or self._has_told[0]:
            return
        self._has_told[0] = 1
        log.warning(
            "rearguard_exporter: process %d, forked by %d, counts, but nothing shows it: it serves no requests and "
            "has no port. Run jobs in the process that listens (rq: SimpleWorker; Celery: --pool threads), or call "
            "`listen` in each process of a pool: see 'Workers that fork' in exporter/README.md",
            os.getpid(), os.getppid(),
        )  # fmt: skip

    def is_idle(self) -> bool:
        """Whether no application was served in this process."""
        return not self._has_served

    def listens(self, address: str) -> None:
        """Say that this process serves a port of its own, and start."""
        self._port = (os.getpid(), address)
        self.start()

    def start(self) -> None:
        """Start the threads that do not run yet."""
        if self._is_fresh and not self._is_shared and self._port is not None and self._port[0] != os.getpid():
            log.warning(
                "rearguard_exporter: the port %s is of process %d, which forked this one (%d); what this "
                "one measures is not shown there. Create a Monitor in each process, or call `listen` after the fork",
                self._port[1], self._port[0], os.getpid(),
            )  # fmt: skip
        self._is_fresh, self._runs = False, True
        self._start(self._sampler, *self._checkers)

    def start_without_loop(self) -> None:
        """Start the threads for an application without an event loop; coroutine checks get a spare loop."""
        self.start()
        self._has_served = self._has_no_loop = True
        self._find_loop()

    def describe(self) -> Iterable[Metric]:
        """Nothing, as `collect`."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """No families. A scrape starts the threads, in a process that exposes its registry by other means."""
        if self._is_fresh or self._has_no_threads:
            self.start()
        return ()

    def stop(self) -> None:
        """End the threads. `start` starts them again."""
        wait_for(self._ask_to_end())

    def enter(self, on_lost: Callable[[], None] | None = None) -> bool:
        """An application starts on the running loop. True if it must call `leave` at its end.

        If the loop ends before that, `on_lost` is called instead, and `leave` must not be.
        """
        try:
            self.start()
            self._has_served = True
            self._jobs.enter(on_lost)
            self._spare_loop.stop()  # coroutine checks belong on the application's loop
        except Exception:  # noqa: BLE001 - the application starts even if no thread can be made
            report("starting")
            return False
        return True

    async def leave(self) -> None:
        """An application on the running loop ends. After the last one the threads end."""
        try:
            if await self._jobs.leave():
                # Asked on the loop, so that an application that starts meanwhile gets new threads; awaited beside it.
                await asyncio.to_thread(wait_for, self._ask_to_end())
        except Exception:  # noqa: BLE001 - the application's own clean-up goes on
            report("stopping")

    def _start(self, *tickers: Ticker) -> None:
        if self._has_no_threads:
            quiet(self._tick)()
            return
        try:
            for ticker in tickers:
                ticker.start()
        except RuntimeError as failure:
            log.warning("rearguard_exporter: %s; process figures and checks of databases are missing", failure)

    def _tick(self) -> None:
        self._sample()
        self._remind()

    def _remind(self) -> None:
        waiting = self.watches.waiting()
        is_early = time.monotonic() - self._began < _PATIENCE
        if self._is_reminded or not waiting or self._jobs.has_home or is_early:
            return
        self._is_reminded = True
        log.warning(
            "rearguard_exporter: no application with an event loop serves in this process, so that the coroutine "
            "checks of %s do not run; give watch_database plain functions", ", ".join(waiting),
        )  # fmt: skip

    def _find_loop(self) -> None:
        if self._has_no_threads:
            return
        if self._has_no_loop and not self._jobs.has_home and any(watch.is_async for watch in self.watches):
            self._spare_loop.start()

    def _ask_to_end(self) -> list[threading.Thread | None]:
        self._runs = self._has_no_loop = False
        tickers = (self._sampler, *self._checkers)
        return [
            self._spare_loop.stop(),
            *(ticker.stop() for ticker in tickers),
            *(worker.close() for worker in self._workers),
        ]
