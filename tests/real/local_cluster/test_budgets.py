"""What disruption budgets and quotas say of the pods that run."""

from local_cluster import kinds
from local_cluster.pod_scripts import Script
from real.local_cluster.workloads import workload


def budget(name, **spec):
    metadata = {"name": name, "namespace": "shop"}
    spec["selector"] = {"matchLabels": {"app": "shop"}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


async def test_a_budget_says_how_many_pods_may_go(cluster):
    cluster.create(budget("least", minAvailable=3))
    cluster.create(budget("part", maxUnavailable="50%"))
    cluster.create(workload(replicas=4))
    await cluster.settled()

    def allowed(name):
        return cluster.store.get(kinds.BUDGETS, "shop", name)["status"]["disruptionsAllowed"]

    assert (allowed("least"), allowed("part")) == (1, 2)
    cluster.scripts.set("shop:v1", Script(never_ready=True))
    cluster.kubelet.look_at_all()
    await cluster.settled()
    assert (allowed("least"), allowed("part")) == (0, 0)


async def test_a_quota_says_how_many_pods_are_used(cluster, kubectl):
    metadata = {"name": "small", "namespace": "shop"}
    spec = {"hard": {"pods": "10"}}
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec})
    cluster.create(workload(replicas=4))
    await cluster.settled()

    assert cluster.store.get(kinds.QUOTAS, "shop", "small")["status"] == {
        "hard": {"pods": "10"},
        "used": {"pods": "4"},
    }
    assert (await kubectl("describe resourcequota small")).split()[-3:] == ["pods", "4", "10"]
