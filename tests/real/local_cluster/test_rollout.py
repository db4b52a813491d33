"""What `kubectl rollout` does on the stand-in is what was recorded of it."""

import asyncio
import json

import pytest

from local_cluster import kinds
from local_cluster.objects import condition
from local_cluster.pod_scripts import Script
from real.local_cluster.client import DEPLOYMENTS
from real.local_cluster.workloads import workload


async def test_undo_goes_back_and_forth_under_new_revisions(cluster, kubectl):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    await kubectl("set image deployment/shop shop=shop:v2")
    await kubectl("rollout status deployment/shop --timeout=40s")

    seen = []
    for _ in range(2):
        assert "rolled back" in await kubectl("rollout undo deployment/shop")
        await kubectl("rollout status deployment/shop --timeout=40s")
        deployment = json.loads(await kubectl("get deployment shop -o json"))
        revision = deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        seen.append((revision, deployment["spec"]["template"]["spec"]["containers"][0]["image"]))

    assert seen == [("3", "shop:v1"), ("4", "shop:v2")]
    sets = json.loads(await kubectl("get replicasets -o json"))["items"]
    assert len(sets) == 2, "an undo takes the old ReplicaSet again"
    assert (await kubectl("rollout history deployment/shop")).split()[-4:] == ["3", "<none>", "4", "<none>"]


async def test_a_paused_deployment_is_not_undone(cluster, kubectl):
    cluster.create(workload(image="shop:v1"))
    await kubectl("set image deployment/shop shop=shop:v2")
    await kubectl("rollout status deployment/shop --timeout=40s")
    await kubectl("rollout pause deployment/shop")

    code, output = await kubectl.run("rollout undo deployment/shop")

    assert code == 1
    assert "cannot rollback a paused deployment" in output

    await kubectl("set image deployment/shop shop=shop:v3")
    await cluster.settled()
    assert len(cluster.store.all(kinds.REPLICA_SETS, "shop")) == 2, "a paused deployment rolls nothing out"
    await kubectl("rollout resume deployment/shop")
    await kubectl("rollout status deployment/shop --timeout=40s")
    assert len(cluster.store.all(kinds.REPLICA_SETS, "shop")) == 3


async def test_undo_to_the_present_template_is_skipped(cluster, kubectl):
    cluster.create(workload(image="shop:v1"))
    await cluster.settled()
    await kubectl("set image deployment/shop shop=shop:v2")
    await kubectl("rollout status deployment/shop --timeout=40s")

    assert "skipped rollback" in await kubectl("rollout undo deployment/shop --to-revision=2")

    code, output = await kubectl.run("rollout undo deployment/shop --to-revision=9")
    assert (code, output) == (1, "error: unable to find specified revision 9 in history\n")


async def test_a_patch_with_a_stale_test_of_the_version_is_refused(cluster, client):
    cluster.create(workload())
    await cluster.settled()
    path = f"{DEPLOYMENTS}/shop"
    _, deployment, _ = await client.get(path)
    version = deployment["metadata"]["resourceVersion"]
    image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop:v9"}

    def patch(tested):
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": tested}
        return client.patch(path, [test, image], "json-patch+json")

    code, status, _ = await patch("1")
    assert (code, status["reason"]) == (422, "Invalid")
    code, _, _ = await patch(version)
    assert code == 200


async def test_a_rollout_that_gets_nowhere_says_so_when_its_time_is_over(cluster, kubectl, until):
    cluster.scripts.set("shop:bad", Script(never_ready=True))
    cluster.create(workload(image="shop:v1", progressDeadlineSeconds=2))
    await cluster.settled()
    await kubectl("set image deployment/shop shop=shop:bad")

    code, output = await kubectl.run("rollout status deployment/shop --timeout=40s")

    assert (code, output.splitlines()[-1]) == (1, 'error: deployment "shop" exceeded its progress deadline')
    deployment = cluster.store.get(kinds.DEPLOYMENTS, "shop", "shop")
    assert condition(deployment, "Available")["status"] == "True", "the old pods serve on"
    assert deployment["status"]["updatedReplicas"] == 1


@pytest.mark.parametrize(
    ("script", "reason"),
    [(Script(crash_every=0.1, back_off=0.4), "CrashLoopBackOff"), (Script(pull_error=True), "ImagePullBackOff")],
)
async def test_pods_fail_as_their_script_says(script, reason, cluster, kubectl, until):
    cluster.scripts.set("shop:*", script)
    cluster.create(workload(replicas=1))

    def waits():
        pods = cluster.store.all(kinds.PODS, "shop")
        states = [one["status"]["containerStatuses"][0] for one in pods if "containerStatuses" in one["status"]]
        return [one for one in states if one["state"].get("waiting", {}).get("reason") == reason]

    state = (await until(waits))[0]
    async with asyncio.timeout(40):  # it is in turns waiting and running
        while reason not in await kubectl("get pods"):
            pass
    assert "BackOff" in await kubectl("get events")
    if reason == "CrashLoopBackOff":
        assert state["lastState"]["terminated"]["exitCode"] == 1
        assert await until(lambda: waits() and waits()[0]["restartCount"] >= 2)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_other_workloads_have_a_history_and_are_undone(kind, cluster, kubectl):
    extra = {"serviceName": "shop"} if kind == "StatefulSet" else {}
    cluster.create(workload(kind, image="shop:v1", **extra))
    await kubectl(f"rollout status {kind}/shop --timeout=40s")
    await kubectl(f"set image {kind}/shop shop=shop:v2")
    await kubectl(f"rollout status {kind}/shop --timeout=40s")

    await kubectl(f"rollout undo {kind}/shop")
    await kubectl(f"rollout status {kind}/shop --timeout=40s")

    assert "skipped rollback" in await kubectl(f"rollout undo {kind}/shop --to-revision=3")
    assert (await kubectl(f"rollout history {kind}/shop")).split()[-4:] == ["2", "<none>", "3", "<none>"]
    images = {one["spec"]["containers"][0]["image"] for one in cluster.store.all(kinds.PODS, "shop")}
    assert images == {"shop:v1"}


async def test_a_stateful_set_waits_for_a_broken_pod_even_when_it_is_undone(cluster, kubectl, until):
    cluster.scripts.set("shop:bad", Script(never_ready=True))
    cluster.create(workload("StatefulSet", image="shop:v1", serviceName="shop"))
    await kubectl("rollout status statefulset/shop --timeout=40s")
    await kubectl("set image statefulset/shop shop=shop:bad")

    def image():
        pod = cluster.store.find(kinds.PODS, "shop", "shop-1")
        return pod and pod["spec"]["containers"][0]["image"]

    await until(lambda: image() == "shop:bad")
    await kubectl("rollout undo statefulset/shop")
    await cluster.settled()
    assert image() == "shop:bad"

    await kubectl("delete pod shop-1")
    assert await until(lambda: image() == "shop:v1")
