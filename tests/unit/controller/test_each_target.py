"""Looks at targets, side by side: in a storm those that only have alerts leave judgements their turn."""

import asyncio
import time

import pytest

from rearguard_controller.releases.looks import Watch
from rearguard_controller.watching.attention import Attention
from rearguard_controller.watching.each_target import EachTarget, Kept
from rearguard_controller.watching.faults import Faults
from rearguard_controller.watching.pace import Pace
from unit.controller.factories import target
from unit.controller.runtime_kit import runtime

ALERTS = ({"alertname": "Failing"},)


class Leading:
    """A journal that is led here."""

    epoch = 1

    def of(self, _target):
        return self


class Slow:
    """Counts the looks that have begun; none ends by itself."""

    def __init__(self):
        self.begun = 0

    async def track(self, *_what, **_how):
        self.begun += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("watch", "begun"),
    [
        (Watch(alerts=ALERTS, closely=False, in_storm=True), 16),
        (Watch(alerts=ALERTS, closely=False), 100),
        (Watch(alerts=ALERTS, closely=True, in_storm=True), 100),
    ],
)
async def test_in_a_storm_few_looks_at_targets_that_only_have_alerts_run_side_by_side(watch, begun):
    """Two thousand at once took every second turn of the event loop, and judgements waited for minutes."""
    releases, kept = Slow(), Kept(None, Pace(time.monotonic, 15.0), Attention(), Faults(), {})
    looks = EachTarget(runtime(Leading()), releases, None, None, kept, poll_interval=15.0)
    for number in range(100):
        looks.look(target(name=f"s{number}"), watch, None, dict)
    for _ in range(10):
        await asyncio.sleep(0)  # every task that can begin has begun then
    try:
        assert releases.begun == begun
    finally:
        await looks.close()
