"""The life of a rollback: both tables pair by pair, the order of the plan, and lives driven to their close."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.errors import ConflictError
from rearguard_controller.model import (
    AfterCrash,
    OnFailure,
    Outcome,
    Phase,
    Rollback,
    Step,
    StepKind,
    StepState,
    Trigger,
)
from rearguard_controller.rollback import (
    Event,
    EventKind,
    JudgeAgain,
    Note,
    ReleaseChange,
    RunStep,
    TargetChange,
    WaitUntil,
    apply,
    arming,
    consequences,
    marks,
    next_move,
)
from rearguard_controller.rollback.plan import plan
from unit.controller.factories import MINUTE, NOW, condition, hook, release, rollback, serving, state, target

CONTINUE, STOP, RETRY = OnFailure.CONTINUE, OnFailure.STOP, OnFailure.RETRY
DONE, FAILED, SKIPPED = StepState.DONE, StepState.FAILED, StepState.SKIPPED


# --- the tables, pair by pair -------------------------------------------------------------------------------

PHASE_EVENTS = {
    # event: what waiting becomes (phase, stopping), what running becomes; None where it is refused
    "opened": (None, None),
    "approved": (("waiting", None), None),
    "vetoed": (("waiting", "vetoed"), None),
    "wait_ended": (("running", None), None),
    "fault_over": (("waiting", "not_needed"), None),
    "step_started": (None, ("running", None)),
    "step_done": (None, ("running", None)),
    "step_failed": (None, ("running", None)),
    "step_skipped": (None, ("running", None)),
    "step_interrupted": (None, ("running", None)),
    "target_changed": (("waiting", "superseded"), ("running", "superseded")),
    "abort_asked": (("waiting", "aborted"), ("running", "aborted")),
    "close_asked": (("waiting", "needs_a_person"), ("running", "needs_a_person")),
    "together_done": (None, ("running", None)),
    "together_ended": (("waiting", "failed"), ("running", "failed")),
    "closed": (("closed", None), ("closed", None)),
}
NEEDED_STATE = {  # that the first step must have for a step event to be allowed
    "step_done": StepState.STARTED,
    "step_failed": StepState.STARTED,
    "step_interrupted": StepState.STARTED,
}


def event(kind: str, **fields) -> Event:
    base = {"at": NOW + 1, "seq": 0 if kind.startswith("step_") else None}
    if kind == "closed":
        base["outcome"] = Outcome.ABORTED
    if kind == "together_ended":
        base["outcome"] = Outcome.FAILED
    if kind == "opened":
        base["opened"] = rollback()
    return Event(EventKind(kind), **{**base, **fields})


def with_step(value: Rollback, seq: int, **fields) -> Rollback:
    steps = list(value.steps)
    steps[seq] = replace(steps[seq], **fields)
    return replace(value, steps=tuple(steps))


def refused(value: Rollback | None, what: Event) -> None:
    before = value
    with pytest.raises(ConflictError):
        apply(value, what)
    assert value == before


def test_the_expectation_names_every_event():
    assert set(PHASE_EVENTS) == {kind.value for kind in EventKind}


@pytest.mark.parametrize("kind", PHASE_EVENTS)
@pytest.mark.parametrize("phase", list(Phase))
def test_a_phase_takes_exactly_the_events_that_belong_to_it(phase, kind):
    before = with_step(rollback(phase=phase), 0, state=NEEDED_STATE.get(kind, StepState.PLANNED))
    expected = dict(zip(Phase, (*PHASE_EVENTS[kind], None), strict=True))[phase]
    if expected is None:
        refused(before, event(kind))
        return
    after = apply(before, event(kind))
    assert (after.phase.value, after.stopping and after.stopping.value) == expected


STEP_EVENTS = {
    # state: the state after each event; what is not listed is refused
    "planned": {"step_started": "started", "step_skipped": "skipped"},
    "started": {"step_done": "done", "step_failed": "failed", "step_interrupted": "interrupted"},
    "interrupted": {"step_started": "started", "step_failed": "failed"},
    "failed": {"step_started": "started"},  # undo hooks only
    "done": {},
    "skipped": {},
}
KINDS_OF_STEP_EVENTS = ["step_started", "step_done", "step_failed", "step_skipped", "step_interrupted"]


def test_the_expectation_names_every_state():
    assert set(STEP_EVENTS) == {each.value for each in StepState}


@pytest.mark.parametrize("kind", KINDS_OF_STEP_EVENTS)
@pytest.mark.parametrize("before", STEP_EVENTS)
@pytest.mark.parametrize("rule", [CONTINUE, STOP, RETRY])
def test_a_step_takes_exactly_the_events_that_belong_to_its_state(before, kind, rule):
    value = with_step(rollback(), 0, state=StepState(before), on_failure=rule, attempt=int(before != "planned"))
    expected = STEP_EVENTS[before].get(kind)
    if expected is None or (before == "failed" and rule is not RETRY):
        refused(value, event(kind))
        return
    after = apply(value, event(kind, output="out", detail="why"))
    assert after.steps[0].state.value == expected
    assert after.steps[1:] == value.steps[1:]


def test_a_rollback_begins_with_opened_and_with_nothing_else():
    for kind in EventKind:
        if kind is not EventKind.OPENED:
            refused(None, event(kind.value))
    refused(None, Event(EventKind.OPENED, NOW))
    assert apply(None, event("opened")) == rollback()


@pytest.mark.parametrize("seq", [None, -1, 5, 99])
def test_an_event_of_a_step_that_is_not_there_is_refused(seq):
    assert len(rollback().steps) == 6
    refused(replace(rollback(), steps=rollback().steps[:5]), event("step_started", seq=seq))


def test_a_close_without_an_outcome_is_refused():
    refused(rollback(), Event(EventKind.CLOSED, NOW))


def test_an_intent_counts_the_attempt_and_a_result_keeps_what_came_of_it():
    started = apply(rollback(), event("step_started", at=NOW + 1)).steps[0]
    assert (started.attempt, started.started_at, started.ended_at) == (1, NOW + 1, None)
    done = apply(apply(rollback(), event("step_started")), event("step_done", at=NOW + 3, output="o", detail="d"))
    assert (done.steps[0].ended_at, done.steps[0].output, done.steps[0].detail) == (NOW + 3, "o", "d")


def test_a_step_that_goes_well_is_no_cause_of_an_end():
    done = apply(apply(rollback(), event("step_started")), event("step_done", detail="drained"))
    assert (done.stopping, done.stopping_detail) == (None, "")


def test_a_wait_for_approval_that_ends_expires_and_any_other_goes_on():
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW)
    assert apply(replace(waiting, needs_approval=True), event("wait_ended")).stopping is Outcome.EXPIRED
    gone_on = apply(waiting, event("wait_ended"))
    assert (gone_on.phase, gone_on.wait_until) == (Phase.RUNNING, None)


def test_the_first_cause_of_an_early_end_stays_the_outcome():
    value = apply(apply(rollback(), event("abort_asked", detail="enough")), event("target_changed", detail="other"))
    assert (value.stopping, value.stopping_detail) == (Outcome.ABORTED, "enough")


@pytest.mark.parametrize("name", ["drain", "roll-back", "health", "clear-cache", "recovery"])
def test_no_step_is_begun_after_an_abort_was_committed(name):
    value = apply(rollback(), event("abort_asked"))
    refused(value, event("step_started", seq=next(step.seq for step in value.steps if step.name == name)))


def test_nothing_at_all_is_begun_after_a_close_was_committed():
    value = with_step(rollback(), 0, state=DONE, attempt=1)
    for step in apply(value, event("close_asked")).steps[1:]:
        refused(apply(value, event("close_asked")), event("step_started", seq=step.seq))


# --- the plan ------------------------------------------------------------------------------------------------


def test_the_plan_has_the_promised_order():
    of = target(
        before=(hook("save"), hook("drain", undo=True), hook("pause", undo=True)),
        after=(hook("warm"), hook("clear", before_restore=True), hook("tell")),
    )
    names = [(step.seq, step.kind.value, step.name) for step in plan(of, conditions=(condition(),))]
    assert names == [
        (0, "before_hook", "save"),
        (1, "before_hook", "drain"),
        (2, "before_hook", "pause"),
        (3, "roll_back", "roll-back"),
        (4, "verify_health", "health"),
        (5, "after_hook", "clear"),
        (6, "undo_hook", "undo pause"),
        (7, "undo_hook", "undo drain"),
        (8, "after_hook", "warm"),
        (9, "after_hook", "tell"),
        (10, "verify_recovery", "recovery"),
    ]


def test_the_plan_leaves_out_what_is_not_configured():
    kinds = [step.kind.value for step in plan(target(before=(), after=(), health=None), conditions=())]
    assert kinds == ["roll_back"]


def test_every_undo_knows_its_hook_and_is_tried_until_it_works():
    of = target(before=(hook("save"), hook("drain", undo=True), hook("pause", undo=True, undo_when_healthy=True)))
    undos = [step for step in plan(of, conditions=()) if step.kind is StepKind.UNDO_HOOK]
    assert [(step.undoes, step.only_when_healthy) for step in undos] == [(2, True), (1, False)]
    assert {step.on_failure for step in undos} == {RETRY}


def test_crash_rules_are_fixed_but_for_hooks():
    of = target(before=(hook("a", undo=True), hook("b", after_crash=AfterCrash.REDO)))
    rules = {step.name: step.after_crash.value for step in plan(of, conditions=(condition(),))}
    assert rules == {
        "a": "never_redo",
        "b": "redo",
        "roll-back": "look_first",
        "health": "redo",
        "undo a": "redo",
        "clear-cache": "never_redo",
        "recovery": "redo",
    }


def test_limits_come_from_the_actions_and_the_checks():
    limits = {step.name: step.timeout for step in plan(target(), conditions=(condition(),))}
    assert limits == {
        "drain": 30.0,
        "roll-back": 300.0,
        "health": 120.0,
        "undo drain": 30.0,
        "clear-cache": 10.0,
        "recovery": 300.0,
    }


# --- lives ---------------------------------------------------------------------------------------------------

Answer = Callable[[Step], "str | Event"]
Meddler = Callable[[Rollback, int], "EventKind | None"]


@dataclass
class Life:
    """A rollback carried on as a runner would, with answers in place of effects."""

    rollback: Rollback
    now: float = NOW
    effects: list[str] = field(default_factory=list)  # names of the steps that touched the world, in order
    looks: list[str] = field(default_factory=list)  # those that only looked, or looked before acting
    times: list[float] = field(default_factory=list)
    asked_at: int | None = None  # how many effects there were when a person first stepped in

    def tell(self, kind: str, **fields) -> None:
        self.rollback = apply(self.rollback, event(kind, at=self.now, **fields))

    @property
    def states(self) -> dict[str, str]:
        return {step.name: step.state.value for step in self.rollback.steps}

    @property
    def outcome(self) -> str:
        assert self.rollback.phase is Phase.CLOSED
        assert next_move(self.rollback, self.now) is None
        return self.rollback.outcome.value


def works(_step: Step) -> str:
    return "done"


def failing(*names: str, **outcomes: Outcome) -> Answer:
    def answer(step: Step) -> str | Event:
        if step.name in outcomes:
            return Event(EventKind.STEP_FAILED, NOW, step.seq, outcome=outcomes[step.name])
        return "failed" if step.name in names else "done"

    return answer


def crashing(name: str, then: Answer = works) -> Answer:
    """The controller dies while the step of this name runs for the first time."""
    return lambda step: "crash" if step.name == name and step.attempt == 1 else then(step)


def never(_rollback: Rollback, _turn: int) -> None:
    return None


def live(of: Rollback, answer: Answer = works, meddler: Meddler = never, *, now: float = NOW) -> Life:
    """Carry a rollback to its close; each effect takes one second."""
    life, turn = Life(of, now), 0

    def meddle() -> None:
        nonlocal turn
        kind = meddler(life.rollback, turn)
        turn += 1
        if kind is not None and life.rollback.phase is not Phase.CLOSED:
            try:
                life.tell(kind.value, detail="a person")
            except ConflictError:
                assert kind in (EventKind.APPROVED, EventKind.VETOED)
                return
            life.asked_at = len(life.effects) if life.asked_at is None else life.asked_at

    while (move := next_move(life.rollback, life.now)) is not None:
        assert turn < 400, "it never closes"
        meddle()  # somebody steps in between the question and the intent
        match move:
            case WaitUntil(moment):
                assert moment > life.now
                life.now = moment
            case Note(noted):
                try:
                    life.rollback = apply(life.rollback, noted)
                except ConflictError:
                    assert life.asked_at is not None
            case JudgeAgain():
                _judge(life, meddle)
            case RunStep(step):
                _run(life, move, step, answer, meddle)
    return life


def _judge(life: Life, meddle: Callable[[], None]) -> None:
    meddle()  # somebody steps in while it is judged
    try:
        life.tell("wait_ended")
    except ConflictError:
        assert life.asked_at is not None


def _run(life: Life, move: RunStep, step: Step, answer: Answer, meddle: Callable[[], None]) -> None:
    try:
        life.tell("step_started", seq=step.seq)
    except ConflictError:
        assert life.asked_at is not None
        return
    (life.looks if move.look_first else life.effects).append(step.name)
    life.times.append(life.now)
    meddle()  # and while the step runs
    life.now += 1.0
    said = answer(life.rollback.steps[step.seq])
    if said == "crash":
        return
    if isinstance(said, Event):
        life.rollback = apply(life.rollback, replace(said, at=life.now, seq=step.seq))
        return
    life.tell(f"step_{said}", seq=step.seq, detail="as told")


ALL = ["drain", "roll-back", "health", "undo drain", "clear-cache", "recovery"]


def test_all_good_ends_as_recovered():
    life = live(rollback())
    assert (life.effects, life.outcome) == (ALL, "recovered")
    assert set(life.states.values()) == {"done"}


def test_a_fault_that_was_receding_before_it_began_ends_as_completed_with_the_words_of_its_proof():
    def answer(step: Step) -> str | Event:
        if step.name != "recovery":
            return "done"
        return Event(EventKind.STEP_DONE, NOW, step.seq, detail="No credit.", outcome=Outcome.COMPLETED)

    life = live(rollback(), answer)
    assert (life.effects, life.outcome, life.states["recovery"]) == (ALL, "completed", "done")
    assert life.rollback.detail == "recovery: No credit."


def test_by_hand_with_nothing_firing_ends_as_completed():
    life = live(rollback(conditions=()))
    assert (life.effects, life.outcome) == (ALL[:-1], "completed")


def test_a_failed_before_hook_that_may_fail_does_not_end_the_attempt_and_is_undone():
    life = live(rollback(), failing("drain"))
    assert (life.effects, life.outcome) == (ALL, "recovered")
    assert life.states["drain"] == "failed"


def test_a_failed_before_hook_that_must_not_fail_ends_the_attempt_with_its_undo():
    of = target(before=(hook("save"), hook("drain", undo=True, on_failure=STOP), hook("pause", undo=True)))
    life = live(rollback(of=of), failing("drain"))
    assert (life.effects, life.outcome) == (["save", "drain", "undo drain"], "failed")
    assert life.states["undo pause"] == "skipped"  # pause never started


def test_a_failed_roll_back_undoes_at_once_and_runs_no_after_hook():
    life = live(rollback(), failing("roll-back"))
    assert (life.effects, life.outcome) == (["drain", "roll-back", "undo drain"], "failed")
    assert life.rollback.detail.startswith("roll-back: ")


def test_failed_health_undoes_and_fails_without_a_second_attempt():
    life = live(rollback(), failing("health"))
    assert life.outcome == "failed"
    assert life.effects[:4] == ["drain", "roll-back", "health", "undo drain"]
    assert life.effects.count("roll-back") == 1
    assert life.states["clear-cache"] == "done"  # roll_back is done: the destination serves
    assert life.states["recovery"] == "skipped"


def test_what_clears_the_way_for_traffic_runs_before_the_undo():
    life = live(rollback(of=target(after=(hook("clear", before_restore=True), hook("tell")))))
    assert life.effects == ["drain", "roll-back", "health", "clear", "undo drain", "tell", "recovery"]


def test_after_failed_health_the_undo_does_not_wait_for_an_after_hook():
    life = live(rollback(of=target(after=(hook("clear", before_restore=True), hook("tell")))), failing("health"))
    assert life.effects == ["drain", "roll-back", "health", "undo drain", "tell"]


def test_after_hooks_that_may_fail_do_not_hinder_the_proof_and_others_end_it():
    assert live(rollback(), failing("clear-cache")).outcome == "recovered"
    life = live(rollback(of=target(after=(hook("warm", on_failure=STOP), hook("tell")))), failing("warm"))
    assert (life.outcome, life.states["recovery"]) == ("failed", "skipped")


def test_no_recovery_ends_as_not_recovered_and_an_unfit_condition_as_needing_a_person():
    assert live(rollback(), failing("recovery")).outcome == "not_recovered"
    assert live(rollback(), failing(recovery=Outcome.NEEDS_A_PERSON)).outcome == "needs_a_person"


def test_a_target_that_somebody_else_changed_is_superseded_and_what_was_begun_is_undone():
    at_roll_back = lambda value, _turn: (  # noqa: E731  # a one-line meddler
        EventKind.TARGET_CHANGED if value.steps[0].state is DONE and value.stopping is None else None
    )
    life = live(rollback(), works, at_roll_back)
    assert (life.effects, life.outcome) == (["drain", "undo drain"], "superseded")
    assert live(rollback(), works, lambda _value, turn: EventKind.TARGET_CHANGED if turn == 0 else None).effects == []


def test_a_failing_undo_is_tried_again_with_growing_pauses_until_it_works():
    tries = 8
    life = live(rollback(), lambda step: "failed" if step.name == "undo drain" and step.attempt <= tries else "done")
    undo = [moment for moment, name in zip(life.times, life.effects, strict=True) if name == "undo drain"]
    pauses = [later - (sooner + 1) for sooner, later in pairwise(undo)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert (life.outcome, life.effects[-2:]) == ("recovered", ["clear-cache", "recovery"])


def test_one_failing_undo_keeps_no_other_from_being_done():
    of = target(before=(hook("drain", undo=True), hook("pause", undo=True)))
    stubborn = lambda step: "failed" if step.name == "undo pause" and step.attempt < 4 else "done"  # noqa: E731  # a one-line answer
    life = live(rollback(of=of), stubborn)
    undos = [name for name in life.effects if name.startswith("undo")]
    assert undos == ["undo pause", "undo drain", "undo pause", "undo pause", "undo pause"]


def test_an_undo_is_tried_at_once_when_the_clock_was_set_back():
    failed = with_step(rollback(), 3, state=FAILED, attempt=5, ended_at=NOW)
    for seq in range(3):
        failed = with_step(failed, seq, state=DONE, attempt=1)
    assert next_move(failed, NOW + 15.9) == WaitUntil(NOW + 16)
    assert isinstance(next_move(failed, NOW - 3600), RunStep)


def test_a_person_can_end_an_undo_that_never_works():
    asked = lambda value, _turn: (  # noqa: E731
        EventKind.CLOSE_ASKED if value.steps[3].attempt == 5 and not value.close_asked else None
    )
    life = live(rollback(), failing("undo drain"), asked)
    assert (life.effects.count("undo drain"), life.outcome) == (5, "needs_a_person")


def test_a_close_keeps_the_outcome_of_an_attempt_that_had_ended_before():
    asked = lambda value, _turn: (  # noqa: E731
        EventKind.CLOSE_ASKED if value.steps[3].attempt == 2 and not value.close_asked else None
    )
    assert live(rollback(), failing("roll-back", "undo drain"), asked).outcome == "failed"


@pytest.mark.parametrize(("healthy", "undone"), [(True, "done"), (False, "skipped")], ids=["healthy", "not healthy"])
def test_a_hook_to_be_undone_only_when_healthy_stays_when_it_is_not(healthy, undone):
    of = target(before=(hook("drain", undo=True, undo_when_healthy=True),))
    life = live(rollback(of=of), works if healthy else failing("health"))
    assert life.states["undo drain"] == undone


def test_without_a_health_check_a_version_that_was_put_back_is_healthy_enough_to_undo():
    of = target(before=(hook("drain", undo=True, undo_when_healthy=True),), health=None)
    assert live(rollback(of=of)).states["undo drain"] == "done"
    assert live(rollback(of=of), failing("roll-back")).states["undo drain"] == "skipped"


# --- waiting


def test_a_wait_runs_on_at_its_end_and_not_before():
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE)
    assert next_move(waiting, NOW + 59) == WaitUntil(NOW + MINUTE)
    assert live(waiting).times[0] >= NOW + MINUTE
    assert live(waiting).outcome == "recovered"
    assert live(replace(waiting, needs_approval=True)).outcome == "expired"


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("vetoed", "vetoed"), ("fault_over", "not_needed"), ("target_changed", "superseded"),
        ("abort_asked", "aborted"), ("close_asked", "needs_a_person"),
    ],
)  # fmt: skip
def test_a_wait_that_is_ended_touches_nothing(kind, outcome):
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE, needs_approval=True)
    life = live(waiting, works, lambda _value, turn: EventKind(kind) if turn == 0 else None)
    assert (life.effects, life.outcome) == ([], outcome)


def test_an_approval_ends_the_wait_at_once_and_only_a_fresh_judgement_goes_on():
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE, needs_approval=True)
    approved = apply(waiting, event("approved"))
    assert next_move(approved, NOW) == JudgeAgain()
    life = live(approved)
    assert (life.outcome, life.times[0], life.rollback.waited_until) == ("recovered", NOW, NOW)
    assert live(apply(approved, event("fault_over"))).effects == []


def test_a_countdown_may_be_approved_before_its_end():
    countdown = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE)
    assert next_move(apply(countdown, event("approved")), NOW) == JudgeAgain()


def test_an_approval_or_veto_that_comes_too_late_is_refused():
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE, needs_approval=True)
    refused(waiting, event("approved", at=NOW + MINUTE))
    approved = apply(waiting, event("approved"))
    refused(approved, event("approved"))
    for ended in ("vetoed", "fault_over", "target_changed", "abort_asked", "close_asked"):
        for late in ("approved", "vetoed", "wait_ended"):
            refused(apply(waiting, event(ended)), event(late))
    for late in ("approved", "vetoed"):
        refused(apply(approved, event("wait_ended")), event(late))


def test_a_veto_counts_until_the_rollback_is_begun_also_after_an_approval():
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE, needs_approval=True)
    life = live(apply(apply(waiting, event("approved")), event("vetoed")))
    assert (life.outcome, life.effects) == ("vetoed", [])


def test_an_approval_that_crosses_the_end_of_its_time_never_skips_the_fresh_judgement():
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE, needs_approval=True)
    noted = next_move(waiting, NOW + MINUTE).event
    refused(apply(waiting, event("approved")), noted)


@pytest.mark.parametrize("outcome", [Outcome.ABORTED, Outcome.NEEDS_A_PERSON])
def test_a_wait_that_a_person_aborts_or_closes_disarms(outcome):
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE)
    kind = EventKind.ABORT_ASKED if outcome is Outcome.ABORTED else EventKind.CLOSE_ASKED
    ended = live(waiting, works, lambda _value, turn: kind if turn == 0 else None).rollback
    assert (ended.outcome, arming(state(), ended).armed) == (outcome, False)


# --- a crash at every point


@pytest.mark.parametrize("name", ALL)
def test_a_crash_in_any_step_is_survived_with_traffic_restored(name):
    life = live(rollback(), crashing(name))
    assert life.states["undo drain"] == "done"
    if name == "drain":
        assert (life.effects, life.states["drain"]) == (["drain", "undo drain"], "interrupted")
        assert life.outcome == "interrupted"
        return
    assert life.outcome == "recovered"  # after hooks may fail here, everything else is done again or looked up
    again = {"clear-cache": 1}.get(name, 2)
    assert (life.effects + life.looks).count(name) == again
    assert life.effects.count("roll-back") == 1
    assert life.looks == (["roll-back"] if name == "roll-back" else [])


@pytest.mark.parametrize("on_failure", [STOP, CONTINUE])
def test_a_crash_in_a_hook_before_roll_back_is_no_verdict(on_failure):
    """Whatever a failure of the hook would mean: it is undone, and neither its version nor its target is blamed."""
    of = target(before=(hook("drain", undo=True, on_failure=on_failure),))
    life = live(rollback(of=of), crashing("drain"))
    assert (life.effects, life.outcome) == (["drain", "undo drain"], "interrupted")
    assert arming(state(), life.rollback).armed
    assert marks(serving(), life.rollback) == serving()
    handled, _ = changed_by(replace(life.rollback, phase=Phase.RUNNING, outcome=None), life.rollback)
    assert not handled


@pytest.mark.parametrize(
    ("trigger", "follows"),
    [(Trigger.ALERT, "If the alert still holds, it is judged anew."),
     (Trigger.MANUAL, "It is not tried again by itself: ask for it again.")],
)  # fmt: skip
def test_an_interrupted_rollback_says_what_it_left_and_what_follows(trigger, follows):
    detail = live(rollback(trigger=trigger), crashing("drain")).rollback.detail
    assert detail.startswith("drain: The controller stopped before the result of this step was known.")
    assert "v2 was not changed, and what was begun is undone." in detail
    assert detail.endswith(follows)


def test_what_an_older_version_left_as_interrupted_before_roll_back_ends_as_interrupted_too():
    of = target(before=(hook("drain", undo=True, on_failure=STOP),))
    crashed = live_until_crash(rollback(of=of), "drain")
    life = live(apply(crashed, event("step_interrupted", seq=0)))
    assert (life.effects, life.outcome) == (["undo drain"], "interrupted")


def test_an_abort_before_a_crash_stays_the_outcome():
    crashed = live_until_crash(rollback(), "drain")
    life = live(apply(crashed, event("abort_asked")))
    assert (life.effects, life.outcome) == (["undo drain"], "aborted")


@pytest.mark.parametrize(("trigger", "counted"), [(Trigger.ALERT, 3), (Trigger.MANUAL, 2)])
def test_only_automatic_rollbacks_that_were_interrupted_are_counted_for_the_version(trigger, counted):
    ended = live(rollback(trigger=trigger), crashing("drain")).rollback
    before = replace(ended, phase=Phase.RUNNING, outcome=None, closed_at=None)
    known = release("v2", interrupted=2, interrupted_at=NOW - MINUTE)
    for change in consequences(before, ended).changes:
        known = change.change(known) if isinstance(change, ReleaseChange) else known
    assert known.interrupted == counted
    assert (known.suspect_at, known.bad_at) == (None, None)


def test_a_hook_that_may_be_redone_is():
    of = target(before=(hook("drain", undo=True, after_crash=AfterCrash.REDO),))
    life = live(rollback(of=of), crashing("drain"))
    assert (life.effects.count("drain"), life.outcome) == (2, "recovered")


def test_no_hook_is_begun_again_after_an_abort_was_committed():
    of = target(before=(hook("drain", undo=True, after_crash=AfterCrash.REDO),))
    value = apply(live_until_crash(rollback(of=of), "drain"), event("step_interrupted", seq=0))
    refused(apply(value, event("abort_asked")), event("step_started", seq=0))


def test_an_abort_after_a_crash_in_roll_back_only_looks():
    crashed = live_until_crash(rollback(), "roll-back")
    aborted = apply(crashed, event("abort_asked"))
    move = next_move(apply(aborted, event("step_interrupted", seq=1)), NOW)
    assert isinstance(move, RunStep)
    assert (move.look_first, move.may_act) == (True, False)
    life = live(aborted)
    assert (life.effects, life.looks, life.outcome) == (["undo drain"], ["roll-back"], "aborted")


def live_until_crash(of: Rollback, name: str) -> Rollback:
    while True:
        move = next_move(of, NOW)
        assert isinstance(move, RunStep)
        of = apply(of, event("step_started", seq=move.step.seq))
        if move.step.name == name:
            return of
        of = apply(of, event("step_done", seq=move.step.seq))


def test_a_step_found_started_by_a_new_process_is_first_noted_as_interrupted():
    for name in ALL[:2]:
        crashed = live_until_crash(rollback(), name)
        move = next_move(crashed, NOW)
        assert isinstance(move, Note)
        assert move.event.kind is EventKind.STEP_INTERRUPTED


# --- a person at every point

RICH = target(
    before=(hook("save"), hook("drain", undo=True), hook("pause", undo=True, on_failure=STOP)),
    after=(hook("clear", before_restore=True), hook("tell", on_failure=STOP)),
)
MANY = 40  # more turns than a life without failures has


def turns_of(of: Rollback) -> int:
    seen = []
    live(of, works, lambda _value, turn: seen.append(turn))
    assert len(seen) < MANY
    return len(seen)


@pytest.mark.parametrize("when", range(turns_of(rollback(of=RICH))))
def test_an_abort_at_any_point_undoes_what_was_begun_and_begins_nothing_else(when):
    life = live(rollback(of=RICH), works, lambda _value, turn: EventKind.ABORT_ASKED if turn == when else None)
    after = life.effects[life.asked_at :]
    assert all(name.startswith("undo") for name in after), after
    assert_undone(life)
    ended = life.rollback.steps[-1].state
    assert life.outcome == "aborted" or (life.outcome == "recovered" and ended is DONE)


@pytest.mark.parametrize("when", range(turns_of(rollback(of=RICH))))
def test_a_close_at_any_point_begins_nothing_more(when):
    life = live(rollback(of=RICH), works, lambda _value, turn: EventKind.CLOSE_ASKED if turn == when else None)
    assert life.effects[life.asked_at :] == []
    assert life.outcome in ("needs_a_person", "recovered")


def assert_undone(life: Life) -> None:
    steps = life.rollback.steps
    for step in steps:
        if step.kind is StepKind.UNDO_HOOK and step.undoes is not None and steps[step.undoes].attempt:
            assert step.state is DONE, step


# --- any life at all

HOOKS = st.builds(
    lambda name, undo, on_failure, after_crash: hook(name, undo=undo, on_failure=on_failure, after_crash=after_crash),
    st.sampled_from("abcdef"),
    st.booleans(),
    st.sampled_from([CONTINUE, STOP]),
    st.sampled_from([AfterCrash.REDO, AfterCrash.NEVER_REDO]),
)
TARGETS = st.builds(
    lambda before, after, clearing, health: target(
        before=tuple(before),
        after=tuple(replace(each, undo=None, before_restore=clearing) for each in after),
        health=target().health if health else None,
    ),
    st.lists(HOOKS, max_size=3, unique_by=lambda each: each.name),
    st.lists(HOOKS, max_size=2, unique_by=lambda each: each.name),
    st.booleans(),
    st.booleans(),
)
ANSWERS = st.lists(st.sampled_from(["done", "done", "failed", "crash"]), max_size=40)
PEOPLE = st.dictionaries(st.integers(0, 30), st.sampled_from(["abort_asked", "target_changed"]), max_size=2)


def told(answers: list[str]) -> Answer:
    left = iter(answers)
    return lambda _step: next(left, "done")


def meddling(people: dict[int, str]) -> Meddler:
    return lambda _value, turn: EventKind(people[turn]) if turn in people else None


@given(TARGETS, st.booleans(), ANSWERS, PEOPLE)
def test_whatever_happens_it_closes_with_everything_undone_and_roll_back_asked_for_once(of, by_alert, said, people):
    conditions = (condition(),) if by_alert else ()
    life = live(rollback(of=of, conditions=conditions), told(said), meddling(people))
    assert_undone(life)
    assert life.effects.count("roll-back") <= 1
    assert_true(life, has_proof=by_alert)


def assert_true(life: Life, *, has_proof: bool) -> None:
    """The outcome says what happened."""
    value = life.rollback
    roll_back = value.step_of(StepKind.ROLL_BACK)
    health = value.step_of(StepKind.VERIFY_HEALTH)
    if life.outcome in ("recovered", "completed", "not_recovered"):
        assert roll_back.state is DONE
        assert health is None or health.state is DONE
    assert has_proof or life.outcome not in ("recovered", "not_recovered")
    if life.outcome == "recovered":
        assert value.step_of(StepKind.VERIFY_RECOVERY).state is DONE
    if any(step.kind is StepKind.AFTER_HOOK and step.attempt for step in value.steps):
        assert roll_back.state is DONE
    crashed = {step.kind for step in value.steps if step.state is StepState.INTERRUPTED}
    assert crashed <= {StepKind.BEFORE_HOOK}
    assert not crashed or value.stopping is not None
    if life.outcome == "interrupted":
        assert roll_back.attempt == 0
        assert crashed
    assert all(step.state in (DONE, FAILED, SKIPPED, StepState.INTERRUPTED) for step in value.steps)


WORDS_OF_PEOPLE = st.sampled_from(["approved", "vetoed", "abort_asked", "close_asked"])


@given(TARGETS, st.booleans(), st.dictionaries(st.integers(0, 6), WORDS_OF_PEOPLE, max_size=3))
def test_a_wait_is_over_only_by_time_or_approval_and_what_was_vetoed_is_never_begun(of, needs_approval, people):
    waiting = rollback(of=of, phase=Phase.WAITING, wait_until=NOW + MINUTE, needs_approval=needs_approval)
    life = live(waiting, works, meddling(people))
    begun_early = bool(life.times) and life.times[0] < NOW + MINUTE
    assert life.rollback.approved or not begun_early
    assert life.rollback.approved or not (needs_approval and life.times)
    assert life.rollback.waited_until is not None or not life.times
    if life.outcome in ("vetoed", "expired"):
        assert life.times == []


@given(TARGETS, ANSWERS, st.integers(0, 30))
def test_a_close_is_obeyed_at_any_point_of_any_life(of, said, when):
    life = live(rollback(of=of), told(said), meddling({when: "close_asked"}))
    if life.asked_at is not None:
        assert life.effects[life.asked_at :] == []


@given(TARGETS, ANSWERS, PEOPLE, st.lists(st.tuples(st.sampled_from(EventKind), st.integers(0, 12)), max_size=8))
def test_a_refused_event_changes_nothing_and_a_closed_rollback_takes_none(of, said, people, tried):
    value = live(rollback(of=of), told(said), meddling(people)).rollback
    for kind, seq in tried:
        refused(value, event(kind.value, seq=seq))


# --- what it leaves behind


def left_by(outcome: str | None, *, tried: bool = True, **fields) -> Rollback:
    value = rollback(**fields)
    if tried:
        value = with_step(with_step(value, 0, state=DONE, attempt=1), 1, state=DONE, attempt=1, started_at=NOW)
    if outcome is None:
        return value
    return replace(value, phase=Phase.CLOSED, outcome=Outcome(outcome), closed_at=NOW + 9)


def test_the_version_that_is_left_is_suspect_from_the_intent_on():
    assert marks(serving(), left_by(None)).suspect_at == NOW
    assert marks(serving(), left_by(None, tried=False)) == serving()


MARKS = {"recovered": (NOW, NOW + 9), "not_recovered": (None, None), "interrupted": (None, None)}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_recovery_makes_it_bad_and_only_its_absence_clears_it(outcome):
    suspect = marks(serving(), left_by(None))
    after = marks(suspect, left_by(outcome.value))
    assert (after.suspect_at, after.bad_at) == MARKS.get(outcome.value, (NOW, None))
    assert marks(serving(), left_by(outcome.value, tried=False)) == serving()


@pytest.mark.parametrize(
    "outcome", sorted(set(Outcome) - {Outcome.RECOVERED, Outcome.NOT_RECOVERED, Outcome.INTERRUPTED})
)
def test_a_mark_that_a_person_cleared_meanwhile_stays_cleared(outcome):
    assert marks(serving(), left_by(outcome.value)) == serving()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_started_rollback_that_did_not_help_disarms(outcome):
    after = arming(state(), left_by(outcome.value))
    no_verdict = outcome.value in ("recovered", "interrupted")
    assert after.armed is no_verdict
    if no_verdict:
        assert after == state()
        return
    assert (after.armed_changed_at, after.disarmed_until, after.disarmed_by) == (NOW + 9, None, outcome)
    assert "r1" in after.armed_reason
    assert outcome.value in after.armed_reason


def test_completed_leaves_the_target_armed_where_nothing_was_firing_that_could_have_been_over():
    by_hand = live(rollback(conditions=())).rollback
    assert by_hand.outcome is Outcome.COMPLETED
    assert arming(state(), by_hand) == state()


def test_a_rollback_by_hand_that_failed_disarms_also_where_there_was_nothing_to_prove():
    of = target(before=(hook("drain", undo=True, on_failure=STOP),))
    failed = live(rollback(of=of, conditions=()), failing("drain")).rollback
    assert failed.outcome is Outcome.FAILED
    assert arming(state(), failed).armed is False


@pytest.mark.parametrize("tried", [True, False])
def test_a_rollback_that_is_still_open_disarms_nothing(tried):
    assert arming(state(), left_by(None, tried=tried)) == state()


@pytest.mark.parametrize("outcome", ["vetoed", "expired", "superseded", "not_needed", "failed"])
def test_a_rollback_of_which_no_step_started_disarms_nothing(outcome):
    assert arming(state(), left_by(outcome, tried=False)) == state()


def test_an_attempt_that_failed_at_its_first_hook_disarms_instead_of_being_made_again_at_every_poll():
    of = target(before=(hook("drain", undo=True, on_failure=STOP),))
    assert arming(state(), live(rollback(of=of), failing("drain")).rollback).armed is False


def changed_by(before: Rollback, after: Rollback) -> tuple[bool, list[tuple[str, ...]]]:
    """Whether the version counts as handled then, and whose record changes: a version's or the target's."""
    follows = consequences(before, after)
    whose = []
    for follow in follows.changes:
        match follow:
            case ReleaseChange(target=name, version=version):
                whose.append((name, version))
            case TargetChange(target=name):
                whose.append((name,))
    return follows.handled, whose


@pytest.mark.parametrize(("trigger", "handled"), [(Trigger.ALERT, True), (Trigger.MANUAL, False)])
def test_the_first_intent_to_leave_a_version_marks_it_and_an_automatic_one_uses_it_up(trigger, handled):
    waits, leaves = left_by(None, tried=False, trigger=trigger), left_by(None, trigger=trigger)
    assert changed_by(waits, leaves) == (handled, [(leaves.target, leaves.from_version)])


def test_another_attempt_at_the_same_step_changes_nothing_more():
    leaves = left_by(None)
    assert changed_by(leaves, with_step(leaves, 1, attempt=2)) == (False, [])


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_close_settles_the_mark_and_the_arming_once(outcome):
    leaves, closed = left_by(None), left_by(outcome.value)
    marked = [(leaves.target, leaves.from_version)]
    counted = marked if outcome.value == "interrupted" else []
    assert changed_by(leaves, closed) == (False, [*marked, *counted, (leaves.target,)])
    assert changed_by(closed, closed) == (False, [])


def test_a_version_that_is_not_remembered_is_not_marked():
    follows = consequences(left_by(None, tried=False), left_by(None))
    assert [follow.change(None) for follow in follows.changes] == [None]
