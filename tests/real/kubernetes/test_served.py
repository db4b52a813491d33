"""A served controller whose target is a Deployment of the stand-in cluster: releases, dry run, rollback, drill."""

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
policies: {{standard: {{mode: act}}}}
targets:
  - name: shop
    match: {{service_name: shop, deployment_environment_name: production}}
    release: {{kubernetes: {{namespace: shop, deployment: shop, timeout: 30s}}}}
"""
WITHIN = 20.0


async def serves(service, version, within=WITHIN):
    """Wait until the journal says that a version serves that is not this one."""
    async with asyncio.timeout(within):
        while True:
            _, found = await service.get(f"{BASE}/targets/shop/releases")
            if found["serving_version"] not in (None, version):
                return found["serving_version"]
            await asyncio.sleep(0.02)


async def test_a_new_template_is_seen_at_once_and_gone_back_from_by_hand(cluster, kubectl, tmp_path):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        first = await serves(service, None)
        await kubectl("set image deployment/shop shop=shop:v2")
        second = await serves(service, first)
        known = await cluster_versions(kubectl)
        assert (first, second) == (known["shop:v1"], known["shop:v2"])
        await service.post(f"{BASE}/targets/shop/releases", {"version": first, "good": True})
        _, remembered = await service.get(f"{BASE}/targets/shop/releases")
        told = {each["version"]: each["description"].partition(", run as")[0] for each in remembered["releases"]}
        assert told == {first: "revision 1, shop:v1", second: "revision 2, shop:v2"}
        _, status = await service.get(f"{BASE}/rollback/status")
        assert status["targets"][0]["serving_description"].startswith("revision 2, shop:v2")
        wanted = {"target": "shop", "reason": "slow", "dry_run": True}
        status, dry = await service.post(f"{BASE}/rollback/trigger", wanted)
        assert status == 200
        (step,) = [each for each in dry["plan"] if each["kind"] == "roll_back"]
        assert step["action"] == {"kubernetes": {"namespace": "shop", "kind": "deployment", "name": "shop"}}
        status, opened = await service.post(f"{BASE}/rollback/trigger", {**wanted, "dry_run": False})
        assert status == 202
        rollback = await service.closed(opened["rollback_id"])
        assert (rollback["outcome"], rollback["from_version"], rollback["to_version"]) == ("completed", second, first)
        (step,) = [each for each in rollback["steps"] if each["kind"] == "roll_back"]
        assert "all 2 pods have the template and are available" in step["detail"]
        assert f"{second} -> {first}" in step["output"]
        deployment = json.loads(await kubectl("get deployment shop -o json"))
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:v1"
        assert opened["rollback_id"] in await kubectl("rollout history deployment/shop")


async def cluster_versions(kubectl):
    sets = json.loads(await kubectl("get replicasets -o json"))["items"]
    return {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: each["metadata"]["labels"]["pod-template-hash"]
        for each in sets
    }


async def test_an_account_that_may_not_patch_makes_the_target_not_ready_and_says_what_is_missing(
    cluster, kubectl, tmp_path
):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    rules = [{"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["get", "list", "watch"]}]
    about = {"name": "reader", "namespace": "shop"}
    group, version = "rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1"
    cluster.create({"apiVersion": version, "kind": "Role", "metadata": about, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "shop"}
    role = {"apiGroup": group, "kind": "Role", "name": "reader"}
    cluster.create(
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": about,
            "subjects": [subject],
            "roleRef": role,
        }
    )
    cluster.write_kubeconfig(tmp_path / "controller.yaml", token=cluster.token_of("shop", "default"))
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        await serves(service, None)
        status, drill = await service.post(f"{BASE}/targets/shop/drill", {"reason": "may it?"})
        assert status == 200
        told = {each["name"]: (each["holds"], each["detail"]) for each in drill["checks"]}
        assert told["rollback_command"][0] is False
        assert "may not patch deployments in namespace shop" in told["rollback_command"][1]
        assert "get" not in told["rollback_command"][1]


async def test_an_api_server_that_is_away_is_unknown_and_never_another_version(cluster, kubectl, tmp_path):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        first = await serves(service, None)
        cluster.faults.add(Fault(answer=503))
        status, refused = await service.post(
            f"{BASE}/rollback/trigger", {"target": "shop", "reason": "x", "to_version": "abc", "force": True}
        )
        assert status in (409, 422, 503), refused
        _, found = await service.get(f"{BASE}/targets/shop/releases")
        assert found["serving_version"] == first
