"""Builds the controller from its configuration, starts it, and stops it in order.

Here: which part gets which other part, the order of start and stop, signals, reloading. Clock and ids are made
here and passed in.
Never here: what any part does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import structlog

from rearguard_controller import api, auth, config, logs
from rearguard_controller.actions import Actions, Survivors, state_folder
from rearguard_controller.alertmanager import Alertmanager
from rearguard_controller.auth import Gate
from rearguard_controller.config import Configuration
from rearguard_controller.drill import Drills
from rearguard_controller.effects import Effects
from rearguard_controller.errors import ConfigError, JournalError, RearguardError
from rearguard_controller.facts import FactGatherer
from rearguard_controller.heartbeat import Heartbeat
from rearguard_controller.intake import Intake
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.journal.store import Fence, Journal
from rearguard_controller.leadership import Leadership
from rearguard_controller.notify import Notify
from rearguard_controller.prometheus import Prometheus
from rearguard_controller.readiness import Readiness
from rearguard_controller.releases import Releases
from rearguard_controller.returns import Returns
from rearguard_controller.runner import Runner
from rearguard_controller.silences import Silences
from rearguard_controller.telemetry import Telemetry
from rearguard_controller.transport import ServerTls
from rearguard_controller.trouble import Trouble
from rearguard_controller.waiting import WELL_FOR, Judge
from rearguard_controller.watcher import Watcher

log = structlog.get_logger()

PRUNE_FIRST = 2.0  # seconds into a term: what is open and what waits comes first
PRUNE_EVERY = 3600.0  # seconds from then on
MOST_RECORDS = 1_000_000  # kept of each kind, however young they are
STOP_GRACE = 10.0  # seconds that answers under way are given at the end


@dataclass(frozen=True, slots=True)
class Parts:
    """What one configuration makes; a reload makes it anew."""

    configuration: Configuration
    releases: Releases
    watcher: Watcher
    intake: Intake
    judge: Judge
    drills: Drills


class Controller:
    """Everything that runs, wired; see `run`."""

    def __init__(
        self,
        path: Path,
        configuration: Configuration,
        journal: Journal,
        *,
        insecure: bool,
        well_for: float = WELL_FOR,
    ) -> None:
        """Wire every part; nothing runs yet.

        Args:
            path: where the configuration is read again.
            configuration: what it said at the start.
            journal: opened.
            insecure: whether --insecure was given.
            well_for: seconds for which the fault of a rollback that waits must be over.
        """
        self._path, self._insecure, self._well_for = path, insecure, well_for
        self._clock = time.time
        self.journal, self._fence = journal, Fence()
        self._lead_journal = journal.fenced(self._fence)
        self._telemetry = Telemetry(configuration.targets)
        self._actions = Actions(Survivors(state_folder(configuration.journal)))
        self._prometheus = Prometheus(configuration.prometheus)
        poll_interval = configuration.prometheus.poll_interval
        self._effects = Effects(self._actions, self._prometheus, poll_interval=poll_interval, clock=self._clock)
        self._notify = Notify(self._telemetry.notified)
        self._tell(configuration)
        self._runner = Runner(
            journal,
            self._lead_journal,
            self._effects,
            self._telemetry,
            judge=lambda: self.parts.judge,
            notices=self._notify,
            clock=self._clock,
        )
        self._heartbeat = Heartbeat(journal, self._telemetry, clock=self._clock, monotonic=time.monotonic)
        self._trouble = Trouble(time.monotonic)
        self._alertmanager = _alertmanager(configuration)
        self._silences = self._silences_of(self._alertmanager)
        self.parts = self._make(configuration)
        self._gate = Gate(configuration.tokens)
        self._reloaded = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._services = api.Services(
            configuration=configuration,
            journal=journal,
            telemetry=self._telemetry,
            clock=self._clock,
            intake=self.parts.intake,
            runner=self._runner,
            releases=self.parts.releases,
            watcher=self.parts.watcher,
            drills=self.parts.drills,
            heartbeat_age=self._heartbeat.age,
            reload=self.reload,
        )
        self.tls = None if configuration.tls_config_file is None else ServerTls(configuration.tls_config_file)
        self.web = api.build(self._services, self._gate, self.tls)

    async def run(self) -> None:
        """Lead whenever it can, and look in any case, for ever.

        Raises:
            Exception: a part broke; the process should end and be started again.
        """
        holder = f"{socket.gethostname()}:{os.getpid()}"
        leadership = Leadership(self.journal, self._fence, self._telemetry, holder=holder, monotonic=time.monotonic)
        async with asyncio.TaskGroup() as group:
            group.create_task(leadership.run(self._lead))
            group.create_task(self._heartbeat.run())
            group.create_task(self._through_reloads(lambda parts: parts.watcher.run(parts.intake)))

    async def reload(self) -> None:
        """Read the configuration again and use it; open rollbacks keep their frozen plans.

        One after the other: of two that overlap, the one that was asked for last also reads last.

        Raises:
            ConfigError: it cannot be used, or changes what only a restart can change; the old one stays.
        """
        async with self._reloading:
            try:
                await self._reload()
            except RearguardError as error:
                self._telemetry.reloaded(success=False)
                log.error("not_reloaded", error=error.message, hint=error.hint)
                raise ConfigError(error.message, hint=error.hint, field=error.field) from error
            except Exception as error:
                self._telemetry.reloaded(success=False)
                log.error("not_reloaded", exc_info=error)
                raise

    async def _reload(self) -> None:
        configuration = await asyncio.to_thread(config.load, self._path)
        auth.require_protection(configuration.tokens, configuration.listen.host, insecure=self._insecure)
        _refuse_fixed(self.parts.configuration, configuration)
        self._gate.use(configuration.tokens)
        asked_before: list[Prometheus | Alertmanager] = []
        if configuration.prometheus != self.parts.configuration.prometheus:
            asked_before.append(self._prometheus)
            self._prometheus = Prometheus(configuration.prometheus)
            self._effects.use(self._prometheus, poll_interval=configuration.prometheus.poll_interval)
        if configuration.alertmanager != self.parts.configuration.alertmanager:
            asked_before += [] if self._alertmanager is None else [self._alertmanager]
            self._alertmanager = _alertmanager(configuration)
            self._silences = self._silences_of(self._alertmanager)
        self._telemetry.know(configuration.targets)
        self._tell(configuration)
        self.parts = self._make(configuration)
        self._services.configuration = configuration
        self._services.intake = self.parts.intake
        self._services.releases = self.parts.releases
        self._services.watcher = self.parts.watcher
        self._services.drills = self.parts.drills
        self._telemetry.reloaded(success=True)
        self._reloaded.set()
        self._reloaded = asyncio.Event()
        log.info("reloaded", targets=[target.name for target in configuration.targets])
        for source in asked_before:
            await source.retire()

    async def close(self) -> None:
        """Let go of everything outside."""
        await self._actions.close()
        await self._prometheus.close()
        if self._alertmanager is not None:
            await self._alertmanager.close()
        await self.journal.close()
        await self._notify.close()

    def _tell(self, configuration: Configuration) -> None:
        self._notify.use(configuration.notify)
        self._telemetry.know_services(self._notify.services)

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._runner.run())
            group.create_task(self._through_reloads(lambda parts: parts.intake.run()))
            group.create_task(self._prune())

    async def _prune(self) -> None:
        """Let go of what is older than the retention: soon, as terms may be short, and now and then."""
        pause = PRUNE_FIRST
        while True:
            await asyncio.sleep(pause)
            pause = PRUNE_EVERY
            oldest = self._clock() - self.parts.configuration.retention
            try:
                gone = await self._lead_journal.prune(oldest, MOST_RECORDS)
            except JournalError as error:
                self._telemetry.journal_failed()
                log.error("not_pruned", error=error.message, hint=error.hint)
            else:
                log.info("pruned", records=gone)

    async def _through_reloads(self, run: Callable[[Parts], Coroutine[None, None, None]]) -> None:
        """Run a part of the present configuration; of the next one after each reload."""
        while True:
            reloaded = asyncio.create_task(self._reloaded.wait())
            running = asyncio.create_task(run(self.parts))
            try:
                await asyncio.wait([running, reloaded], return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
            finally:
                for task in (running, reloaded):
                    task.cancel()
                await asyncio.gather(running, reloaded, return_exceptions=True)

    def _silences_of(self, alertmanager: Alertmanager | None) -> Silences:
        return Silences(alertmanager, clock=self._clock, monotonic=time.monotonic)

    def _make(self, configuration: Configuration) -> Parts:
        targets = {target.name: target for target in configuration.targets}
        self._trouble.use(configuration.targets, configuration.storm)
        releases = Releases(targets, self.journal, self._lead_journal, self._actions, self._prometheus, self._clock)
        readiness = Readiness(
            self.journal,
            releases,
            self._actions,
            self._alertmanager,
            configuration.notify,
            clock=self._clock,
            monotonic=time.monotonic,
            told=self._telemetry.ready,
        )
        watcher = Watcher(
            configuration.targets,
            self._prometheus,
            releases,
            self.journal,
            self._telemetry,
            self._trouble,
            self._silences,
            Returns(self.journal, self._lead_journal, self._notify),
            readiness,
            poll_interval=configuration.prometheus.poll_interval,
            clock=self._clock,
            monotonic=time.monotonic,
            leads=lambda: self._fence.epoch is not None,
        )
        gatherer = FactGatherer(self.journal, self._prometheus, releases, self._trouble, self._silences, self._clock)
        intake = Intake(
            configuration.targets,
            self.journal,
            self._lead_journal,
            gatherer,
            self._telemetry,
            clock=self._clock,
            new_id=lambda letter: new_id(letter, self._clock()),
            opened=self._runner.wake,
            firing=watcher.triggers,
            delivered=self._heartbeat.take,
            notices=self._notify,
        )
        self._telemetry.feed_ages(prometheus=watcher.prometheus_age, watchdog=self._heartbeat.age)
        poll_interval = configuration.prometheus.poll_interval
        judge = Judge(
            configuration.targets, self.journal, gatherer, poll_interval=poll_interval, well_for=self._well_for
        )
        drills = Drills(
            configuration.targets,
            self.journal,
            self._prometheus,
            self._alertmanager,
            self._actions,
            releases,
            readiness,
            polled=watcher.ready,
            clock=self._clock,
            new_id=lambda letter: new_id(letter, self._clock()),
        )
        return Parts(configuration, releases, watcher, intake, judge, drills)


def serve(path: Path, *, insecure: bool = False) -> int:
    """Run the controller until SIGTERM or SIGINT.

    Returns:
        0 after a stop in order, 1 when a part of it failed.

    Raises:
        RearguardError: the configuration, the journal or the tokens do not allow a start.
    """
    configuration = config.load(path)
    logs.configure()
    auth.require_protection(configuration.tokens, configuration.listen.host, insecure=insecure)
    return asyncio.run(_serve(path, configuration, insecure=insecure))


def new_id(letter: str, now: float) -> str:
    """An id that sorts by time and is short enough to be typed: letter, UTC date and time, random digits.

    Many decisions may be made within a second (a storm of alerts), so that theirs have eight, others four.
    """
    return (
        f"{letter}{time.strftime('%y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(4 if letter == 'd' else 2)}"
    )


async def _serve(path: Path, configuration: Configuration, *, insecure: bool) -> int:
    journal = await open_journal(configuration.journal)
    controller = Controller(path, configuration, journal, insecure=insecure)
    listener = api.Listener(controller.web, grace=STOP_GRACE)
    stop = _signals(controller)
    try:
        address = configuration.listen
        port = await listener.start(address.host, address.port, controller.tls)
        names = [target.name for target in configuration.targets]
        log.info("ready", listen=f"{address.host}:{port}", targets=names)
        return await _run_until(stop, controller)
    finally:
        await listener.close()
        await controller.close()
        log.info("stopped")


def _signals(controller: Controller) -> asyncio.Event:
    """SIGTERM and SIGINT set the event that is returned; SIGHUP reads the configuration again."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        with contextlib.suppress(Exception):  # logged and shown where it happened
            await controller.reload()

    def hang_up() -> None:
        task = asyncio.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return stop


async def _run_until(stop: asyncio.Event, controller: Controller) -> int:
    running, stopping = asyncio.create_task(controller.run()), asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    stopping.cancel()
    result, _ = await asyncio.gather(running, stopping, return_exceptions=True)
    if isinstance(result, Exception):
        log.error("part_failed", exc_info=result)
        return 1
    return 0


def _alertmanager(configuration: Configuration) -> Alertmanager | None:
    settings = configuration.alertmanager
    return None if settings is None else Alertmanager(settings)


def _refuse_fixed(old: Configuration, new: Configuration) -> None:
    """Refuse to reload what is fixed for the life of a process."""
    fixed = (
        ("journal", old.journal, new.journal),
        ("listen", old.listen, new.listen),
        ("tls_config_file", old.tls_config_file, new.tls_config_file),  # what is in it is read again by itself
    )
    for key, before, after in fixed:
        if before != after:
            raise ConfigError(
                f"{key} changed, which a reload cannot follow.", hint="Restart the controller, or undo it.", field=key
            )
