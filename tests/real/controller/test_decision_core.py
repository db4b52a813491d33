"""The decision core as a whole, under any sequence of events: the rules that must hold whatever happens.

The world is plain values under a simulated clock (decision_world.py); intake, judgement, runner, steps and journal
are the product's own (decision_controller.py). What is right is kept here a second time, from what was done to the
world, never from what the controller remembers.
"""

import contextlib
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from real.controller.decision_controller import Controller
from real.controller.decision_world import EFFECT, POLL, World
from rearguard_controller.errors import ConflictError
from rearguard_controller.model import Budget, CommandRelease, Mode, Outcome, Phase, Said, StepKind
from rearguard_controller.rollback import EventKind
from unit.controller import factories as make

VERSIONS = tuple(f"v{number}" for number in range(1, 10))  # v9 is not listed as one that can be activated
VETO = 30.0
MODES = {"act": {"mode": Mode.ACT}, "veto": {"mode": Mode.ACT, "veto": VETO}, "ask": {"mode": Mode.ASK}}
MOVES = st.builds(  # most go well; one of them may not
    lambda moves, at, how: ["well"] * min(at, moves) + [how] + ["well"] * (moves - at),
    st.sampled_from([12, 4, 2, 0]),
    st.integers(0, 8),
    st.sampled_from(["well", "fails", "stopped before", "stopped after"]),
)
TRUST_AFTER = 4 * POLL
COOLDOWN = 60.0
QUIET = COOLDOWN + 3 * POLL  # so long that a fault before it is another episode
WATCH_WINDOW = 120.0
READING_HOLDS = 1.0  # seconds for which a reading of Prometheus' alerts, or of silences, may be used again
FINEST = 5.0  # seconds between the points by which the beginning of a fault is found
WORDS = ("approve", "veto", "abort", "close")


def target(mode):
    release = CommandRelease(
        make.command("current"), make.command("activate", "{to_version}"), versions=make.command("versions")
    )
    policy = make.policy(
        **MODES[mode],
        watch_window=WATCH_WINDOW,
        known_good_after=TRUST_AFTER,
        cooldown=COOLDOWN,
        budget=Budget(50, 86400.0),
        approval_within=90.0,
    )
    return make.target(policy=policy, release=release, recovery_within=20.0)


class DecisionCore(RuleBasedStateMachine):
    """Everything that may happen to one target, and what must never follow."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="rearguard-core-")
        self.world = World()
        self.controller = None
        self.left = {}  # version -> ids of automatic rollbacks that began to go away from it
        self.distrusted = set()
        self.earned = set()
        self.order = {"v1": 0}  # version -> when it first served, counted
        self.barriers = set()
        self.clean = (None, 0.0, 0.0)  # version, since when without a break, last poll
        self.disarmed = False
        self.refused = set()  # versions that a person vetoed
        self.acted_at = None  # by the clock that never jumps
        self.jumped = False
        self.seen = (None, 0.0)  # the version that the controller read last, and when
        self.came = (None, 0.0, 0.0, False)  # the present one: a release?, since, the old one until, with the alert?
        self.fired = False  # at the last poll
        self.mode = ""
        self.turned = {}  # what last changed in the world, and when
        self.opened_at = {}  # rollback -> when, by the clock that never jumps
        self.approved = set()
        self.stopped = set()  # rollbacks that a person ended
        self.next_word = None  # said in the very moment before the next event is stored

    @initialize(
        mode=st.sampled_from(["act", "act", "act", "veto", "ask"]),
        effects=st.integers(0, 5),
        then=st.sampled_from(["deploy", "deploy", "stopped before", "stopped after", "fails", "unreadable", *WORDS]),
    )
    def begin(self, mode, effects, then):
        """A version that earned trust, a release that fails after it, and in the midst of its rollback something."""
        self.mode = mode
        self.controller = Controller(self.world, f"{self.folder.name}/journal.db", target(mode))
        self.controller.acts, self.controller.opened = self.acts, self.opened
        self.controller.storing, self.controller.stored = self.storing, self.stored
        self.serve(5)
        assert "v1" in self.earned
        self.release_fails("v2", polls=1)  # effects: drain, activate, health, undo drain, clear-cache; then the proof
        assert self.opened_at, "so far everything speaks for a rollback"
        self.runner_goes_on(["well"] * effects)
        match then:
            case "deploy":
                self.turn_to("v3")
            case "unreadable":
                self.let(unreadable=True)
            case "approve" | "veto" | "abort" | "close":
                self.next_word = then
            case _:
                self.runner_goes_on([then])
        self.runner_goes_on(["well"] * 4)

    # --- what happens

    @rule(version=st.sampled_from(VERSIONS), fault=st.booleans(), polls=st.integers(0, 2))
    def deploy(self, version, fault, polls):
        """Anybody, by any means, at any moment: CI, a colleague, GitOps that puts a bad version back."""
        if fault:
            self.world.bad.add(version)
        self.turn_to(version)
        self.serve(polls)

    @precondition(lambda self: self.left)
    @rule(data=st.data(), luck=MOVES)
    def bad_version_comes_back(self, data, luck):
        self.calm()
        self.turn_to(data.draw(st.sampled_from(sorted(self.left))))
        self.serve(1)
        self.let(fires=True)
        self.poll()
        self.runner_goes_on(luck)

    @rule(
        version=st.sampled_from(VERSIONS[1:]),
        polls=st.sampled_from([0, 1, 5, 9]),
        luck=MOVES,
        settled=st.booleans(),
        hindrance=st.sampled_from([None] * 4 + ["barrier", "soon", "soon", "early", "silenced", "away", "disarmed"]),
    )
    def release_that_fails(self, version, polls, luck, settled, hindrance):
        """The plain case, so that rollbacks are many; after some polls, which may be enough to earn trust."""
        self.calm()
        if hindrance != "soon":
            self.controller.run_for(QUIET)
        if hindrance == "barrier":
            self.say(version, None, True, None)
        if hindrance == "early":
            self.let(outage=True)
            self.serve(1)
        self.release_fails(version, polls, hindrance)
        self.runner_goes_on(luck)
        if settled:
            self.let(fires=False)
            self.runner_goes_on(["well"] * 12)

    def release_fails(self, version, polls, hindrance=None):
        self.world.bad.discard(version)  # the fault comes a moment later than the release
        self.turn_to(version)
        self.serve(polls)
        self.world.bad.add(version)
        self.world.settle()
        self.serve(1)
        if hindrance == "disarmed":
            self.arm(on=False)
        elif hindrance in ("silenced", "away"):
            self.let(**{hindrance: True})
        self.let(fires=True)
        self.poll()

    @precondition(lambda self: self.disarmed)
    @rule(version=st.sampled_from(VERSIONS[1:]))
    def release_that_fails_while_disarmed(self, version):
        """After a rollback that did not help, or by a person's word, which nobody has taken back yet."""
        self.calm(armed=False)
        self.controller.run_for(QUIET)
        self.release_fails(version, polls=0)

    def calm(self, *, armed=True):
        """Nothing but releases can be at fault, and nothing hides it."""
        self.let(outage=False, away=False, traffic=True, silenced=False, fires=False, unreadable=False)
        if armed:
            self.arm(on=True)
        self.controller.run_for(READING_HOLDS)
        self.poll()

    @rule(what=st.sampled_from(["away", "traffic", "silenced", "outage", "fires", "mended", "unreadable"]))
    def something_turns(self, what):
        """Prometheus, traffic, a silence, a fault of the platform, the alert, a version that is mended, `current`."""
        if what == "mended":
            self.world.bad.discard(self.world.serving)
            self.world.settle()
        else:
            self.let(**{what: not getattr(self.world, what)})
        self.poll()

    @rule(times=st.integers(1, 3))
    def delivered(self, times):
        """Duplicates, late and forged ones: what fires is what Prometheus says."""
        for _ in range(times):
            self.note_change()
            self.controller.deliver()

    @rule(polls=st.integers(1, 6))
    def serve(self, polls):
        for _ in range(polls):
            self.controller.run_for(POLL)
            self.poll()

    @rule(luck=MOVES)
    def runner_goes_on(self, luck):
        """Effect by effect; a process that is to stop stops, whatever it is about."""
        for each in luck:
            self.world.luck = each
            self.controller.run_for(EFFECT)
            if self.world.luck.startswith("stopped"):
                self.controller.restart()
            self.world.luck = "well"

    @rule(seconds=st.sampled_from([0.0, -3600.0, -30.0, 30.0, 3600.0]))
    def restart_or_jump(self, seconds):
        """The controller starts again, or the wall clock jumps."""
        if seconds:
            self.world.now += seconds
            self.world.settle()
            self.jumped = True
        else:
            self.controller.restart()

    # --- people

    def arm(self, on):
        people, name = self.controller.people, self.controller.target.name
        self.controller.do((people.arm if on else people.disarm)(name, Said("ann", "why")))
        self.disarmed = not on
        if on:
            self.refused.clear()

    @rule(
        version=st.sampled_from(VERSIONS),
        good=st.sampled_from([None, True, False]),
        barrier=st.sampled_from([None, True, False]),
        armed=st.sampled_from([None, None, True, False]),
    )
    def say(self, version, good, barrier, armed):
        if armed is not None:
            self.arm(on=armed)
        say = self.controller.people.announce
        self.controller.do(say(self.controller.target.name, version, good=good, barrier=barrier, operator="ann"))
        if barrier is not None:
            (self.barriers.add if barrier else self.barriers.discard)(version)
        if good is True:
            self.earned.add(version)
            self.distrusted.discard(version)
        elif good is False:
            self.earned.discard(version)

    @precondition(lambda self: self.controller.open() is not None)
    @rule(word=st.sampled_from(WORDS))
    def word(self, word):
        with contextlib.suppress(ConflictError):
            self.controller.say(word, self.controller.open().id)

    @rule(word=st.sampled_from(WORDS))
    def word_in_between(self, word):
        """Said right before the next event of a rollback is stored, when the controller has made up its mind."""
        self.next_word = word

    # --- between the world and the controller

    def let(self, **what):
        """Change what is true of the world."""
        for name, value in what.items():
            if getattr(self.world, name) != value:
                setattr(self.world, name, value)
                self.turned[name] = self.world.steady
        self.world.settle()

    def turn_to(self, version):
        if version != self.world.serving:
            self.refused.clear()
        self.world.turn_to(version)

    def poll(self):
        self.note_service()
        self.note_change()
        self.controller.poll()
        self.fired = self.world.fires and (self.fired or not self.world.away)  # unread, it stays what it was

    def note_service(self):
        """Trust as it is earned: good service at every poll, by the wall clock, for long enough."""
        world, (version, since, last) = self.world, self.clean
        self.order.setdefault(world.serving, len(self.order))
        if world.fires or world.away or world.unreadable:
            self.clean = (None, 0.0, 0.0)
            return
        unbroken = version == world.serving and 0 <= world.now - last <= 3 * POLL
        self.clean = (world.serving, since if unbroken else world.now, world.now)
        if world.now - self.clean[1] >= TRUST_AFTER and world.serving not in self.distrusted:
            self.earned.add(world.serving)

    def note_change(self):
        """A release is a version without trust that follows another one, as seen at a look."""
        (version, at), now = self.seen, self.world.now
        if self.world.unreadable:
            return
        if version != self.world.serving:
            self.came = (version is not None and self.world.serving not in self.earned, now, at, self.fired)
        self.seen = (self.world.serving, now)

    # --- what must hold

    def holds(self, what, wanted):
        """Whether it is so, or was a moment ago: readings are shared for that long."""
        just_turned = self.world.steady - self.turned.get(what, -READING_HOLDS) < READING_HOLDS
        return getattr(self.world, what) is wanted or just_turned

    def opened(self, rollback):
        self.opened_at[rollback.id] = self.world.steady
        self.is_right(rollback)
        assert rollback.from_version not in self.refused, "a person refused it"
        is_release, since, old_until, fired = self.came
        assert is_release, "only a release is to blame"
        if not self.jumped:
            assert self.world.now - since <= WATCH_WINDOW
            assert self.world.past_since > old_until - FINEST, "what began before a release is not its fault"
            assert not fired, "an alert that fired before a release is not about it"

    async def storing(self, rollback_id, _event):
        word, self.next_word = self.next_word, None
        if word is not None:
            with contextlib.suppress(ConflictError):
                await getattr(self.controller.people, word)(rollback_id, Said("ann", "why"))

    def stored(self, rollback, event):
        match event.kind:
            case EventKind.WAIT_ENDED if rollback.phase is Phase.RUNNING:
                self.is_right(rollback)
            case EventKind.APPROVED:
                self.approved.add(rollback.id)
            case EventKind.VETOED | EventKind.ABORT_ASKED | EventKind.CLOSE_ASKED:
                self.stopped.add(rollback.id)
                if rollback.stopping is Outcome.VETOED:
                    self.refused.add(rollback.from_version)
            case EventKind.STEP_STARTED:
                self.step_began(rollback, rollback.steps[event.seq])
            case EventKind.CLOSED:
                self.closed(rollback)

    def is_right(self, rollback):
        world, version = self.world, rollback.to_version
        assert self.holds("fires", wanted=True), "never without an alert that Prometheus confirms"
        assert not world.away
        assert world.past is True, "never without a figure that is past its threshold"
        assert self.holds("silenced", wanted=False), "never while a person has silenced it"
        assert not self.disarmed, "a person, or a rollback that did not help, disarmed it"
        assert rollback.from_version == world.serving
        assert rollback.from_version not in self.left, "once for each version"
        self.is_destination(version)
        if self.acted_at is not None and not self.jumped:
            assert world.steady - self.acted_at >= COOLDOWN

    def is_destination(self, version):
        assert version != self.world.serving, "never to the version that serves"
        assert version in self.earned, "never to one that earned no trust"
        assert version not in self.distrusted, "never to one that was left"
        assert version != "v9", "never to one that cannot be activated"
        if not self.jumped and version in self.order:
            passed = [each for each in self.barriers if self.order.get(each, -1) > self.order[version]]
            assert not passed, "never past a barrier"

    def step_began(self, rollback, step):
        if sum(each.attempt for each in rollback.steps) == 1:
            self.first_step_began(rollback)
        if step.kind is StepKind.ROLL_BACK:
            self.left.setdefault(rollback.from_version, set()).add(rollback.id)
            self.distrusted.add(rollback.from_version)
            self.acted_at = self.world.steady

    def first_step_began(self, rollback):
        waited = self.world.steady - self.opened_at[rollback.id]
        assert self.mode != "ask" or rollback.id in self.approved, "never before a person approved it"
        assert self.mode != "veto" or rollback.id in self.approved or waited >= VETO, "never before the veto's end"
        assert self.world.unreadable or self.world.serving == rollback.from_version, "never for another version"

    def acts(self, argv, context):
        """Nobody's version is rolled over, and after a person's word only what was done is undone."""
        if argv[0] == "activate":
            assert self.world.serving == context.from_version, "somebody else's version"
        if argv[0] != "undo":
            assert context.rollback_id not in self.stopped, "a person has ended it"

    def closed(self, rollback):
        began = any(step.attempt for step in rollback.steps)
        if began and rollback.outcome is not Outcome.RECOVERED:  # every plan here has a proof: `completed` is no help
            self.disarmed = True
        if rollback.outcome is Outcome.NOT_RECOVERED:
            self.distrusted.discard(rollback.from_version)
        if began and not rollback.close_asked:
            assert not self.world.drained, "traffic is restored"
        self.world.drained = False  # a person who closed it as it stands sees to it

    @invariant()
    def once(self):
        assert all(len(ids) == 1 for ids in self.left.values())

    @invariant()
    def one_at_a_time(self):
        if self.controller is not None:
            assert len(self.controller.do(self.controller.journal.open_rollbacks())) <= 1

    def teardown(self):
        if self.controller is not None:
            try:
                self.comes_to_its_close()
            finally:
                self.controller.end()
        self.folder.cleanup()

    def comes_to_its_close(self):
        self.let(away=False, fires=False, unreadable=False)
        self.next_word = None
        for _ in range(300):
            if self.controller.open() is None:
                return
            self.controller.run_for(POLL)
        raise AssertionError("every rollback comes to its close")


def run(examples, steps):
    wanted = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with capture_logs():
        run_state_machine_as_test(DecisionCore, settings=wanted)


def test_whatever_happens_a_rollback_is_confirmed_once_only_to_a_trusted_version_and_restores_traffic():
    run(examples=20, steps=20)


@pytest.mark.soak
def test_whatever_happens_for_long_the_same_holds():
    run(examples=110, steps=40)
