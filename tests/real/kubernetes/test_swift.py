"""How soon a decision becomes a patch, by two records: the controller's journal and the API server's own log."""

import statistics

from local_stack.ask import seconds
from real.controller.served import BASE, serving
from real.kubernetes.test_killed import patches
from real.kubernetes.test_served import CONFIGURATION, serves
from real.local_cluster.workloads import workload

ROLLBACKS = 5
LIMIT = 1.0  # seconds, of the median: one that a busy machine held up says nothing of the others


async def test_a_decision_becomes_a_patch_within_a_second(cluster, kubectl, tmp_path):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    took = []
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        good = await serves(service, None)
        for number in range(ROLLBACKS):
            await kubectl(f"set image deployment/shop shop=shop:bad-{number}")
            await serves(service, good)
            wanted = {"target": "shop", "reason": "slow", "to_version": good, "force": True}
            status, opened = await service.post(f"{BASE}/rollback/trigger", wanted)
            assert status == 202, opened
            rollback = await service.closed(opened["rollback_id"])
            assert rollback["outcome"] == "completed", rollback
            _, decision = await service.get(f"{BASE}/decisions/{rollback['decision_id']}")
            sent = patches(cluster)
            assert len(sent) == number + 1
            took.append(sent[-1].at - seconds(decision["decided_at"]))
    assert all(each >= 0 for each in took), took
    assert statistics.median(took) <= LIMIT, took
