"""A controller whose descriptors are used up in the middle of a rollback (RLIMIT_NOFILE), and free again later."""

import resource
import signal
from pathlib import Path

from real.crash.checks import check
from real.crash.world import world


def allow(pid, most=None):
    """Let a process have descriptors below `most`; without it as many as its hard limit says."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard if most is None else most, hard))


def take_all_descriptors(pid):
    """As a flood of connections does: none is left but those that are open."""
    allow(pid, 3)
    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) > 3  # it keeps those that it has


def gave_up(it, step):
    ended = [line for line in it.logs().splitlines() if '"step_ended"' in line and f'"{step}"' in line]
    return any("could not begin" in line for line in ended)


async def drained_without_descriptors(it):
    """A controller that has none left when the hook `drain` ends; `announce`, which must not fail, comes next."""
    controller = await it.serve()
    await it.until(lambda: it.began("drain"), every=0.005, what="drain begins")
    take_all_descriptors(controller.pid)
    await it.until(lambda: "short_of_resources" in it.logs(), what="it misses them")
    return controller


async def test_a_rollback_waits_for_descriptors_and_goes_on(tmp_path):
    async with world(tmp_path / "world", slow={"drain": 0.5}) as it:
        controller = await drained_without_descriptors(it)
        assert it.began("announce") == 0
        allow(controller.pid)
        await it.close_of_rollback()
        assert await it.end(controller, signal.SIGTERM) == 0, it.logs()
        rollback = await check(it)
        assert [step.attempt for step in rollback.steps] == [1] * len(rollback.steps)


async def test_without_descriptors_for_the_whole_limit_of_a_step_a_fresh_attempt_follows_and_nothing_is_disarmed(
    tmp_path,
):
    async with world(tmp_path / "world", slow={"drain": 0.5}, limit="3s") as it:
        controller = await drained_without_descriptors(it)
        await it.until(lambda: gave_up(it, "announce"), what="the limit of the step is over")
        allow(controller.pid)
        await it.close_of_rollback()
        assert await it.end(controller, signal.SIGTERM) == 0, it.logs()
        await check(it, interrupted=(1,))
        rows = await it.store.rows("select body from rollbacks order by seq limit 1")
        assert "no file descriptors left" in rows[0][0]
