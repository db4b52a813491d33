"""The decision core as a whole, under any sequence of events: the rules that must hold whatever happens.

The world is plain values under a simulated clock, the core and the journal are real (decision_world.py). What is
right is kept here a second time, from what was done to the world, never from what the controller remembers.
"""

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

from real.controller.decision_world import POLL, Controller, World
from rearguard_controller.errors import ConflictError
from rearguard_controller.model import Budget, CommandRelease, Mode, Outcome, Phase, StepKind
from rearguard_controller.rollback import Event, EventKind
from unit.controller import factories as make

VERSIONS = tuple(f"v{number}" for number in range(1, 10))  # v9 is not listed as one that can be activated
MODES = {"act": {"mode": Mode.ACT}, "veto": {"mode": Mode.ACT, "veto": 30.0}, "ask": {"mode": Mode.ASK}}
MOVES = st.builds(  # most go well; one of them may not
    lambda moves, at, how: ["well"] * min(at, moves) + [how] + ["well"] * (moves - at),
    st.sampled_from([12, 4, 2, 0]),
    st.integers(0, 8),
    st.sampled_from(["well", "fails", "stopped before", "stopped after"]),
)
TRUST_AFTER = 4 * POLL
COOLDOWN = 60.0
WATCH_WINDOW = 120.0
HELPED = frozenset({Outcome.RECOVERED, Outcome.COMPLETED})


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
    return make.target(policy=policy, release=release)


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

    @initialize(mode=st.sampled_from(["act", "act", "act", "veto", "ask"]))
    def begin(self, mode):
        self.controller = Controller(self.world, f"{self.folder.name}/journal.db", target(mode))
        self.controller.began, self.controller.looks = self.step_began, self.note_change
        self.serve(5)
        assert "v1" in self.earned

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
        self.world.fires = True
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
            self.world.tick(COOLDOWN)
        if hindrance == "barrier":
            self.say(version, None, True, None)
        self.world.bad.discard(version)
        if hindrance == "early":
            self.world.outage = True
            self.world.settle()
            self.serve(1)
        self.turn_to(version)
        self.serve(polls)
        self.world.bad.add(version)
        self.world.settle()
        self.serve(1)
        if hindrance == "disarmed":
            self.arm(on=False)
        elif hindrance in ("silenced", "away"):
            setattr(self.world, hindrance, True)
        self.world.fires = True
        self.poll()
        self.runner_goes_on(luck)
        if settled:
            self.world.fires = False
            self.runner_goes_on(["well"] * 12)

    @precondition(lambda self: self.disarmed)
    @rule(version=st.sampled_from(VERSIONS[1:]))
    def release_that_fails_while_disarmed(self, version):
        """After a rollback that did not help, or by a person's word, which nobody has taken back yet."""
        self.calm(armed=False)
        self.world.tick(COOLDOWN)
        self.world.bad.discard(version)  # the fault comes a moment later than the release
        self.turn_to(version)
        self.world.bad.add(version)
        self.world.settle()
        self.serve(1)
        self.world.fires = True
        self.poll()

    def calm(self, *, armed=True):
        """Nothing but releases can be at fault, and nothing hides it."""
        world = self.world
        world.outage, world.away, world.traffic, world.silenced, world.fires = False, False, True, False, False
        if armed:
            self.arm(on=True)
        world.settle()
        self.poll()

    @rule(what=st.sampled_from(["away", "traffic", "silenced", "outage", "fires", "mended"]))
    def something_turns(self, what):
        """Prometheus, the traffic, a silence, a fault of the platform, the alert, or a version that is mended."""
        if what == "mended":
            self.world.bad.discard(self.world.serving)
        else:
            setattr(self.world, what, not getattr(self.world, what))
        self.world.settle()
        self.poll()

    @rule(times=st.integers(1, 3))
    def delivered(self, times):
        """Duplicates, late and forged ones: what fires is what Prometheus says."""
        for _ in range(times):
            self.opened(self.controller.deliver())

    @rule(polls=st.integers(1, 6))
    def serve(self, polls):
        for _ in range(polls):
            self.world.tick(POLL)
            self.poll()

    @rule(luck=MOVES)
    def runner_goes_on(self, luck):
        for each in luck:
            self.world.luck = each
            self.move()
        self.world.luck = "well"

    @rule(seconds=st.sampled_from([0.0, -3600.0, -30.0, 30.0, 3600.0]))
    def restart_or_jump(self, seconds):
        """The controller starts again, or the wall clock jumps."""
        if seconds:
            self.world.now += seconds
            self.jumped = True
        else:
            self.controller.restart()

    # --- people

    def arm(self, on):
        releases, name = self.controller.releases, self.controller.target.name
        self.controller.do((releases.arm if on else releases.disarm)(name, "ann", "why"))
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
        say = self.controller.releases.announce
        self.controller.do(say(self.controller.target.name, version, good=good, barrier=barrier, operator="ann"))
        if barrier is not None:
            (self.barriers.add if barrier else self.barriers.discard)(version)
        if good is True:
            self.earned.add(version)
            self.distrusted.discard(version)
        elif good is False:
            self.earned.discard(version)

    @precondition(lambda self: self.controller.open() is not None)
    @rule(word=st.sampled_from(["approved", "vetoed", "abort_asked", "close_asked"]))
    def word(self, word):
        rollback = self.controller.open()
        try:
            event = Event(EventKind(word), self.world.now, detail="ann")
            after = self.controller.do(self.controller.journal.append(rollback.id, event))
        except ConflictError:
            return
        if word == "vetoed" and after.stopping is Outcome.VETOED:
            self.refused.add(rollback.from_version)

    # --- between the world and the controller

    def turn_to(self, version):
        if version != self.world.serving:
            self.refused.clear()
        self.world.turn_to(version)

    def poll(self):
        self.note_service()
        rollback = self.controller.poll()
        self.fired = self.world.fires and (self.fired or not self.world.away)  # unread, it stays what it was
        self.opened(rollback)

    def move(self):
        before = self.controller.open()
        moved = self.controller.move()
        self.world.tick(1.0)
        if before is not None:
            self.ended_wait(before)
            self.closed(self.controller.do(self.controller.journal.rollback(before.id)))
        return moved

    def note_service(self):
        """Trust as it is earned: good service at every poll, by the wall clock, for long enough."""
        world, (version, since, last) = self.world, self.clean
        self.order.setdefault(world.serving, len(self.order))
        if world.fires or world.away:
            self.clean = (None, 0.0, 0.0)
            return
        unbroken = version == world.serving and 0 <= world.now - last <= 3 * POLL
        self.clean = (world.serving, since if unbroken else world.now, world.now)
        if world.now - self.clean[1] >= TRUST_AFTER and world.serving not in self.distrusted:
            self.earned.add(world.serving)

    def note_change(self):
        """A release is a version without trust that follows another one, as seen at a look."""
        (version, at), now = self.seen, self.world.now
        if version != self.world.serving:
            self.came = (version is not None and self.world.serving not in self.earned, now, at, self.fired)
        self.seen = (self.world.serving, now)

    # --- what must hold

    def opened(self, rollback):
        if rollback is not None:
            self.is_right(rollback)
            assert rollback.from_version not in self.refused, "a person refused it"
            is_release, since, old_until, fired = self.came
            assert is_release, "only a release is to blame"
            if not self.jumped:
                assert self.world.now - since <= WATCH_WINDOW
                assert self.world.past_since >= old_until, "what began before a release is not its fault"
                assert not fired, "an alert that fired before a release is not about it"

    def ended_wait(self, before):
        after = self.controller.do(self.controller.journal.rollback(before.id))
        if before.phase is Phase.WAITING and after.phase is Phase.RUNNING:
            self.is_right(after)

    def is_right(self, rollback):
        world, version = self.world, rollback.to_version
        assert world.fires and not world.away and world.past is True, "never without a confirmed alert"  # noqa: PT018
        assert not world.silenced
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
        if step.kind is StepKind.ROLL_BACK:
            self.left.setdefault(rollback.from_version, set()).add(rollback.id)
            self.distrusted.add(rollback.from_version)
            self.acted_at = self.world.steady

    def closed(self, rollback):
        if rollback.phase is not Phase.CLOSED:
            return
        began = any(step.attempt for step in rollback.steps)
        if began and rollback.outcome not in HELPED:
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
            self.world.away, self.world.fires = False, False
            for _ in range(200):
                if self.controller.open() is None:
                    break
                if not self.move():
                    self.world.tick(POLL)
            still_open = self.controller.open()
            self.controller.end()
            assert still_open is None, "every rollback comes to its close"
        self.folder.cleanup()


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
