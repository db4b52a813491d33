"""What is taken in, from deliveries and from people: whose it is, what is left aside, what is a repetition."""

from dataclasses import replace

import pytest

from real.controller.decision_scene import Scene
from rearguard_controller.errors import ConflictError, InvalidInputError
from rearguard_controller.intake.by_hand import ManualRequest
from rearguard_controller.model import DRILL_LABEL, Mode, Phase, ReasonCode, Verdict
from unit.controller import factories as make

OF_NOBODY = {"service_name": "search"}


def decisions(it):
    return it.controller.do(it.controller.file.decisions()).items


def blocking(decision):
    return [each.code for each in decision.reasons if each.blocks]


# --- deliveries


def test_a_drills_alert_is_neither_judged_nor_told_of_whatever_else_speaks_for_a_rollback(scene):
    it = scene(mode=Mode.OBSERVE).fail()
    told, decided = len(it.controller.said), len(decisions(it))
    it.world.turn_to("v3")  # the same alert about another version would be a new judgement
    it.controller.deliver(make.alert(**{DRILL_LABEL: "x1"}))
    assert (len(it.controller.said), len(decisions(it))) == (told, decided)
    it.controller.deliver(make.alert())
    assert len(decisions(it)) == decided + 1


def test_an_alert_that_may_roll_back_but_belongs_to_no_target_is_recorded_once(scene):
    it = scene(mode=Mode.OBSERVE)
    for _ in range(2):
        it.controller.deliver(make.alert(**OF_NOBODY))
    (decision,) = decisions(it)
    assert (decision.target, decision.verdict, blocking(decision)) == ("", Verdict.LEAVE, [ReasonCode.TARGET_KNOWN])


@pytest.mark.parametrize("labels", [{"action": "page"}, {"action": "page", **OF_NOBODY}])
def test_an_alert_that_is_no_trigger_is_told_of_and_not_judged(scene, labels):
    it = scene(mode=Mode.OBSERVE)
    it.controller.deliver(make.alert(**labels))
    assert [event for event, *_ in it.controller.said] == ["alerts"]
    assert decisions(it) == ()


def test_a_resolved_alert_is_not_judged(scene):
    it = scene(mode=Mode.OBSERVE)
    it.controller.deliver(replace(make.alert(), firing=False))
    assert decisions(it) == ()
    assert it.controller.do(it.controller.file.unjudged(10)) == ()


def test_deliveries_that_come_one_after_another_are_read_together(scene):
    it = scene(mode=Mode.OBSERVE)
    it.controller.run_for(5.0)
    before = it.controller.calls["unjudged"]
    for number in range(20):
        it.controller.do(it.controller.parts.intake.receive((make.alert(f"Alert{number}"),)))
        it.controller.run_for(0.01)
    it.controller.run_for(0.2)
    assert it.controller.do(it.controller.file.unjudged(10)) == ()
    assert it.controller.calls["unjudged"] - before <= 5  # ten times a second, and once when nothing waits


# --- two targets that an alert fits


def two(path):
    """A scene of two targets with the same labels, as green and blue of one service."""
    it = Scene(path, twin=True)
    for _ in range(6):
        it.controller.run_for(5.0)
        it.controller.poll()
    return it


def test_an_alert_that_fits_two_targets_goes_to_the_one_with_a_recent_release(tmp_path):
    it = two(tmp_path)
    it.world.turn_to("v2")  # both have this release
    it.controller.run_for(5.0)
    it.controller.poll()
    it.controller.deliver()
    (decision,) = decisions(it)
    assert blocking(decision) == [ReasonCode.TARGET_KNOWN]
    name = it.controller.target.name

    def quiet(state):
        return replace(state, is_release=False)

    it.controller.do(it.controller.file.change_target("twin", quiet))
    it.controller.deliver()
    assert decisions(it)[0].target == name
    it.controller.end()


# --- requests


def ask(it, **fields):
    request = ManualRequest(it.controller.target.name, "it is bad", "ann", **fields)
    return it.controller.do(it.controller.people.trigger(request))


def test_a_request_without_a_destination_that_finds_none_says_which_field_helps(scene):
    it = scene(mode=Mode.OBSERVE)
    it.controller.poll()
    with pytest.raises(InvalidInputError) as caught:
        ask(it)
    assert caught.value.field == "to_version"
    assert "force" in caught.value.hint


async def fulfil_elsewhere(it):
    """Another replica stores the rollback of the very same request."""
    there = make.rollback("r9", target=it.controller.target.name, from_version="v2", to_version="v1")
    decision = make.decision("d9", target=there.target, rollback_id=there.id)
    await it.controller.file.record(decision, replace(there, decision_id="d9"), idempotency_key="key")


def test_a_request_that_another_replica_fulfils_while_it_is_judged_gets_its_rollback_as_the_answer(scene):
    it = scene(mode=Mode.OBSERVE).fail()
    read = it.world.commands.read_version

    async def meanwhile(*words):
        it.world.commands.read_version = read
        await fulfil_elsewhere(it)
        return await read(*words)

    it.world.commands.read_version = meanwhile  # right after it was asked whether the key is known
    answer = ask(it, to_version="v1", idempotency_key="key")
    assert (answer.repeated, answer.rollback.id) == (True, "r9")


def test_a_request_that_another_replica_fulfils_right_before_it_is_stored_gets_its_rollback_as_the_answer(scene):
    it = scene(mode=Mode.OBSERVE).fail()

    async def meanwhile(_decision, rollback):
        if rollback is not None:
            await fulfil_elsewhere(it)

    it.controller.recording = meanwhile
    answer = ask(it, to_version="v1", idempotency_key="key")
    assert (answer.repeated, answer.rollback.id) == (True, "r9")
    assert len(it.controller.do(it.controller.file.rollbacks()).items) == 1


def test_a_request_while_another_rollback_is_open_is_refused_and_kept_for_the_audit(scene):
    it = scene(mode=Mode.ASK).fail()
    assert it.controller.open().phase is Phase.WAITING
    with pytest.raises(ConflictError) as caught:
        ask(it, to_version="v1", idempotency_key="another")
    assert "abort" in caught.value.hint
    (action,) = it.controller.do(it.controller.file.operator_actions(subject=it.controller.target.name))
    assert (action.operator, action.action) == ("ann", "trigger")
    assert "refused" in action.reason


@pytest.mark.parametrize("fields", [{"to_version": "v9"}, {"to_version": "v2"}])
def test_a_request_for_a_version_that_cannot_be_gone_to_changes_nothing(scene, fields):
    it = scene(mode=Mode.OBSERVE).fail()
    with pytest.raises(InvalidInputError):
        ask(it, **fields)
    assert it.controller.open() is None
