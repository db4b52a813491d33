"""What a rollback comes to when its surroundings fail: the wall clock jumps, the disk is full, PostgreSQL crashes."""

import asyncio
import resource
import signal
import time

import pytest

from real import postgres
from real.crash.campaign import SLOW, Point, campaign, interrupt_during
from real.crash.checks import check
from real.crash.faketime import SEEN_WITHIN, Clock
from real.crash.world import world

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
JUMPS = ("+1h", "-1h", "+3d", "-3d")
DURING = ("drain", "activate", "restore")


async def finish(it, controller, **expected):
    await it.close_of_rollback()
    assert await it.end(controller, signal.SIGTERM) == 0, it.logs()
    return await check(it, **expected)


async def jumping(folder, point, _expected, server, *, offset):
    async with world(folder, server, slow={point.kind: SEEN_WITHIN}) as it:
        clock = Clock(it.folder / "clock")
        controller = await it.serve(env=clock.environment)
        await it.until(lambda: it.began(point.kind), every=0.005, what=f"{point.kind} begins")
        clock.jump(offset)
        await it.close_of_rollback()
        for other in JUMPS:
            clock.jump(other)
            polls = it.polls
            await it.until(lambda polls=polls: it.polls >= polls + 3, what="polls after a jump")
        rollback = await finish(it, controller)
        assert abs(rollback.closed_at - time.time()) > 3000, "the jump was not seen"


async def changed_meanwhile(folder, point, _expected, server, *, offset):
    async with world(folder, server, slow={point.kind: SLOW}) as it:
        first = await interrupt_during(it, point.kind, signal.SIGKILL)
        await first.wait()
        clock = Clock(it.folder / "clock")
        clock.jump(offset)
        await finish(it, await it.serve(env=clock.environment))


async def at_every_jump(folder, server, how):
    points = [Point("during", "activate"), Point("during", "tell")]
    campaigns = (campaign(folder / each, points, lambda _: None, server, how=how, offset=each) for each in JUMPS)
    await asyncio.gather(*campaigns)


async def test_a_clock_that_jumps_while_a_rollback_runs_neither_hurries_nor_holds_it_up(tmp_path, server):
    """And once it is over, jumps to and fro start nothing."""
    await at_every_jump(tmp_path, server, jumping)


async def test_a_rollback_goes_on_under_a_clock_that_was_changed_while_nobody_ran(tmp_path, server):
    await at_every_jump(tmp_path, server, changed_meanwhile)


@pytest.mark.parametrize("killed", [False, True], ids=["going on", "killed meanwhile"])
@pytest.mark.parametrize("room", ["none", "little"])
async def test_a_full_disk_delays_a_rollback_and_breaks_nothing(tmp_path, room, killed):
    """The journal's files may not grow (RLIMIT_FSIZE); later they may again."""

    async def at(name):
        async with world(tmp_path / name, slow={name: SLOW}) as it:
            controller = await it.serve()
            await it.until(lambda: it.began(name), every=0.005, what=f"{name} begins")
            wal = (it.folder / "journal.db-wal").stat().st_size
            _limit(controller.pid, 16384 if room == "none" else wal)
            await it.until(lambda: "disk_full" in it.logs(), what="the disk is full")
            polls = it.polls
            await it.until(lambda: it.polls >= polls + 2, what="polls with a full disk")
            if killed:
                await it.end(controller)
                controller = await it.serve()
            else:
                _limit(controller.pid, resource.RLIM_INFINITY)
            if killed and name == "drain":  # it is not to be repeated, unless its end still found room
                await finish(it, controller, interrupted=(1,) if room == "none" else (0, 1))
            else:
                await finish(it, controller)

    await asyncio.gather(*(at(name) for name in DURING))


async def test_postgresql_that_crashes_in_the_middle_delays_a_rollback_and_breaks_nothing(tmp_path):
    for name in DURING:
        with postgres.running() as server:
            async with world(tmp_path / name, server, slow={name: SLOW}) as it:
                controller = await it.serve()
                await it.until(lambda name=name, it=it: it.began(name), every=0.005, what=f"{name} begins")
                await asyncio.to_thread(server.stop_hard)
                await it.until(lambda it=it: '"journal_failed"' in it.logs(), what="the journal is missed")
                await asyncio.to_thread(server.start)
                await finish(it, controller)


def _limit(pid, most):
    """Let a process write no file beyond a size (its children, which inherit this, write small ones)."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))
