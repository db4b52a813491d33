"""A body that does not come ends its task's wait; nothing else does, and waiting costs no timer for each task."""

import asyncio
import time

import pytest

from rearguard_exporter.frameworks.body_deadline import BodyDeadline


async def never():
    await asyncio.get_running_loop().create_future()


async def test_a_body_that_does_not_come_is_given_up_and_its_task_lives_on():
    deadline = BodyDeadline(0.2)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await deadline.within(never())
    assert 0.2 <= time.monotonic() - began < 5
    assert asyncio.current_task().cancelling() == 0
    assert await deadline.within(asyncio.sleep(0.01, "came")) == "came"


async def test_a_task_that_somebody_else_cancels_is_cancelled():
    deadline = BodyDeadline(30)
    task = asyncio.create_task(deadline.within(never()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_of_many_has_its_own_time():
    deadline = BodyDeadline(0.2)

    async def slow():
        await asyncio.sleep(0.12)
        return await deadline.within(asyncio.sleep(0.12, "came"))

    ends = await asyncio.gather(deadline.within(never()), slow(), return_exceptions=True)
    assert isinstance(ends[0], TimeoutError)
    assert ends[1] == "came"


async def test_a_thousand_bodies_that_come_leave_one_timer_and_it_ends():
    loop, deadline = asyncio.get_running_loop(), BodyDeadline(0.2)
    before = len(loop._scheduled)
    for _ in range(1000):
        await deadline.within(asyncio.sleep(0))
    assert len(loop._scheduled) - before <= 1
    until = time.monotonic() + 30
    while len(loop._scheduled) > before:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


def test_it_works_on_one_loop_after_another():
    deadline = BodyDeadline(0.1)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(deadline.within(never()))
