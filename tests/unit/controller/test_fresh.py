"""What was accepted last is remembered until it is read, and never without bound."""

from rearguard_controller.journal.inbox import MOST_FRESH, Fresh
from unit.controller.factories import alert


def test_beyond_the_bound_the_oldest_are_forgotten():
    fresh, long = Fresh(), "x" * (MOST_FRESH // 4)
    for number in range(9):
        fresh.add([f"{number}{long}"], [alert(number=str(number))])
    assert [each.labels["number"] for each in fresh.alerts.values()] == ["6", "7", "8"]


def test_what_was_read_makes_room_and_a_repeat_takes_none():
    fresh, long = Fresh(), "x" * (MOST_FRESH // 4)
    for number in range(100):
        fresh.add(["same", f"{number}{long}"], [alert(), alert(number=str(number))])
        fresh.drop([f"{number}{long}"])
    assert list(fresh.alerts) == ["same"]
