"""What an instrumented process shows and keeps running: exposition, dashboard, health, and the work behind them.

Adapters and the stand-alone port call it; it knows neither. Health means that the process answers; readiness only
asks the databases that were declared to matter for it.
Never here: frameworks, sockets, names of metrics.
"""

import asyncio
import os
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from prometheus_client import Metric
from prometheus_client.registry import Collector

from rearguard_exporter.background.loops import LoopJobs, SpareLoop, Ticker, Worker, wait_for
from rearguard_exporter.database.pools import Pools
from rearguard_exporter.database.watch import Watch
from rearguard_exporter.endpoints import dashboard
from rearguard_exporter.endpoints.status import Recent, judge
from rearguard_exporter.exposition.render import GZIP_LEVEL, Exposition, Form, Part, prepare, render, steps
from rearguard_exporter.fault_barrier import log, report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.identity import Identity
from rearguard_exporter.values import process_figures as system
from rearguard_exporter.values.instruments import Instruments, OwnCost

Json = dashboard.Json

_PATIENCE = 60.0  # seconds that a service may take to start before coroutine checks are said to wait in vain


class Faces:
    """One per monitor."""

    def __init__(
        self,
        identity: Identity,
        registries: Sequence[Collector],
        instruments: Instruments,
        cost: OwnCost,
        figures: system.System,
        pools: Pools,
    ) -> None:
        self.watches: list[Watch] = []
        self._identity = identity
        self._registries = registries
        self._instruments = instruments
        self._cost = cost
        self._figures = figures
        self._pools = pools
        self._began = time.monotonic()
        self._recent = Recent(self._began)
        self._sampler = Ticker("rearguard-system", self._sample, system.INTERVAL)
        self._tickers: list[Ticker] = []
        self._jobs = LoopJobs(instruments.loop_lag)
        self._spare_loop = SpareLoop("rearguard-loop", self._jobs)
        self._worker = Worker("rearguard-render")
        self._has_refused = False
        self._port: tuple[int, str] | None = None  # the process that listens, and where
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """Nothing runs in this process, until it serves or is scraped."""
        self._is_fresh = True
        self._is_reminded = False
        self._runs = False
        self._has_no_loop = False

    def submit_render(self, accept: str, encoding: str) -> Future[Exposition]:
        """The exposition, made in the exporter's own thread."""
        return self._worker.submit(partial(self.render, accept, encoding))

    async def prepare(self, form: Form) -> list[Part]:
        """What `stream` sends: foreign families are collected and written now, in the exporter's own thread."""
        work = partial(prepare, self._registries, form, self._cost.render_seconds)
        return await asyncio.wrap_future(self._worker.submit(work))

    async def stream(self, parts: Sequence[Part], form: Form) -> AsyncIterator[bytes]:
        """The body by pieces: written on the running loop in short steps, compressed in the exporter's thread."""
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS) if form.is_gzip else None
        for piece in steps(parts, form, self._cost.render_seconds):
            if packer is None:
                yield piece
                await asyncio.sleep(0)  # others first
            elif packed := await asyncio.wrap_future(self._worker.submit(partial(packer.compress, piece))):
                yield packed
        if packer is not None:
            yield packer.flush()

    def submit_dashboard(self) -> Future[Json]:
        """The dashboard document, made in the exporter's own thread."""
        return self._worker.submit(self.dashboard)

    def render(self, accept: str, encoding: str) -> Exposition:
        """The exposition in the format these headers ask for."""
        return render(self._registries, accept, encoding, self._cost.render_seconds)

    def dashboard(self) -> Json:
        """The dashboard document."""
        now = time.monotonic()
        figures, pools = self._figures.figures(), self._pools.shown()
        databases = {watch.name: watch.last.ok if watch.last else None for watch in self.watches}
        seconds, recent = self._recent.until(now, dashboard.totals(self._instruments))
        verdict = judge(seconds, recent, dashboard.memory_used(figures), databases, pools)
        return dashboard.build(
            self._identity, now - self._began, verdict, self._instruments, figures, databases, pools
        )

    def health(self) -> Json:
        """The body of `/healthz`: that it is served at all is the health."""
        return {
            "status": "ok",
            "service": self._identity.service,
            "version": self._identity.version,
            "environment": self._identity.environment,
        }

    def readiness(self) -> tuple[bool, Json]:
        """Whether the process wants traffic, and the body of `/readyz`."""
        databases: Json = {}
        for watch in self.watches:
            if watch.readiness:
                last = watch.last
                databases[watch.name] = "not checked yet" if last is None else last.detail or "ok"
        ready = all(state == "ok" for state in databases.values())
        return ready, {"status": "ready" if ready else "not ready", "databases": databases}

    def watch(self, watch: Watch) -> None:
        """Check this database for as long as this process serves.

        Not before: a process that only forks those that serve would share its connections with them.
        """
        self.watches.append(watch)
        if watch.is_async:
            self._jobs.add(watch.run)
            self._find_loop()
            return
        ticker = Ticker(f"rearguard-watch-{watch.name}", watch.check_in_thread, watch.interval)
        self._tickers.append(ticker)
        if self._runs:
            ticker.start()

    def listens(self, address: str) -> None:
        """This process serves a port of its own."""
        self._port = (os.getpid(), address)
        self.start()

    def refuse(self) -> None:
        """Say, once, that an application stays measured by another monitor than this one."""
        if not self._has_refused:
            self._has_refused = True
            log.warning(
                "rearguard_exporter: this application is measured by another Monitor already, and stays so; use one "
                "Monitor in a process, and instrument each application once"
            )

    def start(self) -> None:
        """Run the threads; those that run already are left alone."""
        if self._is_fresh and self._port is not None and self._port[0] != os.getpid():
            log.warning(
                "rearguard_exporter: the port %s is of process %d, which forked this one (%d); what this "
                "one measures is not shown there. Create a Monitor in each process, or call `listen` after the fork",
                self._port[1], self._port[0], os.getpid(),
            )  # fmt: skip
        self._is_fresh, self._runs = False, True
        for ticker in (self._sampler, *self._tickers):
            ticker.start()

    def start_without_loop(self) -> None:
        """Run the threads, for an application that has no event loop: coroutine checks get one of their own."""
        self.start()
        self._has_no_loop = True
        self._find_loop()

    def describe(self) -> Iterable[Metric]:
        """Nothing, as `collect`."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Nothing: being scraped is what starts the threads in a process that serves its registry by other means."""
        if self._is_fresh:
            self.start()
        return ()

    def stop(self) -> None:
        """End the threads. `start` begins again."""
        wait_for(self._ask_to_end())

    def enter(self, on_lost: Callable[[], None] | None = None) -> bool:
        """An application of the running loop starts. Whether it must `leave`, unless its loop is lost before."""
        try:
            self.start()
            self._jobs.enter(on_lost)
            self._spare_loop.stop()  # coroutine checks belong on the application's
        except Exception:  # noqa: BLE001 - an application starts also where no thread can be had
            report("starting")
            return False
        return True

    async def leave(self) -> None:
        """An application of the running loop ends; with the last one the threads end."""
        try:
            if await self._jobs.leave():
                # Asked on the loop, so that an application that starts meanwhile gets new threads; awaited beside it.
                await asyncio.to_thread(wait_for, self._ask_to_end())
        except Exception:  # noqa: BLE001 - the application's own clean-up goes on
            report("stopping")

    def _sample(self) -> None:
        now = time.monotonic()
        self._figures.sample()
        self._recent.note(now, dashboard.totals(self._instruments))
        self._remind(now)

    def _remind(self, now: float) -> None:
        waiting = [watch.name for watch in self.watches if watch.is_async and watch.last is None]
        if self._is_reminded or not waiting or self._jobs.has_home or now - self._began < _PATIENCE:
            return
        self._is_reminded = True
        log.warning(
            "rearguard_exporter: no application with an event loop serves in this process, so that the coroutine "
            "checks of %s do not run; give watch_database plain functions", ", ".join(waiting),
        )  # fmt: skip

    def _find_loop(self) -> None:
        if self._has_no_loop and not self._jobs.has_home and any(watch.is_async for watch in self.watches):
            self._spare_loop.start()

    def _ask_to_end(self) -> list[threading.Thread | None]:
        self._runs = self._has_no_loop = False
        self._worker.close()
        return [self._spare_loop.stop(), *(ticker.stop() for ticker in (self._sampler, *self._tickers))]
