"""Guards before an act: whatever happened since a rollback was opened is looked at before anything is changed.

Each guard of a step has a test here that fails without it. The controller is the product, its world is simulated: see
decision_scene.py.
"""

import asyncio

import pytest

from real.controller.decision_scene import ACTIVATE, BEFORE, REQUEST, RESTORE
from real.controller.decision_world import EFFECT
from rearguard_controller.model import Mode, Outcome, StepKind, StepState
from rearguard_controller.rollback import EventKind


def state(rollback, kind):
    return rollback.step_of(kind).state


# --- what serves is read before the first step and before roll_back


def test_nothing_in_the_way_lets_a_rollback_through(scene):
    it = scene().fail()
    assert it.close().outcome is Outcome.RECOVERED
    assert it.acted == [BEFORE, ACTIVATE, REQUEST, RESTORE, REQUEST]  # the first request asks for health
    assert it.world.serving == "v1"


def test_a_version_deployed_before_the_first_step_is_left_alone_and_nothing_is_begun(scene):
    it = scene(mode=Mode.ASK).fail()

    async def deploy(_rollback_id):
        it.world.turn_to("v3")

    it.before[EventKind.WAIT_ENDED] = deploy  # the last judgement has read v2; the first step is not begun yet
    it.controller.say("approve", it.controller.open().id)
    closed = it.close()
    assert closed.outcome is Outcome.SUPERSEDED
    assert it.acted == []
    assert it.world.serving == "v3"
    assert all(step.attempt == 0 for step in closed.steps)


def test_a_version_deployed_while_hooks_run_is_not_rolled_over_and_traffic_comes_back(scene):
    it = scene().fail()
    it.controller.run_for(EFFECT / 2)  # the hook runs
    it.world.turn_to("v3")
    closed = it.close()
    assert closed.outcome is Outcome.SUPERSEDED
    assert it.acted == [BEFORE, RESTORE]
    assert (it.world.serving, it.world.drained) == ("v3", False)


def test_the_old_version_that_somebody_put_back_by_hand_while_hooks_run_is_not_activated_again(scene):
    it = scene().fail()
    it.controller.run_for(EFFECT / 2)
    it.world.turn_to("v1")
    assert it.close().outcome is Outcome.SUPERSEDED
    assert it.acted == [BEFORE, RESTORE]


def test_a_version_that_cannot_be_read_before_roll_back_stops_it_and_traffic_comes_back(scene):
    it = scene().fail()
    it.controller.run_for(EFFECT / 2)
    it.world.unreadable = True
    closed = it.close()
    assert closed.outcome is Outcome.FAILED
    assert state(closed, StepKind.ROLL_BACK) is StepState.SKIPPED
    assert "not known" in closed.detail
    assert it.acted == [BEFORE, RESTORE]


def test_a_version_that_cannot_be_read_before_the_first_hook_does_not_stop_it_yet(scene):
    it = scene(mode=Mode.ASK).fail()

    async def unreadable(_rollback_id):
        it.world.unreadable = True

    async def readable(_rollback_id):
        it.world.unreadable = False

    it.before = {EventKind.WAIT_ENDED: unreadable, (EventKind.STEP_STARTED, "drain"): readable}
    it.controller.say("approve", it.controller.open().id)
    assert it.close().outcome is Outcome.RECOVERED


def test_a_reading_that_fails_once_is_tried_again_before_it_counts(scene):
    it = scene().fail()
    it.controller.run_for(EFFECT / 2)
    it.world.unreadable = True
    it.controller.run_for(EFFECT)  # the first look before roll_back has failed
    it.world.unreadable = False
    assert it.close().outcome is Outcome.RECOVERED


# --- the destination is put to the target's own check once more


def test_a_destination_that_the_targets_check_refuses_before_the_first_step_is_not_gone_to(scene):
    it = scene(check=True, mode=Mode.ASK).fail()

    async def refuse(_rollback_id):
        it.world.refuses = True

    it.before[EventKind.WAIT_ENDED] = refuse
    it.controller.say("approve", it.controller.open().id)
    closed = it.close()
    assert closed.outcome is Outcome.FAILED
    assert "v1 cannot be activated" in closed.detail
    assert it.acted == []
    assert all(step.attempt == 0 for step in closed.steps)


def test_the_targets_check_is_asked_before_the_first_step_and_not_in_the_middle(scene):
    it = scene(check=True).fail()
    it.controller.run_for(EFFECT / 2)
    it.world.refuses = True
    assert it.close().outcome is Outcome.RECOVERED


# --- people


@pytest.mark.parametrize(("word", "outcome"), [("abort", Outcome.ABORTED), ("close", Outcome.NEEDS_A_PERSON)])
def test_a_word_right_before_the_intent_of_roll_back_stops_it(scene, word, outcome):
    it = scene().fail()
    it.before[EventKind.STEP_STARTED, "roll-back"] = it.now(word)
    assert it.close().outcome is outcome
    assert ACTIVATE not in it.acted
    assert it.world.serving == "v2"


def test_an_abort_right_before_a_step_that_a_crash_cut_off_is_begun_again_lets_it_only_look(scene):
    """Between the question what comes next and the intent: the intent is committed, the act must not follow."""
    it = scene().fail()
    it.controller.run_for(1.5 * EFFECT)  # roll_back is under way
    it.world.luck = "stopped before"
    it.before[EventKind.STEP_STARTED, "roll-back"] = it.now("abort")
    closed = it.close()
    assert closed.outcome is Outcome.ABORTED
    assert it.acted == [BEFORE, RESTORE]
    assert it.world.serving == "v2"
    assert "still serves" in closed.step_of(StepKind.ROLL_BACK).detail


def test_a_step_that_a_crash_cut_off_is_done_again_where_nobody_ended_the_attempt(scene):
    it = scene().fail()
    it.controller.run_for(1.5 * EFFECT)
    it.world.luck = "stopped before"
    assert it.close().outcome is Outcome.RECOVERED
    assert it.acted == [BEFORE, ACTIVATE, REQUEST, RESTORE, REQUEST]


def test_an_undo_is_done_after_an_abort_right_before_its_intent(scene):
    it = scene().fail()
    it.before[EventKind.STEP_STARTED, "undo drain"] = it.now("abort")
    assert it.close().outcome is Outcome.ABORTED
    assert it.acted == [BEFORE, ACTIVATE, REQUEST, RESTORE]


def test_a_rollback_that_is_closed_while_a_command_runs_does_not_wait_for_it(scene):
    it = scene().fail()
    rollback = it.controller.open()
    it.controller.run_for(1.2 * EFFECT)
    it.controller.say("close", rollback.id)
    it.controller.run_for(EFFECT / 4)
    assert it.controller.rollback(rollback.id).outcome is Outcome.NEEDS_A_PERSON
    it.controller.run_for(5 * EFFECT)
    assert it.acted == [BEFORE]


def test_an_abort_lets_a_command_finish_and_stops_a_proof(scene):
    it = scene().fail()
    rollback = it.controller.open()
    it.controller.run_for(1.2 * EFFECT)
    it.controller.say("abort", rollback.id)  # while roll_back is under way
    closed = it.close()
    assert closed.outcome is Outcome.ABORTED
    assert it.acted == [BEFORE, ACTIVATE, RESTORE]


def test_an_abort_does_not_wait_for_the_proof_of_recovery(scene):
    it = scene().fail()
    rollback = it.controller.open()
    it.controller.run_for(6 * EFFECT)
    assert state(it.controller.rollback(rollback.id), StepKind.VERIFY_RECOVERY) is StepState.STARTED
    it.controller.say("abort", rollback.id)
    it.controller.run_for(EFFECT / 4)
    assert it.controller.rollback(rollback.id).outcome is Outcome.ABORTED


# --- leading


def test_an_intent_that_took_long_is_followed_by_nothing_before_the_lead_is_proved(scene):
    it, proofs = scene().fail(), []
    it.controller.proves = lambda: proofs.append(list(it.acted))

    async def slow(_rollback_id):
        await asyncio.sleep(3 * EFFECT)

    it.before[EventKind.STEP_STARTED, "roll-back"] = slow
    it.controller.run_for(2 * EFFECT)
    assert proofs == []  # of the hook, whose intent took no time
    assert it.close().outcome is Outcome.RECOVERED
    assert proofs == [[BEFORE]]  # once, before it was activated


def test_a_controller_that_lost_the_lead_meanwhile_does_not_act(scene):
    it = scene().fail()
    rollback = it.controller.open()

    async def slow(_rollback_id):
        await asyncio.sleep(3 * EFFECT)

    def lost():
        it.controller.fence.epoch = None

    it.before[EventKind.STEP_STARTED, "roll-back"] = slow
    it.controller.proves = lost
    it.controller.run_for(20 * EFFECT)
    assert it.acted == [BEFORE]
    assert it.controller.rollback(rollback.id).outcome is None


# --- what waits


@pytest.mark.parametrize("fields", [{"mode": Mode.ASK}, {"veto": 60.0}])
def test_a_rollback_that_waits_begins_nothing(scene, fields):
    it = scene(**fields).fail()
    it.controller.run_for(30.0)
    assert it.controller.open().phase.value == "waiting"
    assert it.acted == []


def test_a_countdown_that_is_over_is_judged_once_more(scene):
    it = scene(veto=30.0).fail()
    it.controller.run_for(28.0)
    it.world.bad.clear()
    it.world.settle()
    it.world.fires = False
    assert it.close().outcome is Outcome.NOT_NEEDED
    assert it.acted == []
