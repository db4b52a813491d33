"""What still fires right after a rollback because of what was before says nothing against the destination."""

from dataclasses import replace

import pytest

from rearguard_controller.model import StepKind, StepState
from rearguard_controller.releases.trust import lingering
from unit.controller.factories import NOW, condition, rollback

CLEARS = 90.0


def put_back(**fields):
    it = rollback(conditions=(condition(clears=CLEARS),))
    done = {"state": StepState.DONE, "ended_at": NOW, **fields}
    steps = (replace(step, **done) if step.kind is StepKind.ROLL_BACK else step for step in it.steps)
    return replace(it, steps=tuple(steps))


def test_an_alert_that_cannot_have_cleared_yet_lingers_and_not_a_moment_longer():
    assert lingering(put_back(), "v1", NOW + CLEARS - 1) == {"ReleaseErrorRate"}
    assert lingering(put_back(), "v1", NOW + CLEARS) == frozenset()


@pytest.mark.parametrize(
    ("it", "version", "now"),
    [
        (None, "v1", NOW + 1),
        (put_back(), "v2", NOW + 1),  # another version than was put back
        (put_back(state=StepState.FAILED), "v1", NOW + 1),
        (put_back(), "v1", NOW - 1),  # the clock was set back
    ],
)
def test_without_a_rollback_to_this_version_nothing_lingers(it, version, now):
    assert lingering(it, version, now) == frozenset()
