"""What a controller does when it begins to lead, and what it shows when it leads no more."""

import asyncio
import time

from real.controller.served import serving
from rearguard_controller.journal.store import OperatorAction


async def until(condition, *, what, within=10.0):
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.02)


async def test_what_is_past_the_retention_goes_soon_after_a_term_begins_and_what_is_young_stays(tmp_path):
    async with serving(tmp_path) as service:
        journal = service.controller.journal
        for at, reason in ((time.time() - 401 * 86_400, "old"), (time.time() - 399 * 86_400, "young")):
            done = OperatorAction(at, "ann", "arm", "checkout", reason)
            await journal.change_target("checkout", lambda state: state, action=done)

        async def only_the_young_is_left():
            return [each.reason for each in await journal.operator_actions()] == ["young"]

        await until(only_the_young_is_left, what="the old record is gone")
