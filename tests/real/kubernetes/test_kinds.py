"""StatefulSets and DaemonSets: their versions are ControllerRevisions, and they go back as Deployments do."""

import asyncio
import json

import pytest

from local_cluster.pod_scripts import Script
from real.local_cluster.workloads import workload
from rearguard_controller.adapters.kubernetes import Order
from rearguard_controller.errors import SourceError
from rearguard_controller.model import KubernetesRelease, WorkloadKind

WITHIN = 30.0
KINDS = {"StatefulSet": WorkloadKind.STATEFUL_SET, "DaemonSet": WorkloadKind.DAEMON_SET}


def release(kind, timeout=30.0):
    return KubernetesRelease("shop", KINDS[kind], "shop", timeout)


def made(kind):
    more = {"serviceName": "shop"} if kind == "StatefulSet" else {}
    return workload(kind, image="shop:v1", **more)


async def becomes(client, kind, what):
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                found = await client.current(release(kind))
            except SourceError:
                found = what
            if found != what:
                return found
            await asyncio.sleep(0.02)


async def revision_hashes(kubectl):
    found = json.loads(await kubectl("get controllerrevisions -o json"))["items"]
    return {
        each["data"]["spec"]["template"]["spec"]["containers"][0]["image"]: each["metadata"]["name"].rpartition("-")[
            2
        ]
        for each in found
    }


async def two_versions(cluster, client, kubectl, kind):
    """A workload that went from v1, rolled out, to v2; what kubectl calls it, and the two versions."""
    cluster.create(made(kind))
    name = f"{kind.lower()}/shop"
    await kubectl(f"rollout status {name} --timeout=40s")
    first = await becomes(client, kind, "")
    await kubectl(f"set image {name} shop=shop:v2")
    return name, first, await becomes(client, kind, first)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_version_is_gone_back_to_by_name_even_past_a_second_bad_one(cluster, client, kubectl, kind):
    name, first, second = await two_versions(cluster, client, kubectl, kind)
    await kubectl(f"set image {name} shop=shop:v3")
    third = await becomes(client, kind, second)
    await kubectl(f"rollout status {name} --timeout=40s")
    assert await revision_hashes(kubectl) == {"shop:v1": first, "shop:v2": second, "shop:v3": third}
    order = Order("shop", third, first, "r-1")
    assert (await client.prove(release(kind), order)).ok
    done = await client.activate(release(kind), order)
    assert done.ok, done
    assert await client.current(release(kind), fresh=True) == first
    now = json.loads(await kubectl(f"get {name} -o json"))
    assert now["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:v1"
    assert len(await client.versions(release(kind))) == 3
    again = await client.activate(release(kind), order)
    assert again.ok
    assert await client.versions(release(kind)) == {first, second, third}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deploy_that_lands_first_wins(cluster, client, kubectl, kind):
    name, first, second = await two_versions(cluster, client, kubectl, kind)
    await kubectl(f"set image {name} shop=shop:v3")
    done = await client.activate(release(kind), Order("shop", second, first))
    assert (done.ok, done.superseded) == (False, True)


async def test_a_stateful_set_that_waits_for_its_broken_pod_is_told_with_what_to_do(cluster, client, kubectl):
    cluster.scripts.set("shop:v2", Script(never_ready=True))
    _, first, second = await two_versions(cluster, client, kubectl, "StatefulSet")

    async def broken():
        pods = json.loads(await kubectl("get pods -o json"))["items"]
        return any(pod["spec"]["containers"][0]["image"] == "shop:v2" for pod in pods)

    async with asyncio.timeout(WITHIN):
        while not await broken():  # noqa: ASYNC110  # what is asked has no event
            await asyncio.sleep(0.05)
    done = await client.activate(release("StatefulSet", timeout=3.0), Order("shop", second, first))
    assert (done.ok, done.timed_out) == (False, True)
    assert "kubectl delete pod" in done.detail
