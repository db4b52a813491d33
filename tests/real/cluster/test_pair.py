"""Two controllers on one PostgreSQL: what is put in at the follower is done by the leader, and leading passes on."""

import asyncio
import contextlib
import signal

import orjson

from real.cluster.checks import check_effects, check_once, closed, inbox, key_of, rollbacks_of
from real.cluster.replicas import Replica, removed_at_the_end, until
from real.cluster.shops import BAD, Shops
from real.controller.journal_kit import Store

LEASE = 15.0  # seconds, from the specification
SELDOM = "6s"  # between polls: a webhook is judged before the next one
OFTEN = "1s"


@contextlib.asynccontextmanager
async def a_pair(tmp_path, postgres_server, poll):
    """Targets, the journal, and two replicas of which the first leads."""
    shops = Shops(tmp_path, ("basket", "checkout", "search"))
    store = Store(await postgres_server.database())
    async with shops.running():
        await shops.remember(store.address)
        first, second = (Replica(tmp_path, name, store.address, shops, poll=poll) for name in ("first", "second"))
        async with removed_at_the_end(first, second):
            await first.start()
            await until(first.leads, what="the first leads")
            await second.start()
            yield shops, store, first, second


async def test_what_comes_to_the_follower_is_carried_out_by_the_leader(tmp_path, postgres_server):
    async with a_pair(tmp_path, postgres_server, SELDOM) as pair:
        await what_comes_to_the_follower(*pair)


async def what_comes_to_the_follower(shops, store, leader, follower):
    basket, checkout, search = shops.all.values()

    basket.deploy()  # an alert
    assert await follower.deliver(basket.alert()) == 202
    checkout.deploy()  # a rollback by hand
    await asked_at_both(leader, follower, {"target": "checkout", "reason": "test"})
    search.slow("activate", 1)  # another, aborted
    search.deploy()
    status, asked = await follower.post("/api/monitoring/rollback/trigger", target="search", reason="test")
    assert status == 202, asked
    await until(lambda: search.began("activate"), what="the leader activates")
    status, aborted = await follower.post(f"/api/monitoring/rollback/{asked['rollback_id']}/abort", reason="test")
    assert status == 200, aborted

    for shop in shops.all.values():
        await until(lambda shop=shop: closed(store, shop), what=f"{shop.name}'s rollback closes")
    await check_once(store, basket)
    assert (await inbox(store))[key_of(basket.alert())] == 1
    (decided, *_) = await store.rows("select body from decisions where target = 'basket' order by seq")
    assert orjson.loads(decided[0])["alert"]["source"] == "webhook"
    assert await rollbacks_of(store, checkout) == [("manual", BAD, "completed")]
    check_effects(checkout, changes=1)
    assert await rollbacks_of(store, search) == [("manual", BAD, "aborted")]
    check_effects(search, changes=1)  # a command that runs is let finish
    assert (await leader.metric("rearguard_leader"), await follower.metric("rearguard_leader")) == (1, 0)
    for shop in shops.all.values():
        under_way = f'rearguard_rollback_in_progress{{target="{shop.name}"}}'
        assert await follower.metric(under_way) == 0  # not 1 for ever, because it took the request
        await until(lambda name=under_way: is_zero(leader, name), what="the leader's is over")


async def is_zero(replica, name):
    return await replica.metric(name) == 0


async def asked_at_both(first, second, body):
    """The same request with the same key, at both replicas at once: one opens the rollback, both name it."""
    path, headers = "/api/monitoring/rollback/trigger", {"Idempotency-Key": "the same"}
    sent = [each.ask("POST", path, json=body, headers=headers, within=10) for each in (first, second)]
    answers = await asyncio.gather(*sent)
    assert sorted(status for status, _ in answers) == [200, 202], answers
    assert len({orjson.loads(text)["rollback_id"] for _, text in answers}) == 1, answers


async def test_leading_passes_on_at_once_after_a_clean_stop_and_within_the_lease_after_a_kill(
    tmp_path, postgres_server
):
    async with a_pair(tmp_path, postgres_server, OFTEN) as pair:
        await leading_passes_on(*pair)


async def leading_passes_on(shops, store, first, second):
    basket, checkout, _ = shops.all.values()

    basket.slow("drain", 1)
    basket.deploy()
    assert await first.deliver(basket.alert()) == 202
    await until(lambda: basket.began("drain"), what="a step of the rollback is under way")
    stopping = asyncio.create_task(first.end(signal.SIGTERM))
    _, took = await until(second.leads, what="the second leads after a clean stop")
    assert took < 3, took
    assert await stopping == 0
    await first.start()
    assert not await first.leads()
    await until(lambda: closed(store, basket), what="the rollback is closed by the other")

    await second.end(signal.SIGKILL)
    checkout.deploy()
    assert await first.deliver(checkout.alert()) == 202  # nobody leads now
    assert not await first.leads()
    _, took = await until(first.leads, what="the first leads after a kill", within=LEASE + 2)
    await until(lambda: closed(store, checkout), what="what came meanwhile is judged")
    await check_once(store, checkout)
    check_effects(basket, changes=1)
