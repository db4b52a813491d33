"""The traffic switch with a real HAProxy, a real shop and real requests."""

import asyncio
import subprocess
import threading
import time

import aiohttp
import pytest
import requests

from local_stack.load import LoadThread
from local_stack.process import StackError, wait_until
from local_stack.stack import Stack


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path) as stack:
        stack.release("deploy", "v1")
        stack.proxy.start()
        yield stack


def test_drained_clients_get_a_clean_503_and_restored_ones_the_shop(stack):
    assert stack.traffic("state") == "shop open sessions=0"
    assert requests.get(stack.layout.proxy, timeout=30).json()["version"] == "v1"

    assert stack.traffic("drain") == "shop drained sessions=0"
    answer = requests.get(stack.layout.proxy, timeout=30)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.text == "The shop is being maintained.\n"
    assert requests.get(f"{stack.layout.shop}/healthz", timeout=30).status_code == 200
    assert stack.traffic("state") == "shop drained sessions=0"

    assert stack.traffic("restore") == "shop open sessions=0"
    assert requests.get(stack.layout.proxy, timeout=30).status_code == 200


def test_draining_and_restoring_twice_is_the_same_as_once(stack):
    assert stack.traffic("drain") == stack.traffic("drain") == "shop drained sessions=0"
    assert stack.traffic("restore") == stack.traffic("restore") == "shop open sessions=0"


async def test_a_price_feed_ends_within_the_limit_and_comes_back_after(stack):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{stack.layout.proxy}/ws/prices") as feed:
        assert (await feed.receive_json(timeout=30))["id"] == 1
        began = time.monotonic()
        draining = asyncio.create_task(
            asyncio.to_thread(
                subprocess.run, [stack.layout.folder / "traffic", "drain", "shop", "--limit", "1"], check=True
            )
        )
        async for _ in feed:
            pass
        await draining
        assert 1 <= time.monotonic() - began < 6
    await asyncio.to_thread(stack.traffic, "restore")
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{stack.layout.proxy}/ws/prices") as feed:
        assert (await feed.receive_json(timeout=30))["id"] == 1


def next_statuses(load, number=30):
    """What the next requests were answered, after those under way have ended."""
    for _ in range(2):
        load.counts.by_status.clear()
        wait_until(lambda: load.counts.total >= number, within=15, what=f"{number} requests")
    return set(load.counts.by_status)


def test_under_load_everyone_is_turned_away_while_drained_and_nobody_after(stack):
    with LoadThread(stack.layout.proxy, rate=80) as load:
        assert next_statuses(load) <= {200, 201}
        stack.traffic("drain")
        assert next_statuses(load) == {503}
        stack.traffic("restore")
        assert next_statuses(load) <= {200, 201}


@pytest.mark.parametrize(
    "target", ["other", "shop/instance state ready; show stat", "shop\nshutdown frontend clients"]
)
def test_an_unknown_or_hostile_target_is_refused(stack, target):
    with pytest.raises(StackError, match="exit 1"):
        stack.traffic("drain", target)
    assert stack.traffic("state") == "shop open sessions=0"


def test_without_haproxy_the_switch_says_so(stack):
    stack.proxy.stop()
    with pytest.raises(StackError, match=r"exit 1: traffic: HAProxy does not answer"):
        stack.traffic("drain")


def test_a_change_of_release_behind_the_drained_proxy_is_unseen_by_clients(stack):
    stack.release("deploy", "v2")
    stack.traffic("drain")
    stack.release("activate", "v1")
    stack.traffic("restore")
    for customer in range(1, 21):
        answer = requests.get(f"{stack.layout.proxy}/products/1?customer={customer}", timeout=30)
        assert answer.status_code == 200


def test_release_v2_fails_three_customers_in_ten_by_its_own_bug(stack):
    stack.release("deploy", "v2")
    urls = [f"{stack.layout.proxy}/products/1?customer={number}" for number in range(1, 101)]
    with requests.Session() as session:
        statuses = [session.get(url, timeout=30).status_code for url in urls]
        assert (statuses.count(200), statuses.count(500)) == (70, 30)
        assert "KeyError: None" in stack.layout.log("shop").read_text()
        stack.release("activate", "v1")
        assert all(session.get(url, timeout=30).status_code == 200 for url in urls)


def test_a_load_in_a_thread_stops_when_told(stack):
    with LoadThread(stack.layout.proxy, rate=100) as load:
        wait_until(lambda: load.counts.total > 20, within=10, what="twenty requests")
    seen = load.counts.total
    assert set(load.counts.by_status) <= {200, 201}
    assert [thread.name for thread in threading.enumerate() if thread.name == "load"] == []
    assert load.counts.total == seen
