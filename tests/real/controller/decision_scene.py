"""A target whose release fails, a controller that sees it (decision_controller.py), and what may happen in between.

Here: the way to the rollback, and hooks into the very moments before an event of it is stored.
Never here: what is right.
"""

from dataclasses import replace

from real.controller.decision_controller import Controller
from real.controller.decision_world import EFFECT, POLL, World
from rearguard_controller.model import Budget, CommandRelease, Mode, Said
from unit.controller import factories as make

BEFORE = ("drain",)
ACTIVATE = ("activate", "{to_version}")
RESTORE = ("undo", "drain")
REQUEST = ("request",)


class Scene:
    """A target whose v2 fails after v1 had earned trust, and the controller that is about to see it."""

    within = 20.0  # seconds for recovery

    def __init__(self, path, *, check=False, twin=False, match=(make.MATCH,), world=None, **policy):
        fields = {"mode": Mode.ACT, "known_good_after": 4 * POLL, "budget": Budget(50, 86400.0), **policy}
        release = CommandRelease(
            make.command("current"),
            make.command(*ACTIVATE),
            versions=make.command("versions"),
            check=make.command("check") if check else None,
        )
        policy = make.policy(**fields)
        target = make.target(policy=policy, release=release, recovery_within=self.within, match=match)
        self.world = world or World()
        twins = (replace(target, name="twin"),) if twin else ()  # with the same labels and commands
        self.controller = Controller(self.world, path / "journal.db", target, *twins)
        self.before = {}  # kind of an event, or (kind, name of its step) -> coroutine function to await before it
        self.controller.storing = self._storing

    async def _storing(self, rollback_id, event):
        names = [] if event.seq is None else [(event.kind, await self._name(rollback_id, event.seq))]
        for key in (event.kind, *names):
            call = self.before.pop(key, None)
            if call is not None:
                await call(rollback_id)

    async def _name(self, rollback_id, seq):
        return (await self.controller.file.rollback(rollback_id)).steps[seq].name

    def fail(self):
        """v1 earns trust, v2 comes and fails, its alert fires and is seen."""
        for _ in range(6):
            self.controller.run_for(POLL)
            self.controller.poll()
        self.world.turn_to("v2")
        self.controller.run_for(POLL)
        self.controller.poll()
        self.world.bad.add("v2")
        self.world.settle()
        self.controller.run_for(2 * POLL)
        self.world.fires = True
        self.controller.poll()
        return self

    def close(self, rollback=None):
        """The rollback (the one that is open) at its end, however long that takes."""
        opened = rollback or self.controller.open()
        assert opened is not None, "no rollback was opened"
        for _ in range(600):
            self.controller.run_for(EFFECT)
            closed = self.controller.rollback(opened.id)
            if closed.outcome is not None:
                return closed
        raise AssertionError("the rollback does not close")

    def now(self, word):
        """Say a person's word on the rollback as it stands in the journal."""

        async def say(rollback_id):
            await getattr(self.controller.people, word)(rollback_id, Said("ann", "why"))

        return say

    @property
    def acted(self):
        return self.world.acted
