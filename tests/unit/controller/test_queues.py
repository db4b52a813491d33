"""What waits to be judged: what a delivery said outlives what Prometheus' own list says of the same alert."""

import asyncio
from dataclasses import replace

from rearguard_controller.intake.queues import Queues, Waiting
from unit.controller.factories import NOW, TARGET, alert


async def test_a_poll_that_finds_a_delivered_alert_leaves_when_it_came_and_since_when_it_fires():
    judged = asyncio.Event()
    seen = []

    async def judge(_target, batch):
        seen.extend(batch)
        judged.set()

    queues = Queues(judge, failed=lambda: None, drained=lambda: None)
    pending_since = replace(alert(), starts_at=NOW - 100)
    queues.put(TARGET, Waiting(alert(), received_at=NOW, ids=(1,), fired_at=NOW - 3))
    queues.put(TARGET, Waiting(pending_since))
    await asyncio.wait_for(judged.wait(), 5)
    await queues.close()
    assert seen == [Waiting(pending_since, received_at=NOW, ids=(1,), fired_at=NOW - 3)]
