"""What follows from judging a rollback that waits, judgement by judgement."""

from types import SimpleNamespace

import pytest

from rearguard_controller.errors import DamagedError
from rearguard_controller.facts import Gathered
from rearguard_controller.model import Phase
from rearguard_controller.policy import Standing
from rearguard_controller.waiting import UNKNOWN_FOR, Judge, Patience
from unit.controller.factories import DEPLOYED, HOUR, MINUTE, NOW, alert, decision, facts, rollback, target

SETTLE = 60.0
HOLDS, OVER, BARRED, CHANGED, UNKNOWN = Standing
EVERY = 15.0  # seconds between two judgements


def waited(*standings: Standing, settle: float = SETTLE) -> list[str | None]:
    """What follows from each of these judgements while the wait lasts."""
    patience = Patience()
    found = [
        patience.follows(standing, turn * EVERY, settle=settle, ended=False)
        for turn, standing in enumerate(standings)
    ]
    return [None if kind is None else kind.value for kind in found]


def test_a_fault_counts_as_over_only_after_its_settle_time_without_a_break():
    assert waited(*[OVER] * 5) == [None, None, None, None, "fault_over"]


@pytest.mark.parametrize("between", [HOLDS, BARRED, UNKNOWN])
def test_a_crash_loop_is_not_over_between_two_crashes(between):
    assert set(waited(*[OVER, OVER, OVER, OVER, between] * 3)) == {None}


def test_one_judgement_alone_never_ends_a_wait_early():
    assert waited(OVER, OVER, settle=0.0) == [None, "fault_over"]


def test_another_version_ends_a_wait_at_once_and_a_bar_only_at_its_end():
    assert waited(BARRED, BARRED, HOLDS, UNKNOWN, CHANGED) == [None, None, None, None, "target_changed"]


@pytest.mark.parametrize(
    ("standing", "kind"),
    [(HOLDS, "wait_ended"), (OVER, "fault_over"), (BARRED, "fault_over"), (CHANGED, "target_changed")],
)
def test_at_the_end_of_a_wait_one_judgement_decides(standing, kind):
    assert Patience().follows(standing, 0.0, settle=SETTLE, ended=True).value == kind


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

    def sight(self):
        return SimpleNamespace()

    async def gather(self, _target, alerts, _sight, _delivered):
        return tuple(Gathered(self._now, each, None) for each in alerts)


async def judged(now, *, kept=True, targets=None):
    journal = Kept(decision(alert=alert(service_version="2.0")) if kept else None)
    judge = Judge(targets or [target()], journal, Told(now), poll_interval=EVERY)
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
