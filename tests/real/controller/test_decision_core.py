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
from real.controller.decision_promises import COOLDOWN, READING_HOLDS, TRUST_AFTER, VETO, WATCH_WINDOW, Promises
from real.controller.decision_world import EFFECT, POLL, World
from rearguard_controller.errors import ConflictError
from rearguard_controller.model import Budget, CommandRelease, Mode, Said
from unit.controller import factories as make

VERSIONS = tuple(f"v{number}" for number in range(1, 10))  # v9 is not listed as one that can be activated
MODES = {"act": {"mode": Mode.ACT}, "veto": {"mode": Mode.ACT, "veto": VETO}, "ask": {"mode": Mode.ASK}}
MOVES = st.builds(  # most go well; one of them may not
    lambda moves, at, how: ["well"] * min(at, moves) + [how] + ["well"] * (moves - at),
    st.sampled_from([12, 4, 2, 0]),
    st.integers(0, 8),
    st.sampled_from(["well", "fails", "stopped before", "stopped after"]),
)
QUIET = COOLDOWN + 3 * POLL  # so long that a fault before it is another episode
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


class DecisionCore(Promises, RuleBasedStateMachine):
    """Everything that may happen to one target; what must never follow, the promises say."""

    def __init__(self):
        RuleBasedStateMachine.__init__(self)
        Promises.__init__(self, World())
        self.folder = tempfile.TemporaryDirectory(prefix="rearguard-core-")

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
        fired = self.world.fires
        self.world.turn_to(version)
        if self.world.fires != fired:
            self.turned["fires"] = self.world.steady

    def poll(self):
        self.note_service()
        self.note_change()
        self.controller.poll()
        self.fired = self.world.fires and (self.fired or not self.world.away)  # unread, it stays what it was

    # --- what must hold at any time

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
@pytest.mark.timeout(900)
def test_whatever_happens_for_long_the_same_holds():
    run(examples=110, steps=40)
