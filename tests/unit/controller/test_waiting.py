"""What follows from judging a rollback that waits, judgement by judgement."""

import pytest

from rearguard_controller.errors import DamagedError
from rearguard_controller.execution.waiting import UNKNOWN_FOR, WELL_FOR, Judge, Patience
from rearguard_controller.facts.gather import Gathered
from rearguard_controller.judgement.policy import Recheck
from rearguard_controller.model import Phase
from unit.controller.factories import DEPLOYED, HOUR, MINUTE, NOW, alert, decision, facts, rollback, target
from unit.controller.runtime_kit import runtime

SETTLE = 60.0
HOLDS, OVER, BARRED, CHANGED, UNKNOWN = Recheck
EVERY = 15.0  # seconds between two judgements


def waited(*rechecks: Recheck, settle: float = SETTLE, well_for: float = 0.0) -> list[str | None]:
    """What follows from each of these judgements while the wait lasts."""
    patience = Patience()
    found = [
        patience.follows(recheck, turn * EVERY, settle=settle, ended=False, well_for=well_for)
        for turn, recheck in enumerate(rechecks)
    ]
    return [None if kind is None else kind.value for kind in found]


def asked_at_the_end(patience: Patience, *rechecks: Recheck, every: float = EVERY) -> list[str | None]:
    """What follows from each of these judgements after the end of the wait, the first at 1000."""
    found = [
        patience.follows(recheck, 1000.0 + turn * every, settle=SETTLE, ended=True)
        for turn, recheck in enumerate(rechecks)
    ]
    return [None if kind is None else kind.value for kind in found]


def test_a_fault_counts_as_over_only_after_its_settle_time_without_a_break():
    assert waited(*[OVER] * 5) == [None, None, None, None, "fault_over"]


def test_a_fault_with_a_short_settle_time_counts_as_over_after_five_minutes_without_a_break():
    assert waited(*[OVER] * 21, settle=20.0, well_for=WELL_FOR) == [*[None] * 20, "fault_over"]


@pytest.mark.parametrize("between", [HOLDS, BARRED, UNKNOWN])
def test_a_crash_loop_is_not_over_between_two_crashes(between):
    assert set(waited(*[OVER, OVER, OVER, OVER, between] * 3)) == {None}


def test_a_service_that_is_up_for_40_seconds_and_down_for_90_never_cancels_its_wait_and_is_rolled_back_at_its_end():
    patience, recheck = Patience(), lambda at: OVER if at % 130 < 40 else HOLDS
    lasting = [patience.follows(recheck(at), at, settle=20.0, ended=False) for at in range(0, 3600, 15)]
    assert set(lasting) == {None}
    after = [patience.follows(recheck(at), at, settle=20.0, ended=True) for at in range(3640, 3690)]
    assert [None if kind is None else kind.value for kind in after[:41]] == [*[None] * 40, "wait_ended"]


def test_one_judgement_alone_never_ends_a_wait_early():
    assert waited(OVER, OVER, settle=0.0) == [None, "fault_over"]


def test_another_version_ends_a_wait_at_once_and_a_bar_only_at_its_end():
    assert waited(BARRED, BARRED, HOLDS, UNKNOWN, CHANGED) == [None, None, None, None, "target_changed"]


@pytest.mark.parametrize(
    ("recheck", "kind"), [(HOLDS, "wait_ended"), (BARRED, "fault_over"), (CHANGED, "target_changed")]
)
def test_at_the_end_of_a_wait_one_judgement_decides_unless_the_fault_seems_over(recheck, kind):
    assert asked_at_the_end(Patience(), recheck) == [kind]


def test_at_the_end_a_fault_that_seems_over_is_asked_again_and_begins_as_soon_as_it_holds():
    assert asked_at_the_end(Patience(), *[OVER] * 20, HOLDS) == [*[None] * 20, "wait_ended"]
    assert asked_at_the_end(Patience(), *[OVER] * 21) == [*[None] * 20, "fault_over"]


def test_at_the_end_a_fault_that_was_over_for_long_without_a_break_is_over():
    assert asked_at_the_end(Patience(over_since=1000.0 - WELL_FOR, over_count=9), OVER) == ["fault_over"]
    broken = Patience(over_since=1000.0 - WELL_FOR, over_count=9)
    assert asked_at_the_end(broken, UNKNOWN, OVER) == [None, None]


def test_at_the_end_what_is_now_over_and_now_unknown_is_no_after_five_minutes():
    assert asked_at_the_end(Patience(), *[UNKNOWN, OVER] * 11) == [*[None] * 21, "fault_over"]


def test_at_the_end_unknown_is_asked_again_for_a_while_and_then_is_no():
    patience = Patience()
    asked = [patience.follows(UNKNOWN, at, settle=SETTLE, ended=True) for at in (500.0, 500.0 + UNKNOWN_FOR - 1)]
    assert asked == [None, None]
    assert patience.follows(UNKNOWN, 500.0 + UNKNOWN_FOR, settle=SETTLE, ended=True).value == "fault_over"
    again = Patience(unknown_since=500.0)
    assert again.follows(HOLDS, 501.0, settle=SETTLE, ended=True).value == "wait_ended"


# --- the fresh judgement


class Kept:
    """A journal that holds one decision, or a damaged record of it."""

    def __init__(self, held):
        self._held = held

    async def decision(self, _number):
        if self._held is None:
            raise DamagedError("The decision d1 is damaged.")
        return self._held


class Told:
    """What is asked for facts, with those of one moment."""

    def __init__(self, now):
        self._now = now

    async def gather(self, _target, alerts, *, max_age, record):
        assert max_age == 0.0  # each judgement of a wait reads Prometheus anew
        assert not record  # what is written down while a rollback waits, a full disk refuses
        return tuple(Gathered(self._now, each, None) for each in alerts)


async def judged(now, *, kept=True, targets=None):
    journal = Kept(decision(alert=alert(service_version="2.0")) if kept else None)
    judge = Judge(runtime(journal), targets or [target()], Told(now), poll_interval=EVERY)
    waiting = rollback(phase=Phase.WAITING, wait_until=NOW + MINUTE, opened_at=DEPLOYED + 119 * MINUTE)
    return (await judge.again(waiting))[0]


async def test_a_wait_does_not_stand_in_its_own_way():
    assert await judged(facts(open_rollback="r1")) is HOLDS
    assert await judged(facts(open_rollback="r9")) is BARRED


async def test_a_wait_does_not_use_up_the_time_in_which_a_release_may_be_blamed():
    assert await judged(facts(now=DEPLOYED + 119 * MINUTE + HOUR)) is HOLDS


async def test_a_target_that_is_not_configured_any_more_is_left_alone_and_a_damaged_decision_is_unknown():
    assert await judged(facts(), targets=[target(name="other")]) is BARRED
    assert await judged(facts(), kept=False) is UNKNOWN
