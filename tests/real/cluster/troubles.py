"""The troubles of the campaign: each is done to the pair while rollbacks of its targets are under way.

Here: what is stopped, killed and started again, and what must hold of the time that takes.
Never here: what must hold afterwards (checks.py).
"""

import asyncio
import signal
from dataclasses import dataclass

from real.cluster.replicas import until

LEASE, GRACE = 15.0, 2.0  # seconds: fail-over takes no longer than both together
AWAY = 8.0  # seconds of an outage


@dataclass
class Scene:
    """All that can be troubled."""

    shops: object
    replicas: tuple
    managers: list
    server: object  # PostgreSQL

    async def leader(self, shops):
        """(who leads the first of these targets, the other)."""
        first, second = self.replicas

        async def found():
            if await first.leads_of(shops[0].name):
                return first, second
            return (second, first) if await second.leads_of(shops[0].name) else None

        return (await until(found, what="somebody leads"))[0]


async def the_leader_is_killed(scene, shops):
    leader, other = await scene.leader(shops)
    await leader.end(signal.SIGKILL)
    _, took = await until(other.leads_all, what="fail-over after kill -9", within=LEASE + GRACE)
    await leader.start()
    return took


async def each_alertmanager_is_killed(scene, _shops):
    for manager in scene.managers:
        await manager.end(signal.SIGKILL)
        await asyncio.sleep(AWAY)  # an outage has a length
        await manager.start()


async def postgresql_is_stopped_hard(scene, _shops):
    await asyncio.to_thread(scene.server.stop_hard)
    await asyncio.sleep(AWAY)  # an outage has a length
    await asyncio.to_thread(scene.server.start)


async def both_controllers_are_stopped(scene, _shops):
    assert [await each.end() for each in scene.replicas] == [0, 0]
    await asyncio.sleep(AWAY)  # an outage has a length
    for each in scene.replicas:
        await each.start()


async def both_controllers_are_killed(scene, shops):
    for each in scene.replicas:
        await each.end(signal.SIGKILL)
    for each in scene.replicas:
        await each.start()
    await scene.leader(shops)


async def the_leader_is_stopped_cleanly(scene, shops):
    leader, other = await scene.leader(shops)
    ending = asyncio.create_task(leader.end())
    _, took = await until(other.leads_all, what="a clean stop hands over", within=3)
    assert await ending == 0, leader.log()[-3000:]
    await leader.start()
    return took


async def the_leader_hangs_past_its_lease_and_wakes(scene, shops):
    leader, other = await scene.leader(shops)
    leader.send(signal.SIGSTOP)
    _, took = await until(other.leads_all, what="fail-over after SIGSTOP", within=LEASE + GRACE)
    for shop in shops:
        await until(lambda shop=shop: not shop.is_bad and not shop.drained, what="the other finishes")
    before = [shop.effects() for shop in shops]
    leader.send(signal.SIGCONT)
    await until(lambda: _follows(leader), what="the woken leader follows", within=10)
    await asyncio.sleep(GRACE)  # time to do what it must not do
    assert leader.runs
    assert await other.leads_all()
    assert [shop.effects() for shop in shops] == before, "the woken leader acted"
    return took


async def _follows(replica):
    return await replica.metric("rearguard_leader") == 0


TROUBLES = (
    the_leader_is_killed,
    each_alertmanager_is_killed,
    the_leader_hangs_past_its_lease_and_wakes,
    postgresql_is_stopped_hard,
    both_controllers_are_stopped,
    both_controllers_are_killed,
    the_leader_is_stopped_cleanly,
)
