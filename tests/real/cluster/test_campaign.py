"""A clustered pair of Alertmanagers, two controllers, one PostgreSQL: everything fails in turn while alerts flow."""

import contextlib
import time

import orjson
import pytest

from real.cluster.alertmanagers import Witness, alertmanagers
from real.cluster.checks import MAY_COME_BEFORE, check_effects, check_once, closed, inbox, rollbacks_of
from real.cluster.replicas import Replica, removed_at_the_end, until
from real.cluster.shops import BAD, Shops
from real.cluster.troubles import TROUBLES, Scene
from real.controller.journal_kit import Store

EACH = 2  # targets that get a bad release in each trouble: one before it, one in the middle of it
RECOVERS_WITHIN = 90.0  # seconds


@pytest.fixture(params=[1, 4], ids=["one leader", "four shards"])
async def scene(tmp_path, postgres_server, request):
    """Everything runs; alerts do not flow yet."""
    names = [f"shop-{number}-{each}" for number in range(len(TROUBLES)) for each in range(EACH)]
    shops, store = Shops(tmp_path, names), Store(await postgres_server.database())
    witness = Witness(shops)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(shops.running())
        await shops.remember(store.address)
        await stack.enter_async_context(witness.running())
        witness.replicas = [
            Replica(tmp_path, name, store.address, shops, poll="3s", shards=request.param)
            for name in ("first", "second")
        ]
        managers = alertmanagers(tmp_path, witness.urls)
        await stack.enter_async_context(removed_at_the_end(*witness.replicas, *managers))
        for program in (*witness.replicas, *managers):
            await program.start()
        yield Scene(shops, tuple(witness.replicas), managers, postgres_server), store, witness


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_everything_fails_in_turn_and_each_bad_release_is_rolled_back_once(scene):
    it, store, witness = scene
    shops, took = list(it.shops.all.values()), []
    async with witness.working(it.managers):
        for number, trouble in enumerate(TROUBLES):
            mine = shops[EACH * number : EACH * (number + 1)]
            began = time.monotonic()
            seconds = await troubled(it, store, trouble, mine)
            took.append((trouble.__name__, seconds and round(seconds, 1), round(time.monotonic() - began, 1)))
        await the_bad_version_comes_again(it, store, shops[0])
    await everything_acknowledged_is_stored(it, store, witness)
    for shop in shops[1:]:
        await check_once(store, shop)
    assert witness.two_leaders == []
    assert witness.looks > 3 * len(TROUBLES)  # a slow machine is looked at more rarely
    print(took, dict(witness.answers), sum(witness.acknowledged.values()), witness.looks)  # noqa: T201  # the figures of the campaign


async def troubled(it, store, trouble, shops):
    """A rollback is in the middle of its command when the trouble comes; the second release comes with it."""
    first, *others = shops
    for shop in shops:
        shop.slow("activate", 0.5)
    first.deploy()
    await until(lambda: first.began("activate"), what=f"{first.name}: the command runs")
    for shop in others:
        shop.deploy()
    seconds = await trouble(it, shops)
    for shop in shops:
        what = f"{trouble.__name__}: {shop.name}'s rollback closes"
        await until(lambda shop=shop: _closed(store, shop), what=what, within=RECOVERS_WITHIN, every=0.2)
        await check_once(store, shop)
    return seconds


async def _closed(store, shop):
    return not shop.is_bad and await closed(store, shop)


async def the_bad_version_comes_again(it, store, shop):
    """Somebody deploys it once more: it was rolled back by itself once, and never is again."""
    shop.deploy()

    async def refused():
        rows = await store.rows(f"select body from decisions where target = '{shop.name}' and verdict = 'leave'")  # noqa: S608  # names of this test
        answers = [{each["code"]: each["holds"] for each in orjson.loads(body)["reasons"]} for (body,) in rows]
        return any(each["alert_confirmed"] and each["not_already_handled"] is False for each in answers)

    await until(refused, what="the return of the bad version is judged")
    leader, other = await it.leader([shop])
    await leader.end()  # the next leader knows it as well
    await until(other.leads_all, what="the other leads")
    received = 'rearguard_alerts_received_total{source="prometheus"}'
    judged = (await until(lambda: other.metric(received), what="a poll of the new leader"))[0]

    async def judged_again():
        return (await other.metric(received) or 0) > judged + 1

    await until(judged_again, what="two more polls")
    *before, last = await rollbacks_of(store, shop)
    assert (before in MAY_COME_BEFORE, last) == (True, ("alert", BAD, "recovered"))
    check_effects(shop, changes=1)


async def everything_acknowledged_is_stored(it, store, witness):
    """Whatever was answered 2xx is in the journal, as often as it was acknowledged; and it was judged."""
    stored = await inbox(store)
    lost = {key: count for key, count in witness.acknowledged.items() if stored[key] < count}
    assert not lost, lost
    assert sum(witness.acknowledged.values()) > 1000

    async def all_judged():
        return (await store.rows("select count(*) from inbox where judged_at is null"))[0][0] == 0

    await until(all_judged, what="all is judged")
