"""Leading: how long a leader trusts a lease whose answers come late, by a clock that is handed in."""

import asyncio

import pytest

from deadline import in_time
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.store import Fence
from rearguard_controller.service.leadership import PATIENCE, Leadership
from unit.controller.runtime_kit import runtime


class Late:
    """A journal that gives the lease once, so many seconds after the question, and never renews it."""

    def __init__(self, after, *, shared=True):
        self.shared = shared
        self.after, self.passed, self.released = after, 0.0, asyncio.Event()

    def now(self):
        return asyncio.get_running_loop().time() + self.passed

    async def take_lease(self, _holder, _seconds):
        if self.passed:
            return None
        self.passed = self.after
        return 1

    async def renew_lease(self, _epoch, _seconds):
        raise JournalError("away")

    async def release_lease(self, _epoch):
        self.released.set()


@pytest.mark.parametrize(("after", "led"), [(PATIENCE - 0.3, 1), (PATIENCE + 0.3, 0)])
async def test_a_lease_counts_from_its_question_however_late_the_answer_comes(after, led):
    journal, fence, times = Late(after), Fence(), []
    leadership = Leadership(runtime(journal, steady=journal.now), fence, holder="us")

    async def lead():
        times.append(fence.epoch)
        await asyncio.Event().wait()

    running = asyncio.create_task(leadership.run(lead))
    try:
        async with asyncio.timeout(30):
            await journal.released.wait()
        assert times == [1] * led
        assert fence.epoch is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_leader_whose_journal_is_its_own_alone_outlasts_a_standstill():
    """Of a file with a lock nobody else can lead: a process that stood still need not end what it was doing."""
    journal, begun = Late(PATIENCE - 0.3, shared=False), asyncio.Event()
    leadership = Leadership(runtime(journal, steady=journal.now), Fence(), holder="us")

    async def lead():
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(leadership.run(lead))
    try:
        await in_time(begun.wait(), 30)
        done, _ = await asyncio.wait([asyncio.create_task(journal.released.wait())], timeout=1)
        assert not done
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
