"""Versions of workloads as the controller reads and changes them, on the stand-in cluster, beside real `kubectl`."""

import asyncio
import json

import pytest

from local_cluster.faults import Fault
from local_cluster.pod_scripts import Script
from real.local_cluster.workloads import workload
from rearguard_controller.adapters.kubernetes import Order
from rearguard_controller.errors import SourceError
from rearguard_controller.model import KubernetesRelease, WorkloadKind

SHOP = KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "shop", 20.0)
WITHIN = 20.0


async def becomes(client, what, within=WITHIN):
    """Wait until `current` says something else than this, and return it."""
    async with asyncio.timeout(within):
        while True:
            try:
                found = await client.current(SHOP)
            except SourceError:
                found = what
            if found != what:
                return found
            await asyncio.sleep(0.02)


async def two_versions(cluster, client, kubectl, bad="shop:v2"):
    """A shop on v1, then on v2; the two versions."""
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    first = await client.current(SHOP)
    await kubectl(f"set image deployment/shop shop={bad}")
    return first, await becomes(client, first)


async def image_of(kubectl):
    found = json.loads(await kubectl("get deployment shop -o json"))
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


async def test_a_version_is_the_pod_template_hash_and_follows_the_workload(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    sets = json.loads(await kubectl("get replicasets -o json"))["items"]
    by_image = {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: each["metadata"]["labels"]["pod-template-hash"]
        for each in sets
    }
    assert by_image == {"shop:v1": first, "shop:v2": second}
    assert await client.versions(SHOP) == {first, second}
    assert await client.current(SHOP, fresh=True) == second
    assert await client.described(SHOP, first) == "revision 1, shop:v1"
    await kubectl("scale deployment/shop --replicas=3")
    await kubectl("annotate deployment/shop note=changed")
    await kubectl("rollout status deployment/shop --timeout=40s")
    assert await client.current(SHOP, fresh=True) == second  # neither is another version


async def test_a_version_is_gone_back_to_by_name_and_kubectl_tells_the_story(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    await kubectl("set image deployment/shop shop=shop:v3")
    third = await becomes(client, second)
    order = Order("shop", third, first, "r-1")
    assert (await client.prove(SHOP, order)).ok
    assert await image_of(kubectl) == "shop:v3"  # a dry run
    done = await client.activate(SHOP, order)
    assert done.ok, done
    assert await image_of(kubectl) == "shop:v1"
    assert await client.current(SHOP, fresh=True) == first
    assert len(await client.versions(SHOP)) == 3  # its old ReplicaSet is taken again
    history = await kubectl("rollout history deployment/shop")
    assert f"rearguard: from {third} back to {first} (rollback r-1)" in history
    described = await kubectl("describe deployment shop")
    assert "RolledBack" in described
    again = await client.activate(SHOP, order)  # as after a crash: nothing is patched twice
    assert again.ok
    assert (await kubectl("rollout history deployment/shop")) == history


async def test_a_deploy_that_lands_first_wins(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    await kubectl("set image deployment/shop shop=shop:v3")
    done = await client.activate(SHOP, Order("shop", second, first))
    assert (done.ok, done.superseded) == (False, True)
    assert await image_of(kubectl) == "shop:v3"


async def test_a_deploy_between_reading_and_patching_is_never_overwritten(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    slow = cluster.faults.add(Fault(methods=("PATCH",), delay=3.0, path="/deployments/shop$", times=1))
    doing = asyncio.create_task(client.activate(SHOP, Order("shop", second, first)))
    async with asyncio.timeout(WITHIN):
        while not slow.met:  # noqa: ASYNC110  # the fault has no event
            await asyncio.sleep(0.02)
    cluster.faults.clear()
    await kubectl("set image deployment/shop shop=shop:v3")
    done = await doing
    assert (done.ok, done.superseded) == (False, True)
    assert await image_of(kubectl) == "shop:v3"


async def test_a_status_that_changes_all_the_time_does_not_keep_a_version_from_coming_back(cluster, client, kubectl):
    cluster.scripts.set("shop:v2", Script(crash_every=0.05))
    first, second = await two_versions(cluster, client, kubectl)
    done = await client.activate(SHOP, Order("shop", second, first))
    assert done.ok, done
    assert await image_of(kubectl) == "shop:v1"


async def test_a_paused_workload_is_refused_before_anything_is_begun(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    await kubectl("rollout pause deployment/shop")
    for done in (
        await client.prove(SHOP, Order("shop", second, first)),
        await client.activate(SHOP, Order("shop", second, first)),
    ):
        assert not done.ok
        assert "paused" in done.detail
        assert "kubectl rollout resume" in done.detail
    assert await image_of(kubectl) == "shop:v2"


async def test_a_version_whose_revision_is_gone_is_refused_with_the_reason(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    await kubectl("rollout status deployment/shop --timeout=40s")
    await kubectl(f"delete replicaset shop-{first}")
    done = await client.prove(SHOP, Order("shop", second, first))
    assert not done.ok
    assert "revisionHistoryLimit" in done.detail
    assert first not in await client.versions(SHOP)


@pytest.mark.parametrize("thing", ["configmap", "secret"])
async def test_a_version_that_needs_what_was_deleted_is_refused_before_anything_is_begun(
    cluster, client, kubectl, thing
):
    for kind in ("ConfigMap", "Secret"):
        cluster.create({"apiVersion": "v1", "kind": kind, "metadata": {"name": "settings", "namespace": "shop"}})
    it = workload(image="shop:v1")
    reference = {"configmap": {"configMapRef": {"name": "settings"}}, "secret": {"secretRef": {"name": "settings"}}}
    it["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [reference[thing]]
    cluster.create(it)
    await kubectl("rollout status deployment/shop --timeout=40s")
    first = await client.current(SHOP)
    await kubectl("set image deployment/shop shop=shop:v2")
    second = await becomes(client, first)
    assert (await client.prove(SHOP, Order("shop", second, first))).ok
    await kubectl(f"delete {thing} settings")
    done = await client.prove(SHOP, Order("shop", second, first))
    assert not done.ok
    assert f"{thing} settings" in done.detail


async def test_pods_that_never_become_ready_are_a_failure_within_the_limit(cluster, client, kubectl):
    cluster.scripts.set("shop:v1", Script())
    first, second = await two_versions(cluster, client, kubectl)
    cluster.scripts.set("shop:v1", Script(never_ready=True))
    short = KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "shop", 3.0)
    await kubectl("rollout status deployment/shop --timeout=40s")
    done = await client.activate(short, Order("shop", second, first))
    assert (done.ok, done.timed_out) == (False, True)
    assert "was not rolled out within 3s" in done.detail
    assert "pods" in done.detail


@pytest.mark.parametrize(
    "fault",
    [
        {"answer": 500}, {"answer": 503, "retry_after": 1}, {"answer": 429, "retry_after": 1}, {"half": True},
        {"cut": True}, {"answer": 409}, {"answer": 504},
    ],
    ids=lambda fault: "-".join(f"{name}{value}" for name, value in fault.items()),
)  # fmt: skip
async def test_a_fault_that_passes_does_not_keep_a_version_from_coming_back(cluster, client, kubectl, fault):
    first, second = await two_versions(cluster, client, kubectl)
    cluster.faults.add(Fault(**fault, methods=("PATCH",), path="/deployments/shop$", times=1))
    cluster.faults.add(Fault(**{**fault, **({"answer": 500} if fault.get("answer") == 409 else {})},
                             methods=("GET",), path="/deployments/shop$", times=1))  # fmt: skip
    done = await client.activate(SHOP, Order("shop", second, first))
    assert done.ok, done
    assert await image_of(kubectl) == "shop:v1"


@pytest.mark.parametrize(("answer", "hint"), [(401, "token"), (403, "verbs"), (404, "right")])
async def test_a_refusal_ends_the_attempt_at_once_and_says_so(cluster, client, kubectl, answer, hint):
    first, second = await two_versions(cluster, client, kubectl)
    cluster.faults.add(Fault(answer=answer, methods=("PATCH",), path="/deployments/shop$"))
    done = await client.activate(SHOP, Order("shop", second, first))
    assert not done.ok
    assert str(answer) in done.detail
    cluster.faults.add(Fault(answer=answer, methods=("GET",), path="/deployments/shop$"))
    with pytest.raises(SourceError) as told:
        await client.current(SHOP, fresh=True)
    assert hint in told.value.hint


async def test_a_dry_run_that_gets_no_answer_is_no_verdict(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    order = Order("shop", second, first)
    cluster.faults.add(Fault(answer=503, methods=("PATCH",), query="dryRun", times=1))
    assert (await client.prove(SHOP, order)).ok  # it is asked again
    cluster.faults.add(Fault(answer=503, methods=("PATCH",), query="dryRun"))
    done = await client.prove(SHOP, order)
    assert (done.ok, done.unknown) == (False, True)
    cluster.faults.clear()
    cluster.faults.add(Fault(answer=403, methods=("PATCH",), query="dryRun"))
    done = await client.prove(SHOP, order)
    assert (done.ok, done.unknown) == (False, False)
    assert "403" in done.detail


async def test_an_api_server_that_is_away_is_waited_for_within_the_limit(cluster, client, kubectl):
    first, second = await two_versions(cluster, client, kubectl)
    await cluster.go_away()
    doing = asyncio.create_task(client.activate(SHOP, Order("shop", second, first)))
    await asyncio.sleep(1.5)  # it fails meanwhile
    await cluster.come_back()
    done = await doing
    assert done.ok, done


async def test_what_is_followed_survives_broken_watches_and_a_forgotten_past(cluster, client, kubectl):
    _, second = await two_versions(cluster, client, kubectl)
    cluster.watches.end_all()
    await kubectl("set image deployment/shop shop=shop:v3")
    third = await becomes(client, second)
    cluster.forget_changes()  # 410 to every watch
    await kubectl("set image deployment/shop shop=shop:v4")
    fourth = await becomes(client, third)
    await cluster.go_away()
    await cluster.come_back()
    await kubectl("set image deployment/shop shop=shop:v5")
    assert await becomes(client, fourth) == await client.current(SHOP, fresh=True)


async def test_what_does_not_exist_is_said_and_no_version_is_made_up(client):
    with pytest.raises(SourceError, match="There is no deployment shop/shop"):
        await client.current(SHOP)
    with pytest.raises(SourceError, match="404"):
        await client.current(SHOP, fresh=True)
