"""Two controllers on one PostgreSQL that share the targets: each leads its shards, and takes over a dead one's."""

import asyncio
import contextlib
import signal
import time
from dataclasses import replace

import orjson
import pytest

from real.cluster.checks import check_effects, check_once, closed, inbox, key_of, rollbacks_of
from real.cluster.replicas import Replica, removed_at_the_end, until
from real.cluster.shops import BAD, Shops
from real.controller.journal_kit import Store
from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.journal.postgres.store import PostgresJournal
from rearguard_controller.journal.shards import lead_of, shards_of
from rearguard_controller.journal.store import Fence
from rearguard_controller.model import Alert
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
    led = [await each.shards() or set() for each in replicas]
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


@pytest.mark.timeout(240)
async def test_what_comes_to_a_replica_that_does_not_lead_the_target_is_carried_out_by_the_one_that_does(
    tmp_path, postgres_server
):
    async with two(tmp_path, postgres_server, "20s") as (shops, store, first, second):  # webhooks come before polls
        by_webhook, by_hand, aborted, *_ = led_by(shops, await second.shards())
        by_webhook.deploy()
        assert await first.deliver(by_webhook.alert()) == 202
        by_hand.deploy()
        path = "/api/monitoring/rollback/trigger"
        status, asked = await first.post(path, target=by_hand.name, reason="test")
        assert status == 202, asked
        aborted.slow("activate", 1)
        aborted.deploy()
        status, asked = await first.post(path, target=aborted.name, reason="test")
        assert status == 202, asked
        await until(lambda: aborted.began("activate"), what="the leader activates")
        status, answer = await first.post(f"/api/monitoring/rollback/{asked['rollback_id']}/abort", reason="test")
        assert status == 200, answer
        for shop in (by_webhook, by_hand, aborted):
            await until(lambda shop=shop: closed(store, shop), what=f"{shop.name}'s rollback closes")
        await check_once(store, by_webhook)
        decisions = await store.rows("select target, body from decisions order by seq")
        decided = next(orjson.loads(body) for target, body in decisions if target == by_webhook.name)
        assert decided["alert"]["source"] == "webhook"
        assert (await inbox(store))[key_of(by_webhook.alert())] == 1
        assert await rollbacks_of(store, by_hand) == [("manual", BAD, "completed")]
        assert await rollbacks_of(store, aborted) == [("manual", BAD, "aborted")]
        for shop in (by_hand, aborted):
            check_effects(shop, changes=1)


@pytest.mark.timeout(240)
async def test_a_delivery_that_the_wrong_leader_reads_is_handed_over_and_judged_once(tmp_path, postgres_server):
    """Its labels may tell another target than those of the alert in Prometheus, or a reload may be under way."""
    async with two(tmp_path, postgres_server, "20s") as (shops, store, _, second):
        shop = led_by(shops, await second.shards())[0]
        shop.deploy()
        journal = await PostgresJournal.open(store.address)
        wrong = (shard_of(shop.name, SHARDS) + 1) % SHARDS
        now = time.time()
        alert = Alert("ReleaseErrorRate", shop.alert(), starts_at=now)
        await journal.accept([alert, alert], now, shards=[wrong, (wrong + 1) % SHARDS])
        await journal.close()
        read = [(shard_of(shop.name, SHARDS), True)] * 2

        async def judged():
            return await store.rows("select shard, judged_at is not null from inbox") == read

        await until(judged, what="the right leader has judged both")
        await until(lambda: closed(store, shop), what="it is rolled back")
        await check_once(store, shop)


@pytest.mark.timeout(240)
async def test_a_replica_that_joins_gets_its_part_after_the_rollback_that_goes_on_and_leaves_it_at_once(
    tmp_path, postgres_server
):
    async with two(tmp_path, postgres_server, "1s") as (shops, store, first, second):
        stopping = asyncio.create_task(second.end())
        _, took = await until(first.leads_all, what="a clean stop hands over", within=4)
        assert await stopping == 0
        each_shards = [led_by(shops, {number})[0] for number in range(SHARDS)]
        for shop in each_shards:
            shop.slow("activate", 12)
            shop.deploy()
        for shop in each_shards:
            await until(lambda shop=shop: shop.began("activate"), what="a rollback of each shard is under way")
        await second.start()
        await until(lambda: shared(first, second), what="the parts are even again")
        for shop in led_by(shops, await second.shards()):
            assert shop not in each_shards or await closed(store, shop), "it was handed over in the middle"
        for shop in each_shards:
            await until(lambda shop=shop: closed(store, shop), what=f"{shop.name}'s rollback closes")
            await check_once(store, shop)
        assert await decided_twice(store) == []
        print("handed over after", round(took, 1))  # noqa: T201  # the figure


@pytest.mark.timeout(240)
async def test_another_number_of_shards_is_refused_by_a_reload_and_by_a_start(tmp_path, postgres_server):
    async with two(tmp_path, postgres_server, "3s") as (shops, store, first, _):
        file = tmp_path / "first.yaml"
        file.write_text(file.read_text().replace(f"shards: {SHARDS}", "shards: 8"))
        status, answer = await first.post("/-/reload")
        assert status == 422, answer
        assert "sharding changed" in str(answer)
        assert await first.shards()
        for number in (1, 8):
            other = Replica(tmp_path, f"other-{number}", store.address, shops, poll="3s", shards=number)
            async with removed_at_the_end(other):
                with pytest.raises(AssertionError, match="ended at once"):
                    await other.start()
                assert f"Replicas with {SHARDS} shards share this journal" in other.log()


async def test_replicas_agree_on_the_number_of_shards(postgres_server):
    url = await postgres_server.database()
    first, second = [await PostgresJournal.open(url) for _ in range(2)]
    try:
        alone = await first.take_lease("alone", 0)
        assert alone == 1
        await asyncio.gather(*(each.agree_on_shards(4) for each in (first, second)))
        assert await second.take_lease("old", LEASE) is None, "a replica without shards does not lead beside them"
        shard = first.of_shard(3, 4)
        epoch = await shard.take_lease("first", LEASE)
        assert epoch > alone
        assert await second.of_shard(3, 4).take_lease("second", LEASE) is None
        for count in (1, 8):
            with pytest.raises(JournalError, match="4 shards"):
                await second.agree_on_shards(count)
        await second.agree_on_shards(4)
        await shard.release_lease(epoch)
        await first.note_replica("first", 30.0)
        with pytest.raises(JournalError, match="4 shards"):  # it lives, though it leads nothing
            await second.agree_on_shards(8)
        await first.forget_replica("first")
        await second.agree_on_shards(8)
        assert await shard.take_lease("woken", LEASE) is None, "one that slept through the change"
        with pytest.raises(LeaseLostError):
            await shard.fenced(Fence(epoch, 3)).prove_lead()
        later = await second.of_shard(3, 8).take_lease("second", 0.0)
        assert later > epoch
        await second.agree_on_shards(1)
        assert await first.take_lease("alone", LEASE) > later
    finally:
        await first.close()
        await second.close()


async def test_a_write_of_one_shards_leader_does_not_need_the_lease_of_another(postgres_server):
    journal = await PostgresJournal.open(await postgres_server.database())
    try:
        await journal.agree_on_shards(2)
        shards = shards_of(journal, 2)
        lead = lead_of(shards)
        mine, other = (next(n for n in NAMES if each.has(n)) for each in shards)
        shards[0].fence.epoch = await shards[0].journal.take_lease("us", LEASE)
        before = lead.epoch
        assert (await lead.change_target(mine, lambda state: replace(state, armed=False))).armed is False
        with pytest.raises(LeaseLostError):
            await lead.change_target(other, lambda state: replace(state, armed=False))
        shards[1].fence.epoch = await shards[1].journal.take_lease("us", LEASE)
        assert lead.epoch != before, "what it leads has changed"
        await lead.change_target(other, lambda state: replace(state, armed=False))
        await shards[0].journal.release_lease(shards[0].fence.epoch)
        await shards[0].journal.take_lease("another", LEASE)
        with pytest.raises(LeaseLostError):
            await lead.change_target(mine, lambda state: replace(state, armed=True))
        assert not (await journal.target_state(mine)).armed
    finally:
        await journal.close()
