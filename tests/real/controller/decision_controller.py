"""A controller as the product wires it, in a world of its own (decision_world.py), that can be stopped at any moment.

Here: one process after another on the same journal file: the real intake, judgements, runner, steps, trust and
journal, and what a test may look at: what the journal is about to store, and what it has stored.
Never here: what is right, and any move of a rollback: moves are made by the product alone.
"""

import asyncio
from collections import Counter

from real.controller.decision_world import POLL
from real.controller.steady_loop import SteadyLoop
from rearguard_controller.adapters.notices.delivery import Notify
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.config.configuration import Address, AlertmanagerSettings, Configuration, PrometheusSettings
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.journal.shards import shards_of
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.journal.sqlite.writer import _Unit
from rearguard_controller.model import Said
from rearguard_controller.runtime import Runtime
from rearguard_controller.service import wiring
from unit.controller import factories as make

WELL_FOR = 2 * POLL  # so short that waits end early, too


class OnlyOne:
    """One stand-in for the Prometheus of every target."""

    def __init__(self, prometheus):
        self.of = lambda _target: prometheus

    def know(self, _targets):
        pass


class Seen:
    """A journal that tells before and after it stores; once its process has ended, it stores nothing any more."""

    def __init__(self, journal, controller):
        self._journal, self._controller = journal, controller

    def __getattr__(self, name):
        if self._controller.ended:
            return _never
        self._controller.calls[name] += 1
        return getattr(self._journal, name)

    def fenced(self, fence):
        return Seen(self._journal.fenced(fence), self._controller)

    async def record(self, decision, rollback=None, **more):
        if self._controller.ended:
            await _never()
        await self._controller.recording(decision, rollback)
        await self._journal.record(decision, rollback, **more)
        if rollback is not None:
            self._controller.see(self._controller.opened, rollback)

    async def record_several(self, decisions):
        if self._controller.ended:
            await _never()
        for each in decisions:
            await self._controller.recording(each, None)
        await self._journal.record_several(decisions)

    async def prove_lead(self):
        self._controller.proves()
        await self._journal.prove_lead()

    async def append(self, rollback_id, event, **more):
        if self._controller.ended:
            await _never()
        await self._controller.storing(rollback_id, event)
        after = await self._journal.append(rollback_id, event, **more)
        self._controller.see(self._controller.stored, after, event)
        return after


class Told:
    """Takes notices; `said` lists what people were told, and of what."""

    def __init__(self, said):
        self._said = said

    def __getattr__(self, event):
        return lambda *about: self._said.append((event, *about))


class Inline:
    """The journal's writer without its thread: a unit of work is done when it is asked for; no disk is waited for."""

    def __init__(self, writer):
        self._writer = writer
        self.close = writer.close
        writer._queue.put(None)  # its thread would look at the file now and then, amid what is done here
        writer._thread.join()
        writer._connection.execute("pragma synchronous = off")

    async def do(self, work, *, urgent=False, adds=True):
        unit = _Unit(work, None, None, urgent, adds)
        self._writer._serve([unit])
        if unit.error is not None:
            raise unit.error
        return unit.result

    def begin(self, work, done, *, urgent=False, adds=True):
        unit = _Unit(work, done, None, urgent, adds)
        self._writer._serve([unit])
        done(unit.result, unit.error)


class Here:
    """The thread of the journal's reader without a thread: what it is given is done at once."""

    def submit(self, work):
        work()

    def shutdown(self):
        """Nothing is left to do."""


class Controller:
    """One process after another on the same journal file."""

    def __init__(self, world, path, target, *others):
        self.world, self.path, self.target, self.targets = world, path, target, (target, *others)
        self.loop = SteadyLoop(world)
        self.ended = False
        self.said = []  # to people, by any process
        self.calls = Counter()  # of methods of the journal, by any process
        self.broken = []  # promises, found to be so in the middle of the product's own work
        world.on_stop = self._stop
        world.on_act = lambda argv, context: self.see(self.acts, argv, context)
        self._start()

    # --- for tests to look at

    def acts(self, argv, context):
        """A command or request of the target begins."""

    async def recording(self, decision, rollback):
        """A decision, maybe with a rollback, is about to be stored: a test may let something else happen first."""

    def opened(self, rollback):
        """A rollback was just stored."""

    async def storing(self, rollback_id, event):
        """An event of a rollback is about to be stored: a test may let something else happen first."""

    def stored(self, rollback, event):
        """An event of a rollback was just stored."""

    def proves(self):
        """It is about to be proved that this process still leads."""

    def see(self, look, *about):
        """Let a test look; what it finds is raised to the test, not into the product."""
        try:
            look(*about)
        except AssertionError as error:
            self.broken.append(error)

    # --- processes

    def _start(self):
        self.ended = False
        file = SqliteJournal.open(self.path)
        file._writer = Inline(file._writer)
        file._inbox._writer, file._inbox._write = file._writer, file._writer.do
        file._reader._thread.shutdown()
        file._reader._thread = Here()
        self.file, self.journal = file, Seen(file, self)
        self.do(self._wire())

    async def _wire(self):
        world, configuration = self.world, self._configuration()
        (all_targets,), telemetry = shards_of(self.journal, 1), Telemetry(configuration.targets)
        notify = Notify(telemetry.notified)
        runtime = Runtime(
            clock=lambda: world.now,
            steady=lambda: world.steady,
            journal=self.journal,
            lead=all_targets.lead,
            telemetry=telemetry,
            notices=Told(self.said),
            new_id=lambda letter: wiring.new_id(letter, world.now),
            shards=(all_targets,),
        )
        engine = wiring.Engine.of(
            runtime,
            notify,
            world.commands,
            ReleaseKinds(world.commands),
            configuration,
            OnlyOne(world.prometheus),
            judge=lambda: self.parts.judge,
        )
        silences = Silences(world.alertmanager, clock=runtime.clock, monotonic=runtime.steady)
        alerts_now = AlertsNow(world.prometheus, engine.trouble, runtime.clock)
        sources = Sources(world.prometheus, world.alertmanager, silences, alerts_now, targets=configuration.targets)
        self.parts = wiring.make(configuration, SourcesOfAll([sources]), engine, well_for=WELL_FOR)
        self.people, self.runner = self.parts.people, engine.runner.of_shards[0]
        self.fence = all_targets.fence
        self.fence.epoch = await self.file.take_lease("kit", 15.0)
        self.tasks = [asyncio.ensure_future(each) for each in (self.runner.run(), self.parts.intake.run())]

    def _configuration(self):
        return Configuration(
            environment="production",
            journal=str(self.path),
            listen=Address("127.0.0.1", 0),
            open=frozenset(),
            prometheus=PrometheusSettings(("http://127.0.0.1:1",), poll_interval=POLL),
            retention=86400.0,
            tokens={},
            policies={},
            targets=self.targets,
            alertmanager=AlertmanagerSettings(("http://127.0.0.1:1",)),
        )

    def _stop(self):
        """This process ends: whatever it does from now on reaches nothing."""
        self.ended = True
        self.loop.stop()

    def restart(self):
        self.end_process()
        self._start()

    def end_process(self):
        self.ended = True
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_for()
        self.do(self.file.close())

    def end(self):
        self.broken.clear()
        self.end_process()
        self.loop.close()

    # --- what happens

    def do(self, coroutine):
        result = self.loop.do(coroutine)
        self._complain()
        return result

    def run_for(self, seconds):
        """Let time pass; where the process ended meanwhile, start the next one."""
        self.loop.run_for(seconds)
        self._complain()
        if self.ended:
            self.restart()

    def _complain(self):
        if self.broken:
            raise self.broken[0]

    def poll(self):
        """One poll of the watcher, and all that follows from it at once."""
        self.do(self.parts.watcher.poll(self.parts.intake))
        self.run_for(0.0)

    def deliver(self, *alerts):
        """Alertmanager delivers alerts (else the target's), whatever the world looks like."""
        self.do(self.parts.intake.receive(alerts or (make.alert(),)))
        self.run_for(0.2)  # deliveries are gathered for a moment

    def say(self, word, rollback_id):
        """A person's word on a rollback: approve, veto, abort or close."""
        return self.do(getattr(self.people, word)(rollback_id, Said("ann", "why")))

    # --- what is known, past the process that may have ended

    def rollback(self, rollback_id):
        return self.do(self.file.rollback(rollback_id))

    def open(self):
        return next(iter(self.do(self.file.open_rollbacks())), None)


async def _never(*_arguments, **_more):
    await asyncio.Event().wait()
