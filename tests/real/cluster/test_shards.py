"""Two controllers on one PostgreSQL that share the targets: each leads its shards, and takes over a dead one's."""

import asyncio
import contextlib
import signal

import pytest

from real.cluster.checks import check_once, closed
from real.cluster.replicas import Replica, removed_at_the_end, until
from real.cluster.shops import Shops
from real.controller.journal_kit import Store
from rearguard_controller.model.shards import shard_of

LEASE, GRACE = 15.0, 2.0  # seconds, from the specification
SHARDS = 4
NAMES = ("basket", "billing", "catalog", "checkout", "mail", "payments", "search", "stock")


@contextlib.asynccontextmanager
async def two(tmp_path, postgres_server, poll):
    """Targets, the journal, and two replicas of which each leads some shards."""
    shops, store = Shops(tmp_path, NAMES), Store(await postgres_server.database())
    async with shops.running():
        await shops.remember(store.address)
        replicas = [
            Replica(tmp_path, name, store.address, shops, poll=poll, shards=SHARDS) for name in ("first", "second")
        ]
        async with removed_at_the_end(*replicas):
            for each in replicas:
                await each.start()
            await until(lambda: shared(*replicas), what="both lead two shards")
            yield shops, store, *replicas


async def shared(*replicas):
    led = [await each.shards() for each in replicas]
    return all(led) and sorted(led[0] | led[1]) == list(range(SHARDS)) and {len(each) for each in led} == {2}


def led_by(shops, shards):
    return [shop for shop in shops.all.values() if shard_of(shop.name, SHARDS) in shards]


async def decided_twice(store):
    """Targets about which more than one decision to roll back was recorded."""
    sql = "select target from decisions where verdict = 'roll_back' group by target having count(*) > 1"
    return [name for (name,) in await store.rows(sql)]


@pytest.mark.timeout(240)
async def test_a_dead_replicas_shards_are_taken_over_within_the_lease_and_each_target_is_judged_once(
    tmp_path, postgres_server
):
    async with two(tmp_path, postgres_server, "3s") as (shops, store, first, second):
        mine, others = led_by(shops, await first.shards()), led_by(shops, await second.shards())
        assert mine
        assert others
        for shop in shops.all.values():
            shop.slow("activate", 0.5)
        for shop in (mine[0], others[0]):  # each replica is in the middle of a command
            shop.deploy()
        await until(lambda: others[0].began("activate") and mine[0].began("activate"), what="both act")
        await second.end(signal.SIGKILL)
        taking = asyncio.create_task(until(first.leads_all, what="all is taken over", within=LEASE + GRACE))
        for shop in (*mine[1:], *others[1:]):
            shop.deploy()
            assert await first.deliver(shop.alert()) == 202
        for shop in mine:
            await until(lambda shop=shop: closed(store, shop), what=f"{shop.name} is rolled back meanwhile")
        _, took = await taking
        for shop in others:
            await until(lambda shop=shop: closed(store, shop), what=f"{shop.name}'s rollback closes")
        for shop in shops.all.values():
            await check_once(store, shop)
        assert await decided_twice(store) == []
        print("taken over after", round(took, 1))  # noqa: T201  # the figure
