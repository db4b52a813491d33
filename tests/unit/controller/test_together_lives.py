"""Rollbacks that go back together: what becomes of them in every order of things."""

import contextlib
import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from rearguard_controller.errors import ConflictError
from rearguard_controller.intake.together import tied
from rearguard_controller.judgement.together import going
from rearguard_controller.model import (
    Companion,
    Outcome,
    Phase,
    Rollback,
    StepKind,
    StepState,
    Trigger,
)
from rearguard_controller.rollback import Event, EventKind, JudgeAgain, Note, RunStep, WaitUntil, apply, next_move
from rearguard_controller.rollback.plan import plan

from .factories import NOW, facts, good, serving
from .tied_targets import NAMES, member


def seeded(seed):
    return random.Random(seed)  # noqa: S311  # the same orders of things in every run


@dataclass
class Incident:
    """The rollbacks of three targets, carried on in some order of things, with crashes in between."""

    chance: random.Random
    as_one: bool
    fails: frozenset = frozenset()  # (target, kind of step) that fail at their first attempt
    veto: float = 0.0
    crashes: int = 0
    journal: dict = field(default_factory=dict)
    serves: dict = field(default_factory=lambda: dict.fromkeys(NAMES, "v2"))
    under_way: dict = field(default_factory=dict)  # rollback -> its move whose result is not stored yet
    log: list = field(default_factory=list)  # (target, kind of step, what)
    now: float = NOW

    def open(self):
        of = {name: member(name, as_one=self.as_one, veto=self.veto) for name in NAMES}
        numbers = iter("t123456789")
        first = Rollback(
            "r0", "d1", "payments", Trigger.ALERT, "", "v2", "v1",
            Phase.WAITING if self.veto else Phase.RUNNING, NOW, plan(of["payments"], conditions=(), together=True),
            wait_until=NOW + self.veto if self.veto else None,
        )  # fmt: skip
        companions = tuple(
            Companion(of[name], facts(releases=(good("v1"), serving("v2"))).target)
            for name in NAMES
            if name != "payments"
        )
        found = replace(facts(), target=replace(facts().target, companions=companions))
        first, others = tied(
            first, of["payments"], going(of["payments"], found),
            new_id=lambda letter: f"{letter}{next(numbers)}", firing=lambda _target: (),
        )  # fmt: skip
        self.journal = {each.id: each for each in (first, *others)}
        assert first.together.targets == NAMES
        return self

    def tell(self, number, what):
        self.journal[number] = apply(self.journal[number], what)

    def live(self, meddle=None):
        for turn in range(4000):
            still_open = [each for each in self.journal.values() if each.phase is not Phase.CLOSED]
            if not still_open:
                return self
            self.now += 0.5
            if meddle is not None:
                meddle(self, turn)
            if self.crashes and self.chance.random() < 0.05:
                self.crash()
            number = self.chance.choice(still_open).id
            if number in self.under_way:
                self.end(number)
            elif self.journal[number].phase is not Phase.CLOSED:
                self.go_on(number)
        raise AssertionError("they never close")

    def go_on(self, number):
        rollback = self.journal[number]
        others = [each for each in self.journal.values() if each.id != number]
        match next_move(rollback, self.now, others):
            case Note() as move:  # stored later, by what was read of the others now
                self.under_way[number] = move
            case JudgeAgain():
                assert number == "r0", "one judgement for all"
                self.tell(number, Event(EventKind.WAIT_ENDED, self.now))
            case RunStep() as move:
                self.tell(number, Event(EventKind.STEP_STARTED, self.now, move.step.seq))
                self.log.append((rollback.target, move.step.kind, "began"))
                self.under_way[number] = move
            case WaitUntil(moment):
                assert moment > self.now

    def crash(self):
        self.crashes -= 1
        for number, move in self.under_way.items():
            if isinstance(move, RunStep) and self.chance.random() < 0.5:
                self.effect(self.journal[number], move)
        self.under_way.clear()

    def effect(self, rollback, move):
        """What `Effects` does: a version is looked at before it is put back after a crash, or taken back."""
        name, step = rollback.target, rollback.steps[move.step.seq]
        if (name, step.kind) in self.fails:
            return False
        if step.kind is StepKind.ROLL_BACK and (move.may_act or self.serves[name] == "v1"):
            self.serves[name] = "v1"
        elif step.kind is StepKind.ROLL_BACK:
            return False
        if step.kind is StepKind.UNDO_ROLL_BACK:
            self.serves[name] = "v2"
        return True

    def end(self, number):
        move = self.under_way.pop(number)
        rollback = self.journal[number]
        if isinstance(move, Note):
            with contextlib.suppress(ConflictError):  # as the runner does, which then asks again
                self.tell(number, move.event)
            return
        ok = self.effect(rollback, move)
        kind = EventKind.STEP_DONE if ok else EventKind.STEP_FAILED
        self.log.append((rollback.target, move.step.kind, "ended"))
        self.tell(number, Event(kind, self.now, move.step.seq))

    @property
    def outcomes(self):
        return {each.target: each.outcome for each in self.journal.values()}

    def at(self, name, kind, what):
        return self.log.index((name, kind, what))


@pytest.mark.parametrize("as_one", [True, False], ids=["as one", "stated"])
@pytest.mark.parametrize("veto", [0.0, 30.0])
def test_all_are_changed_in_their_order(as_one, veto):
    for seed in range(30):
        it = Incident(seeded(seed), as_one, veto=veto).open().live()
        assert set(it.serves.values()) == {"v1"}
        assert set(it.outcomes.values()) == {Outcome.COMPLETED}
        assert all(each.together_done for each in it.journal.values())
        first_change = min(it.at(name, StepKind.ROLL_BACK, "began") for name in NAMES)
        last_health = max(it.at(name, StepKind.VERIFY_HEALTH, "ended") for name in NAMES)
        assert min(it.at(name, StepKind.UNDO_HOOK, "began") for name in NAMES) > last_health
        if as_one:
            assert max(it.at(name, StepKind.BEFORE_HOOK, "ended") for name in NAMES) < first_change
        else:
            for before, after in pairwise(NAMES):
                healthy = it.at(before, StepKind.VERIFY_HEALTH, "ended")
                assert it.at(after, StepKind.BEFORE_HOOK, "began") > healthy


@pytest.mark.parametrize("as_one", [True, False], ids=["as one", "stated"])
@pytest.mark.parametrize("kind", [StepKind.BEFORE_HOOK, StepKind.ROLL_BACK, StepKind.VERIFY_HEALTH])
@pytest.mark.parametrize("name", NAMES)
def test_when_one_fails_all_serve_what_they_served_before(as_one, kind, name):
    for seed in range(20):
        it = Incident(seeded(seed), as_one, frozenset({(name, kind)}), crashes=seed % 3).open().live()
        assert set(it.serves.values()) == {"v2"}, it.log
        if seed % 3:  # a hook that a crash cut off, and that is not to be redone, may end one of them before that
            assert set(it.outcomes.values()) <= {Outcome.FAILED, Outcome.INTERRUPTED}
        else:
            assert set(it.outcomes.values()) == {Outcome.FAILED}
        for each in it.journal.values():
            undo, changed = each.step_of(StepKind.UNDO_ROLL_BACK), each.step_of(StepKind.ROLL_BACK).attempt
            assert (undo.state is StepState.DONE) == bool(changed)
            assert all(step.state is not StepState.PLANNED for step in each.steps)


PEOPLE = (EventKind.ABORT_ASKED, EventKind.VETOED, EventKind.TARGET_CHANGED)


@pytest.mark.parametrize("as_one", [True, False], ids=["as one", "stated"])
def test_whatever_ends_one_of_them_and_whenever_they_never_end_apart(as_one):
    """A person's word, or a crash, at any moment: all are changed, or all are as they were."""
    ends = set()
    for seed in range(600):
        chance = seeded(seed)
        at, kind, number = chance.randrange(60), chance.choice(PEOPLE), chance.choice(["r0", "r1", "r2"])

        def meddle(it, turn, at=at, kind=kind, number=number):
            if turn == at:
                try:
                    it.tell(number, Event(kind, it.now, detail="somebody"))
                except (ConflictError, KeyError):
                    assert kind is EventKind.VETOED or it.journal.get(number) is None or it.journal[number].outcome

        it = Incident(chance, as_one, veto=chance.choice([0.0, 10.0]), crashes=chance.randrange(4)).open()
        it.live(meddle)
        assert len(set(it.serves.values())) == 1, (seed, it.log)
        ends.add(it.serves["search"])
    assert ends == {"v1", "v2"}
