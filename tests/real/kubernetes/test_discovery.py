"""Workloads join and leave as targets while the controller runs, and say themselves what they are like."""

import asyncio
import json

from local_cluster.faults import Fault
from real.controller.served import BASE, serving
from real.local_cluster.workloads import workload

CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 2s}}
kubernetes: {{kubeconfig: controller.yaml}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act}}, careful: {{mode: ask}}}}
discover:
  - kubernetes: {{namespaces: [shop], selector: "rearguard.dev/watch=true", timeout: 30s}}
    policy: standard
"""
WITHIN = 30.0


def watched(name, **more):
    it = workload(name=name, image=f"{name}:v1")
    it["metadata"]["labels"]["rearguard.dev/watch"] = "true"
    it["metadata"]["annotations"] = more
    return it


async def targets(service):
    _, status = await service.get(f"{BASE}/rollback/status")
    return {each["name"]: each for each in status["targets"]}


async def becomes(service, holds):
    """The targets, once they are as wanted."""
    async with asyncio.timeout(WITHIN):
        while True:
            found = await targets(service)
            if holds(found):
                return found
            await asyncio.sleep(0.1)


async def serving_version(service, before):
    def serves(found):
        return found["shop/cart"]["serving_version"] not in (None, before)

    return (await becomes(service, serves))["shop/cart"]["serving_version"]


async def test_workloads_join_and_leave_by_their_label_and_are_rolled_back_by_their_name(cluster, kubectl, tmp_path):
    cluster.create(watched("cart"))
    cluster.create(workload(name="other", image="other:v1"))
    await kubectl("rollout status deployment/cart --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        await becomes(service, lambda found: set(found) == {"shop/cart"})
        cluster.create(watched("pay", **{"rearguard.dev/policy": "careful"}))
        found = await becomes(service, lambda found: set(found) == {"shop/cart", "shop/pay"})
        assert (found["shop/cart"]["policy"], found["shop/pay"]["policy"]) == ("standard", "careful")
        await kubectl("label deployment other rearguard.dev/watch=true")
        await becomes(service, lambda found: set(found) == {"shop/cart", "shop/pay", "shop/other"})
        await kubectl("label deployment other rearguard.dev/watch-")
        await kubectl("delete deployment pay")
        await becomes(service, lambda found: set(found) == {"shop/cart"})
        first = await serving_version(service, None)
        await kubectl("set image deployment/cart shop=cart:v2")
        second = await serving_version(service, first)
        wanted = {"target": "shop/cart", "reason": "slow", "to_version": first, "force": True}
        status, opened = await service.post(f"{BASE}/rollback/trigger", wanted)
        assert status == 202, opened
        rollback = await service.closed(opened["rollback_id"])
        assert (rollback["outcome"], rollback["from_version"], rollback["to_version"]) == ("completed", second, first)
        status, _ = await service.post(f"{BASE}/targets/shop%2Fcart/disarm", {"reason": "busy"})
        assert status == 200
        assert (await targets(service))["shop/cart"]["armed"] is False


async def test_a_bad_annotation_is_an_event_on_the_workload_and_the_target_only_observes(cluster, kubectl, tmp_path):
    cluster.create(watched("cart", **{"rearguard.dev/mode": "always"}))
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        found = await becomes(service, lambda found: set(found) == {"shop/cart"})
        assert found["shop/cart"]["mode"] == "observe"
        async with asyncio.timeout(WITHIN):
            while "AnnotationUnusable" not in (events := await kubectl("get events -o json")):  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.1)
        told = [each for each in json.loads(events)["items"] if each["reason"] == "AnnotationUnusable"]
        assert "'always' is not known" in told[0]["message"]
        await kubectl("annotate deployment cart rearguard.dev/mode=ask --overwrite")
        await becomes(service, lambda found: found["shop/cart"]["mode"] == "ask")


async def test_targets_stay_while_the_api_server_is_away(cluster, tmp_path):
    cluster.create(watched("cart"))
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        await becomes(service, lambda found: set(found) == {"shop/cart"})
        cluster.faults.add(Fault(answer=503))
        cluster.watches.end_all()
        for _ in range(40):
            assert set(await targets(service)) == {"shop/cart"}
            await asyncio.sleep(0.1)
