"""What `kubectl rollout` does on the stand-in is what was recorded of it."""

import json

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
