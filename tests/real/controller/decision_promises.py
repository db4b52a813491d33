"""What must hold of one target whatever happens to it, and what of the world has to be remembered to say so.

Here: the promises. What is right is told from what was done to the world, never from what the controller remembers.
Never here: what happens (test_decision_core.py).
"""

import contextlib

from real.controller.decision_world import EFFECT, POLL
from rearguard_controller.errors import ConflictError
from rearguard_controller.model import Outcome, Phase, Said, StepKind
from rearguard_controller.rollback import EventKind

VETO = 30.0
TRUST_AFTER = 4 * POLL
COOLDOWN = 60.0
WATCH_WINDOW = 120.0
READING_HOLDS = 1.0  # seconds for which a reading of Prometheus' alerts, or of silences, may be used again
FINEST = 5.0  # seconds between the points by which the beginning of a fault is found


class Promises:
    """To be told of what happens: `note_service` and `note_change` before each look, the rest by the controller."""

    def __init__(self, world):
        self.world, self.controller = world, None
        self.left = {}  # version -> ids of automatic rollbacks that began to go away from it
        self.distrusted = set()
        self.earned = set()
        self.order = {"v1": 0}  # version -> when it first served, counted
        self.barriers = set()
        self.clean = (None, 0.0, 0.0)  # version, since when without a break, last poll
        self.looked = (
            None,
            0.0,
            POLL,
        )  # the process that polled last, when by the clock that never jumps, and the gap
        self.disarmed = False
        self.refused = set()  # versions that a person vetoed
        self.acted_at = None  # by the clock that never jumps
        self.jumped = False
        self.seen = (None, 0.0)  # the version that the controller read last, and when
        self.came = (None, 0.0, 0.0, False)  # the present one: a release?, since, the old one until, with the alert?
        self.fired = False  # at the last poll
        self.mode = ""
        self.turned = {}  # what last changed in the world, and when
        self.opened_at = {}  # rollback -> when, by the clock that never jumps and by the wall clock, and the process
        self.approved = set()
        self.stopped = set()  # rollbacks that a person ended
        self.next_word = None  # said in the very moment before the next event is stored

    # --- what the controller may know of the world

    def note_service(self):
        """Trust as it is earned: good service at every poll, by the wall clock, for long enough.

        Two looks may be missed, of those that the same process really made.
        """
        world, (version, since, last) = self.world, self.clean
        apart = self.gap()
        self.order.setdefault(world.serving, len(self.order))
        if world.fires or world.away or world.unreadable:
            self.clean = (None, 0.0, 0.0)
            return
        unbroken = version == world.serving and 0 <= world.now - last <= max(3 * POLL, min(3 * apart, 300.0))
        self.clean = (world.serving, since if unbroken else world.now, world.now)
        if world.now - self.clean[1] >= TRUST_AFTER and world.serving not in self.distrusted:
            self.earned.add(world.serving)

    def gap(self):
        """Seconds between the two polls before this one; a new process begins anew."""
        (process, at, before), steady = self.looked, self.world.steady
        same = process is self.controller.parts
        self.looked = (self.controller.parts, steady, max(POLL, steady - at) if same else POLL)
        return before if same else POLL

    def note_change(self):
        """A release is a version without trust that follows another one, as seen at a look."""
        (version, at), now = self.seen, self.world.now
        if self.world.unreadable:
            return
        if version != self.world.serving:
            self.came = (version is not None and self.world.serving not in self.earned, now, at, self.fired)
        self.seen = (self.world.serving, now)

    # --- what must hold when something is stored, or done

    def holds(self, what, wanted):
        """Whether it is so, or was a moment ago: readings are shared for that long."""
        just_turned = self.world.steady - self.turned.get(what, -READING_HOLDS) < READING_HOLDS
        return getattr(self.world, what) is wanted or just_turned

    def opened(self, rollback):
        self.opened_at[rollback.id] = (self.world.steady, self.world.now, self.controller.parts)
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
        steady, wall, process = self.opened_at[rollback.id]
        waited = self.world.steady - steady
        if process is not self.controller.parts:  # another one knows of it by the wall clock only
            waited = max(waited, self.world.now - wall)
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
        no_blame = {Outcome.RECOVERED, Outcome.INTERRUPTED}  # every plan here has a proof: `completed` is no help
        if began and rollback.outcome not in no_blame:
            self.disarmed = True
        if rollback.outcome is Outcome.RECOVERED:
            clears = max(
                (each.clears for each in rollback.conditions), default=0.0
            )  # of what was before the rollback
            in_time = self.world.steady - self.acted_at <= clears + EFFECT
            may_clear = self.world.past is False and (
                in_time or self.jumped
            )  # a new process has the wall clock alone
            assert may_clear or self.holds("fires", wanted=False), "never recovered while the alert goes on firing"
        if rollback.outcome is Outcome.NOT_RECOVERED:
            self.distrusted.discard(rollback.from_version)
        if began and not rollback.close_asked:
            assert not self.world.drained, "traffic is restored"
        self.world.drained = False  # a person who closed it as it stands sees to it
