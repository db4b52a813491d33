"""A small world for the decision core: a target, a Prometheus and people as plain values, under a clock of its own.

Here: the world, and a controller whose core is real (releases, facts of the journal, `decide`, plan, fold, moves,
waits, effects, the journal in SQLite) and whose edges are this world. It goes one move at a time and can be stopped
between an intent and its result.
Never here: what is right (test_decision_core.py), and how often or in which order things happen.
"""

import asyncio
from dataclasses import dataclass, field, replace

from rearguard_controller.adapters.actions import ActionResult
from rearguard_controller.errors import ConflictError, SourceError
from rearguard_controller.execution.effects import Effect, Effects, Work
from rearguard_controller.execution.waiting import Judge, Patience
from rearguard_controller.facts.gather import FactGatherer, Gathered
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.judgement import policy
from rearguard_controller.model import (
    AlertsSeen,
    AlertState,
    Measurement,
    Outcome,
    Phase,
    Rollback,
    Sample,
    SeenAlert,
    Silencing,
    StepKind,
    StepState,
    Verdict,
)
from rearguard_controller.releases.tracking import Releases, Watch
from rearguard_controller.rollback import Event, EventKind, JudgeAgain, Note, RunStep, WaitUntil, next_move
from rearguard_controller.rollback.plan import plan, waiting_for
from unit.controller import factories as make

POLL = 15.0
WELL_FOR = 2 * POLL  # so short that waits end early, too
UNREADABLE = "release current: exit status 1"


class StoppedError(Exception):
    """The controller's process ended in the middle of an effect."""


@dataclass
class World:
    """What is true, whether or not the controller knows it."""

    now: float = make.NOW  # the wall clock, which may jump
    steady: float = 0.0
    serving: str = "v1"
    bad: set[str] = field(default_factory=set)  # versions that fail whatever happens around them
    outage: bool = False  # a fault that no version is to blame for
    traffic: bool = True
    fires: bool = False  # what Prometheus says of the alert
    away: bool = False  # Prometheus does not answer
    silenced: bool = False
    drained: bool = False
    past_since: float | None = None
    luck: str = "well"  # of the next effect

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds

    @property
    def past(self) -> bool | None:
        """Whether the figure is past its threshold; None without traffic."""
        return (self.outage or self.serving in self.bad) if self.traffic else None

    def settle(self) -> None:
        """Note when the present fault began."""
        self.past_since = (self.past_since if self.past_since is not None else self.now) if self.past else None

    def turn_to(self, version: str) -> None:
        self.serving = version
        self.settle()

    # --- the edges of the controller: the target's commands, and Prometheus' queries

    async def read_version(self, _command, _context):
        return self.serving

    async def read_versions(self, _command, _context):
        return tuple(f"v{number}" for number in range(1, 9))

    async def settle_commands(self, _target, _limit):
        """No command outlives the controller here."""

    async def run(self, action, context):
        """An effect; it goes well, fails, or the controller ends right before or after it."""
        luck, self.luck = self.luck, "well"
        if luck == "stopped before":
            raise StoppedError
        if luck != "fails":
            self._act(getattr(action, "argv", ("request",)), context)
        if luck == "stopped after":
            raise StoppedError
        return ActionResult(luck != "fails", "", f"It went {luck}.", 0.1)

    def _act(self, argv, context):
        match argv:
            case ("activate", _):
                self.turn_to(context.to_version)
            case ("drain",):
                self.drained = True
            case ("undo", "drain"):
                self.drained = False

    async def health(self, _check, context):
        return await self.run(("health",), context)

    async def query(self, selector, at=None):
        """Who serves now; of the past it remembers nothing."""
        if self.away:
            raise SourceError("Prometheus is away.")
        if at is not None:
            return []
        value = self.now if selector.startswith("timestamp") else 1.0
        return [Sample({**make.MATCH, "service_version": self.serving, "job": "shop", "instance": "shop:1"}, value)]

    async def query_range(self, _expression, _start, _end, _step):
        """The same: there is no past to adopt."""
        if self.away:
            raise SourceError("Prometheus is away.")
        return []


class Edge:
    """The world as the controller's classes ask for it."""

    def __init__(self, world):
        self.read_version, self.read_versions = world.read_version, world.read_versions
        self.run, self.health, self.settle = world.run, world.health, world.settle_commands
        self.query, self.query_range = world.query, world.query_range


class Controller:
    """One process after another on the same journal file."""

    def __init__(self, world, path, target):
        self.world, self.path, self.target = world, path, target
        self.edge = Edge(world)
        self.loop = asyncio.new_event_loop()
        self.count = 0
        self._start()

    def _start(self):
        self.journal, clock = SqliteJournal.open(self.path), lambda: self.world.now
        self.releases = Releases(
            {self.target.name: self.target}, self.journal, self.journal, self.edge, self.edge, clock
        )
        self.gatherer = FactGatherer(self.journal, self.edge, self.releases, None, None, clock)
        self.judge = Judge([self.target], self.journal, self, poll_interval=POLL)
        self.effects = Effects(self.edge, self.edge, poll_interval=POLL, clock=clock)
        self.patience, self.wait_began = Patience(), (self.world.now, self.world.steady)

    def do(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def restart(self):
        self.do(self.journal.close())
        self._start()

    def end(self):
        self.do(self.journal.close())
        self.loop.close()

    # --- judging

    async def gather(self, target, alerts, *, record=True, **_how):
        """What `FactGatherer.gather` gives: a target's facts from the real one, an alert's from the world."""
        world = self.world
        if record:
            self.looks()
        base = await self.gatherer.of_target(target, record=record)
        state = AlertState.FIRING if world.fires else AlertState.INACTIVE
        silence = "S1 by ann: a known fault" if world.silenced else ""
        facts = replace(
            base,
            alert_state=AlertState.UNKNOWN if world.away else state,
            measurement=None if world.away else Measurement(0.3 if world.past else 0.0, 0.1, ">", world.past),
            condition_since=None if world.away else world.past_since,
            silencing=Silencing(age=0.0, silence=silence, until=world.now + 60 if silence else None),
        )
        return tuple(Gathered(facts, alert, make.condition()) for alert in alerts)

    def deliver(self):
        """Judge the alert, whatever the world looks like; the rollback that it opened, if any."""
        self.count += 1
        alert = make.alert()
        (found,) = self.do(self.gather(self.target, [alert]))
        decision = policy.decide(f"d{self.count}", alert, self.target, found.facts)
        if decision.verdict is Verdict.LEAVE:
            return None
        rollback = Rollback(
            id=f"r{self.count}",
            decision_id=decision.id,
            target=self.target.name,
            trigger=decision.trigger,
            reason="ReleaseErrorRate fires.",
            from_version=decision.from_version,
            to_version=decision.to_version,
            phase=Phase.RUNNING,
            opened_at=found.facts.now,
            steps=plan(self.target, conditions=(found.condition,)),
            conditions=(found.condition,),
        )
        rollback = waiting_for(rollback, decision.verdict, self.target.policy)
        try:
            self.do(self.journal.record(replace(decision, rollback_id=rollback.id), rollback))
        except ConflictError:
            return None
        self.patience, self.wait_began = Patience(), (self.world.now, self.world.steady)
        return rollback

    def poll(self):
        """One poll of the watcher: who serves, who earns trust, and whether what waits is still right."""
        world = self.world
        found = (make.alert(),) if world.fires and not world.away else ()
        seen = AlertsSeen(world.now, tuple(SeenAlert(each.name, AlertState.FIRING) for each in found))
        watch = Watch(not world.away, tuple(each.labels for each in found), None if world.away else seen)
        self.looks()
        self.do(self.releases.track(self.target, watch, poll_interval=POLL))
        waiting = self.open()
        if waiting is not None and waiting.phase is Phase.WAITING and waiting.stopping is None:
            self._look(waiting, ended=False)
        elif world.fires and not world.away:
            return self.deliver()
        return None

    def open(self):
        return next(iter(self.do(self.journal.open_rollbacks())), None)

    # --- acting

    def move(self):
        """The next move of the open rollback; False when there is none, or it is not yet time for one."""
        rollback = self.open()
        if rollback is None:
            return False
        waits = rollback.phase is Phase.WAITING
        wall, since = self.wait_began
        match next_move(rollback, wall + self.world.steady - since if waits else self.world.now):
            case Note(event):
                self._append(rollback, event)
            case RunStep() as move:
                self._step(rollback, move)
            case JudgeAgain():
                return self._look(rollback, ended=True)
            case WaitUntil():
                return False
        return True

    def _look(self, rollback, *, ended):
        standing, detail = self.do(self.judge.again(rollback))
        kind = self.patience.follows(standing, self.world.steady, settle=0.0, ended=ended, well_for=WELL_FOR)
        if kind is not None:
            self._append(rollback, Event(kind, self.world.now, detail=detail))
        return kind is not None

    def _append(self, rollback, event):
        try:
            return self.do(self.journal.append(rollback.id, event))
        except ConflictError:
            return None

    def _step(self, rollback, move):
        """Intent, effect, result, as the runner goes about it."""
        step, world = move.step, self.world
        first = all(each.state is StepState.PLANNED for each in rollback.steps)
        reads = not move.look_first and (first or step.kind is StepKind.ROLL_BACK)
        if reads and world.serving != rollback.from_version:
            self._append(rollback, Event(EventKind.TARGET_CHANGED, world.now, detail="It changed."))
            return
        started = self._append(rollback, Event(EventKind.STEP_STARTED, world.now, step.seq))
        if started is None:
            event = Event(EventKind.STEP_SKIPPED, world.now, step.seq, detail="once", outcome=Outcome.SUPERSEDED)
            self._append(rollback, event)
            return
        self.began(started, started.steps[step.seq])
        try:
            effect = self.do(self._effect(started, started.steps[step.seq], move))
        except StoppedError:
            self.restart()
            return
        kind = EventKind.STEP_DONE if effect.ok else EventKind.STEP_FAILED
        self._append(rollback, Event(kind, world.now, step.seq, detail=effect.detail, outcome=effect.outcome))

    def looks(self):
        """It is about to read, and write down, which version serves: a test may look here."""

    def began(self, rollback, step):
        """The intent of a step is committed: a test may look here."""

    async def _effect(self, rollback, step, move):
        if step.kind is StepKind.VERIFY_RECOVERY:  # the proof takes its time; here it is one look at the end of it
            luck, self.world.luck = self.world.luck, "well"
            if luck.startswith("stopped"):
                raise StoppedError
            over = self.world.past is False and not self.world.away
            return Effect(over, "looked", outcome=None if over else Outcome.NOT_RECOVERED)
        releases = await self.journal.releases(self.target.name)
        may_act = move.may_act and (rollback.stopping is None or step.kind is StepKind.UNDO_HOOK)
        work = Work(rollback, step, b"", releases, move.look_first, may_act)
        return await self.effects.carry_out(work)
