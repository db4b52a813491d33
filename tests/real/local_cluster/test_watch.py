"""Lists and watches: pages, selectors, bookmarks, and what is told to a watch that comes too late."""

import pytest

from local_cluster import kinds
from local_cluster.cluster import running
from real.local_cluster.client import client_of

PATH = "/api/v1/namespaces/shop/configmaps"


def config_map(name, **labels):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
    }


async def test_a_watch_goes_on_where_a_list_ended(cluster, client):
    cluster.create(config_map("old"))
    _, listed, _ = await client.get(PATH)
    cluster.create(config_map("a"))
    cluster.store.delete(kinds.CONFIG_MAPS, "shop", "old")

    async with client.watch(PATH, resourceVersion=listed["metadata"]["resourceVersion"]) as stream:
        assert [await stream.seen(), await stream.seen()] == [("ADDED", "a"), ("DELETED", "old")]
        cluster.create(config_map("b"))
        assert await stream.seen() == ("ADDED", "b")


async def test_an_object_that_leaves_the_selector_is_deleted_for_the_watch(cluster, client):
    cluster.create(config_map("one", tier="web"))
    async with client.watch(PATH, labelSelector="tier in (web)", resourceVersion="0") as stream:
        assert await stream.seen() == ("ADDED", "one")
        await client.patch(f"{PATH}/one", {"metadata": {"labels": {"tier": "db"}}})
        assert await stream.seen() == ("DELETED", "one")
        await client.patch(f"{PATH}/one", {"metadata": {"labels": {"tier": "web"}}})
        assert await stream.seen() == ("ADDED", "one")


async def test_bookmarks_tell_the_version_and_a_watch_ends_when_its_time_is_over(cluster, client):
    cluster.watches.bookmark_every = 0.05
    async with client.watch(PATH, resourceVersion="0", allowWatchBookmarks="true", timeoutSeconds="1") as stream:
        first = await stream.next()
        while first["type"] != "BOOKMARK":
            first = await stream.next()
        version = int(first["object"]["metadata"]["resourceVersion"])
        assert cluster.store.version >= version > 0
        while (event := await stream.next()) is not None:
            assert event["type"] == "BOOKMARK"


async def test_initial_events_end_with_a_bookmark_that_says_so(cluster, client):
    cluster.create(config_map("one"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with client.watch(PATH, fieldSelector="metadata.name=one", **query) as stream:
        assert await stream.seen() == ("ADDED", "one")
        mark = await stream.next()
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_version_that_is_forgotten_is_gone(tmp_path):
    async with running(remembered=3) as cluster, client_of(cluster) as client:
        cluster.add_namespace("shop")
        _, listed, _ = await client.get(PATH)
        for number in range(5):
            cluster.create(config_map(f"c{number}"))
        async with client.watch(PATH, resourceVersion=listed["metadata"]["resourceVersion"]) as stream:
            event = await stream.next()
            assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
            assert await stream.next() is None


async def test_open_watches_and_continue_tokens_hear_of_forgotten_changes(cluster, client):
    for number in range(3):
        cluster.create(config_map(f"c{number}"))
    _, page, _ = await client.get(PATH, limit="2")
    async with client.watch(PATH, resourceVersion=page["metadata"]["resourceVersion"]) as stream:
        cluster.forget_changes()
        assert (await stream.next())["object"]["code"] == 410
    code, status, _ = await client.get(PATH, limit="2", **{"continue": page["metadata"]["continue"]})
    assert (code, status["reason"]) == (410, "Expired")


async def test_pages_together_are_the_whole_list(cluster, client):
    for number in range(5):
        cluster.create(config_map(f"c{number}", app="shop"))
    names, token = [], ""
    while True:
        query = {"continue": token} if token else {}
        _, page, _ = await client.get(PATH, limit="2", labelSelector="app=shop", **query)
        names += [one["metadata"]["name"] for one in page["items"]]
        if not (token := page["metadata"].get("continue", "")):
            break
    assert names == ["c0", "c1", "c2", "c3", "c4"]


async def test_a_watch_may_end_silently_or_fall_dumb(cluster, client):
    async with client.watch(PATH, resourceVersion="0") as stream:
        cluster.watches.end_all()
        while await stream.next() is not None:
            pass
    version = str(cluster.store.version)
    async with client.watch(PATH, resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds="1") as stream:
        cluster.watches.bookmark_every = 0.05
        cluster.watches.held = True
        cluster.create(config_map("unseen"))
        with pytest.raises(TimeoutError):  # neither the change, nor a bookmark, nor the end
            await stream.next(within=1.5)
        cluster.watches.held = False
        assert await stream.seen() == ("ADDED", "unseen")
