"""The runner goes on: after a fault, after another leader, and without asking the world more often than it should."""

from collections import Counter

from real.controller.decision_scene import ACTIVATE, BEFORE, RESTORE
from real.controller.decision_world import EFFECT, POLL
from real.controller.journal_kit import beside
from rearguard_controller.intake.by_hand import ManualRequest
from rearguard_controller.model import Mode, Outcome, StepKind, StepState

ASIDE_FOR = 30.0  # seconds, by the controller's documents of what a fault of its own leads to


def asked(it):
    """Counts what Prometheus is asked from now on."""
    counts, inner = Counter(), it.world.prometheus._shaped

    async def shaped(method, url, path, *more):
        counts[path.partition("?")[0].rpartition("/")[2]] += 1
        return await inner(method, url, path, *more)

    it.world.prometheus._shaped = shaped
    return counts


def proving(it):
    """Let time pass until the proof of recovery has just begun."""
    rollback = it.controller.open()
    while it.controller.rollback(rollback.id).step_of(StepKind.VERIFY_RECOVERY).state is not StepState.STARTED:
        it.controller.run_for(EFFECT / 10)


def test_a_rollback_that_a_fault_of_ours_stopped_is_taken_up_again_after_a_while_and_not_at_once(scene):
    it = scene().fail()
    rollback = it.controller.open()
    faults = [RuntimeError("a fault of ours")]

    def stored(after, _event):
        if faults and after.step_of(StepKind.ROLL_BACK).state is StepState.STARTED:
            raise faults.pop()

    it.controller.stored = stored
    it.controller.run_for(EFFECT + ASIDE_FOR - 2.0)
    assert it.controller.rollback(rollback.id).step_of(StepKind.ROLL_BACK).state is StepState.STARTED
    assert it.acted == [BEFORE]
    assert it.close().outcome is Outcome.RECOVERED
    assert it.acted.count(ACTIVATE) == 1


def test_a_rollback_that_was_left_to_another_leader_is_taken_up_at_once_by_who_leads_again(scene):
    it = scene().fail()
    rollback = it.controller.open()
    it.controller.fence.epoch = None
    it.controller.run_for(2 * EFFECT)
    assert it.controller.rollback(rollback.id).step_of(StepKind.ROLL_BACK).state is StepState.PLANNED
    it.controller.fence.epoch = it.controller.do(it.controller.file.take_lease("again", 15.0))
    it.controller.run_for(3 * EFFECT)
    assert it.controller.rollback(rollback.id).step_of(StepKind.UNDO_HOOK).attempt == 1  # its hook was cut off


def test_one_reading_of_another_version_during_the_proof_is_not_somebody_elses_deployment(scene):
    """An instance that was just going may still answer; two readings in a row must say the same."""
    it = scene().fail()
    proving(it)
    it.controller.run_for(POLL - 0.4)
    it.world.turn_to("v3")
    it.controller.run_for(0.6)
    it.world.turn_to("v1")
    assert it.close().outcome is Outcome.RECOVERED


def test_a_version_that_somebody_deploys_during_the_proof_supersedes_it(scene):
    it = scene().fail()
    proving(it)
    it.controller.run_for(POLL - 0.4)
    it.world.turn_to("v3")
    closed = it.close()
    assert closed.outcome is Outcome.SUPERSEDED
    assert "v3 serves" in closed.detail
    assert RESTORE in it.acted


def test_an_approved_rollback_that_is_not_right_now_is_judged_again_every_second_and_not_more_often(scene):
    it = scene(mode=Mode.ASK).fail()
    it.world.fires = False
    it.controller.say("approve", it.controller.open().id)
    counts = asked(it)
    it.controller.run_for(5.0)
    assert it.controller.open() is not None
    assert 5 <= counts["alerts"] <= 7


def test_a_fault_that_is_over_at_the_very_end_of_its_time_is_looked_at_once_more(scene):
    """It is over when two looks in a row say so; the second one may lie beyond the end."""
    it = scene().fail()
    proving(it)
    it.world.outage = True
    it.world.settle()
    it.controller.run_for(it.within - 3.0)  # the command ended three effects before the proof began
    it.world.outage = it.world.fires = False
    it.world.settle()
    assert it.close().outcome is Outcome.RECOVERED


def test_an_alert_that_prometheus_still_lists_as_firing_is_never_called_recovered_whatever_its_figure_says(scene):
    it = scene().fail()
    proving(it)
    it.world.fires = True  # its figure is over: nothing is left but Prometheus' own word
    closed = it.close()
    assert closed.outcome is Outcome.NOT_RECOVERED
    assert "ReleaseErrorRate still fires in Prometheus" in closed.detail


def test_an_alert_that_ends_before_the_time_is_up_delays_the_proof_and_does_not_spoil_it(scene):
    it = scene().fail()
    proving(it)
    it.world.fires = True
    it.controller.run_for(it.within / 2)
    assert it.controller.open() is not None
    it.world.fires = False
    assert it.close().outcome is Outcome.RECOVERED


def test_a_fault_that_lasts_is_not_recovered(scene):
    it = scene().fail()
    proving(it)
    it.world.outage = True
    it.world.settle()
    assert it.close().outcome is Outcome.NOT_RECOVERED


def by_hand(it):
    request = ManualRequest(it.controller.target.name, "it is bad", "ann", to_version="v1")
    return it.close(it.controller.do(it.controller.people.trigger(request)).rollback)


def told(it):
    return [event for event, *_ in it.controller.said if event in ("decided", "started", "finished")]


def test_a_rollback_by_hand_is_told_of_at_its_decision_its_start_and_its_end_once_each(scene):
    it = scene(mode=Mode.OBSERVE).fail()
    it.controller.said.clear()  # the alert was judged, too
    it.world.fires = False
    assert by_hand(it).outcome is Outcome.RECOVERED
    assert told(it) == ["decided", "started", "finished"]


def test_a_rollback_by_hand_that_ends_before_its_first_step_is_told_of_all_the_same(scene):
    it = scene(mode=Mode.OBSERVE).fail()
    it.controller.said.clear()
    it.world.fires = False
    it.controller.opened = lambda _rollback: it.world.turn_to("v3")
    assert by_hand(it).outcome is Outcome.SUPERSEDED
    assert told(it) == ["decided", "finished"]


def test_a_rollback_by_hand_whose_decision_is_damaged_goes_on_to_its_end(scene):
    it = scene(mode=Mode.OBSERVE).fail()
    it.controller.said.clear()
    it.world.fires = False

    def damage(_rollback):
        with beside(it.controller.path) as connection:
            connection.execute("update decisions set body = 'null'")

    it.controller.opened = damage
    assert by_hand(it).outcome is Outcome.RECOVERED
    assert told(it) == ["started", "finished"]  # there is no decision to tell of any more


def test_nothing_is_kept_of_a_rollback_that_is_closed(scene):
    it = scene().fail()
    runner = it.controller.runner
    assert (len(runner._driven), len(runner._nudges)) == (1, 1)
    it.close()
    assert (len(runner._driven), len(runner._nudges)) == (0, 0)
