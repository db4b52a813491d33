"""The controller: everything that runs, its tasks, and the change to another configuration.

Here: what runs at every replica and what only at the leader, reloading, forgetting what is old. The clock is taken
here and passed in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from rearguard_controller import api, config, page
from rearguard_controller.adapters.actions import Actions, Shortages, Survivors, state_folder
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.adapters.notices.delivery import Notify, services_of
from rearguard_controller.adapters.notices.record import NoticeRecord
from rearguard_controller.adapters.notices.threads import Threads
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.adapters.prometheus.of_all import PrometheusOfAll
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.api import auth
from rearguard_controller.api.auth import Gate
from rearguard_controller.api.logged import Logged
from rearguard_controller.api.tls import ServerTls
from rearguard_controller.api.warnings import Warnings
from rearguard_controller.config import Configuration
from rearguard_controller.config.beside import beside
from rearguard_controller.config.exposure import remarks
from rearguard_controller.errors import ConfigError, JournalError, RearguardError, SourceError
from rearguard_controller.execution.waiting import WELL_FOR
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.concern import Concern
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.journal.shards import Shard, lead_of, shards_of
from rearguard_controller.journal.store import Journal
from rearguard_controller.runtime import Runtime
from rearguard_controller.service import wiring
from rearguard_controller.service.past import Past
from rearguard_controller.service.sharding import share
from rearguard_controller.service.wiring import Engine, Parts
from rearguard_controller.watching.discovered import LOOK_EVERY, Discovery
from rearguard_controller.watching.services import Services

log = structlog.get_logger(__name__)

PRUNE_FIRST = 2.0  # seconds into a term: what is open and what waits comes first
PRUNE_EVERY = 3600.0  # seconds from then on
FIRST_LOOK = 10.0  # seconds at the start in which targets are discovered
MOST_RECORDS = 1_000_000  # kept of each kind, however young they are


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
        logged: Logged | None = None,
    ) -> None:
        """Wire every part; nothing runs yet.

        Args:
            path: where the configuration is read again.
            configuration: what it said at the start.
            journal: opened.
            insecure: whether --insecure was given.
            well_for: seconds for which the fault of a rollback that waits must be over.
            logged: what the log warned of; nothing feeds it if none is given.
        """
        self._path, self._insecure = path, insecure
        self._well_for = well_for
        self.journal, shards = journal, shards_of(journal, configuration.shards)
        self._telemetry = Telemetry(configuration.targets, configuration.target_metrics, shards=configuration.shards)
        record = NoticeRecord(lambda done: journal.change_target("", lambda known: known, action=done), time.time)
        notify = Notify(self._telemetry.notified, record.note, threads=Threads(journal.note_threads))
        self._runtime = Runtime(
            clock=time.time,
            steady=time.monotonic,
            journal=journal,
            lead=lead_of(shards),
            telemetry=self._telemetry,
            notices=notify,
            new_id=lambda letter: wiring.new_id(letter, time.time()),
            shards=shards,
        )
        self._prometheus = PrometheusOfAll(configuration.prometheus, self._runtime.clock)
        self._alertmanager = _alertmanager(configuration, self._runtime.clock)
        self._silences = self._silences_of(self._alertmanager)
        shortages = Shortages(self._telemetry.short_of)
        actions = Actions(Survivors(state_folder(configuration.journal)), shortages)
        kinds = ReleaseKinds(actions, self._cluster(configuration), self._prometheus.of)
        self._engine = Engine.of(
            self._runtime, notify, actions, kinds, configuration, self._prometheus, judge=lambda: self.parts.judge
        )
        self._heartbeat = self._engine.heartbeat
        self._engine.tell(configuration)
        self.parts = self._make(configuration)
        self._gate, self._warnings = Gate(configuration.tokens), Warnings(self._runtime.clock)
        self._listed, self._found = configuration, configuration.targets[:0]
        self._discovery, self._undiscovered = Discovery(configuration), ""
        self._services = Services(configuration, self._runtime.steady)
        self._reloaded, self._reloading = asyncio.Event(), asyncio.Lock()
        self._past = Past(path, self._runtime.clock)
        self._logged = Logged(self._runtime.clock) if logged is None else logged
        self.tls = None if configuration.tls_config_file is None else ServerTls(configuration.tls_config_file)
        services = self._for_api()
        self.web = api.build(services, self._gate, self.tls)
        page.add_to(self.web, services, self._gate)

    async def run(self) -> None:
        """Lead whenever it can, and look in any case, for ever.

        Raises:
            Exception: a part broke; the process should end and be started again.
        """
        await self._discover(within=FIRST_LOOK)
        async with asyncio.TaskGroup() as group:
            for work in share(self._runtime, self._lead):
                group.create_task(work)
            group.create_task(self._heartbeat.run())
            group.create_task(_warn_of_secrets(self.parts.configuration))
            if self.tls is not None:
                group.create_task(self.tls.follow())
            group.create_task(self._through_reloads(lambda parts: parts.watcher.run(parts.intake)))
            group.create_task(self._keep_discovering())

    def adopt_orphans(self) -> None:
        """Make this process the parent of what its commands leave behind: for a process that runs nothing else."""
        self._engine.actions.children.adopt()

    async def reload(self) -> None:
        """Read the configuration again and use it; open rollbacks keep their frozen plans.

        Reloads run one after another, so that the one that was asked for last also reads last.

        Raises:
            ConfigError: it cannot be used, or changes what only a restart can change; the old one stays.
        """
        async with self._reloading:
            try:
                await self._reload()
            except RearguardError as error:
                self._telemetry.reloaded(success=False)
                self._warnings.not_reloaded(error)
                log.error("not_reloaded", error=error.message, hint=error.hint)
                raise ConfigError(error.message, hint=error.hint, field=error.field) from error
            except Exception as error:
                self._telemetry.reloaded(success=False)
                log.error("not_reloaded", exc_info=error)
                raise

    async def _reload(self) -> None:
        listed = await beside(partial(config.load, self._path), [self._path])
        known = {target.name for target in listed.targets}
        kept = tuple(each for each in self._found if each.name not in known) if listed.discovers else ()
        asked = {each.name for each in listed.prometheus.each}
        kept = tuple(each for each in kept if each.prometheus in asked)
        configuration = replace(listed, targets=(*listed.targets, *kept))  # those that were found are looked at again
        auth.require_protection(configuration.tokens, configuration.listen.host, insecure=self._insecure)
        _refuse_fixed(self.parts.configuration, configuration)
        services = await services_of(configuration.notify)
        await self._gate.use(configuration.tokens)
        asked_before: list[Prometheus | Alertmanager] = []
        if configuration.prometheus != self.parts.configuration.prometheus:
            asked_before += self._prometheus.use(configuration.prometheus)
            self._engine.effects.look_every(configuration.prometheus.poll_interval)
        if configuration.alertmanager != self.parts.configuration.alertmanager:
            asked_before += [] if self._alertmanager is None else [self._alertmanager]
            self._alertmanager = _alertmanager(configuration, self._runtime.clock)
            self._silences = self._silences_of(self._alertmanager)
        if configuration.cluster != self.parts.configuration.cluster:
            await self._engine.kinds.use(self._cluster(configuration))
        self._engine.tell(configuration, services)
        self._listed, self._found, self._discovery = listed, kept, Discovery(listed)
        self._services = Services(listed, self._runtime.steady)
        await self._take(configuration)
        self._telemetry.reloaded(success=True)
        self._warnings.reloaded()
        await _warn_of_secrets(configuration)
        log.info("reloaded", targets=[target.name for target in configuration.targets])
        for source in asked_before:
            await source.retire()

    async def _take(self, configuration: Configuration) -> None:
        """Make the parts of a configuration, and let what runs go on with them."""
        self._telemetry.know(configuration.targets, configuration.target_metrics)
        before, self.parts = self.parts, self._make(configuration)
        await before.followed.close()
        self._reloaded.set()
        self._reloaded = asyncio.Event()

    async def _keep_discovering(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._discover()

    async def _discover(self, *, within: float | None = None) -> None:
        """Take the targets that there are now; those that were found last stay while that is not known."""
        listed, cluster = self._listed, self._engine.kinds.cluster
        if not listed.discovers:
            return
        try:
            async with asyncio.timeout(within):
                found = await self._services.look(self._prometheus.each)
                if listed.discover and cluster is not None:
                    taken = {target.name for target in found}
                    workloads = await self._discovery.look(cluster)
                    found = (*found, *(each for each in workloads if each.name not in taken))
        except (SourceError, TimeoutError) as error:
            why = error.message if isinstance(error, SourceError) else "there was no answer in time"
            if why != self._undiscovered:  # once, and not every two seconds
                log.warning("not_discovered", error=why)
            self._undiscovered = why
            return
        self._undiscovered = ""
        async with self._reloading:
            if found == self._found or listed is not self._listed:
                return
            before, now = ({target.name for target in each} for each in (self._found, found))
            log.info("targets_discovered", joined=sorted(now - before), left=sorted(before - now))
            self._found = found
            await self._take(replace(listed, targets=(*listed.targets, *found)))

    async def close(self) -> None:
        """Let go of everything outside."""
        await self._past.close()
        await self.parts.followed.close()
        await self._engine.kinds.close()
        await self._prometheus.close()
        if self._alertmanager is not None:
            await self._alertmanager.close()
        await self._engine.notify.close()  # before the journal, which keeps what became of the last notices
        await self.journal.close()

    def _cluster(self, configuration: Configuration) -> Cluster | None:
        """The cluster whose workloads are targets, if there are any; what changes in it is looked at at once."""

        def changed(workload: str) -> None:
            self.parts.followed.changed(workload)  # of the configuration of that moment

        settings = configuration.cluster
        return None if settings is None else Cluster(settings, changed)

    def _silences_of(self, alertmanager: Alertmanager | None) -> Silences:
        return Silences(alertmanager, clock=self._runtime.clock, monotonic=self._runtime.steady)

    def _make(self, configuration: Configuration) -> Parts:
        targets, each = configuration.targets, self._prometheus.each
        if self._alertmanager is not None:
            concern = Concern(targets)
            self._alertmanager.look_for(concern.everywhere(), concern.of_reading)
        found: list[Sources] = []
        for name, prometheus in each.items():
            own = tuple(target for target in targets if target.prometheus == name)
            concern = Concern(own)
            prometheus.look_for(concern.of_reading)
            alerts_now = AlertsNow(
                prometheus,
                self._engine.trouble,
                self._runtime.clock,
                triggers=[dict(labels) for labels in concern.triggers],
                name=name if len(each) > 1 else None,
            )
            troubles = self._engine.cluster_troubles
            found.append(Sources(prometheus, self._alertmanager, self._silences, alerts_now, troubles, name, own))
        return wiring.make(configuration, SourcesOfAll(found), self._engine, well_for=self._well_for)

    def _for_api(self) -> api.Services:
        return api.Services(
            journal=self.journal,
            telemetry=self._telemetry,
            clock=self._runtime.clock,
            now=lambda: self.parts,
            heartbeat_age=self._heartbeat.age,
            reload=self.reload,
            warnings=self._warnings,
            logged=self._logged,
            past=self._past,
        )

    async def _lead(self, shard: Shard) -> None:
        try:
            self._engine.notify.threads.take(await self.journal.noted_threads())
        except JournalError as error:  # a thread more is better than no lead
            log.warning("threads_not_known", error=error.message)
        of = None if shard.is_single else shard
        async with asyncio.TaskGroup() as group:
            group.create_task(self._engine.runner.of_shards[shard.number].run())
            group.create_task(self._through_reloads(lambda parts: parts.intake.run(of)))
            group.create_task(self._through_reloads(lambda parts: parts.cluster_triggers.run(parts.intake, of)))
            if shard.has_the_rest:
                group.create_task(self._heartbeat.watch())
                group.create_task(self._prune())

    async def _prune(self) -> None:
        """Forget what is older than the retention: soon after the start, as terms may be short, then every hour."""
        pause = PRUNE_FIRST
        while True:
            await asyncio.sleep(pause)
            pause = PRUNE_EVERY
            oldest = self._runtime.clock() - self.parts.configuration.retention
            try:
                gone = await self._runtime.lead.prune(oldest, MOST_RECORDS)
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


def _alertmanager(configuration: Configuration, clock: Callable[[], float]) -> Alertmanager | None:
    settings = configuration.alertmanager
    return None if settings is None else Alertmanager(settings, clock=clock)


def _refuse_fixed(old: Configuration, new: Configuration) -> None:
    """Refuse to reload what is fixed for the life of a process."""
    fixed = (
        ("journal", old.journal, new.journal),
        ("listen", old.listen, new.listen),
        ("sharding", old.shards, new.shards),
        ("tls_config_file", old.tls_config_file, new.tls_config_file),  # what is in it is read again by itself
    )
    for key, before, after in fixed:
        if before != after:
            raise ConfigError(
                f"{key} changed, which a reload cannot follow.", hint="Restart the controller, or undo it.", field=key
            )


async def _warn_of_secrets(configuration: Configuration) -> None:
    """Log whose secrets others may read, or guess."""
    try:
        problems = await beside(partial(remarks, configuration), configuration.tokens.values())
    except ConfigError as error:
        problems = [error.message]
    for problem in problems:
        log.warning("secret_file_not_safe", problem=problem)
