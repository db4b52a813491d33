"""What `kubectl apply` and patches make of objects, and what is refused."""

import copy
import json
from pathlib import Path

import pytest

from local_cluster import kinds
from real.local_cluster.client import DEPLOYMENTS
from real.local_cluster.workloads import workload

BASE = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes" / "base"


def spec_of(cluster):
    return cluster.store.get(kinds.DEPLOYMENTS, "shop", "shop")["spec"]


async def test_a_second_apply_changes_what_the_manifest_changed_and_leaves_the_rest(cluster, kubectl):
    value = workload(replicas=3)
    container = value["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert "created" in await kubectl("apply -f -", stdin=json.dumps(value))
    assert "unchanged" in await kubectl("apply -f -", stdin=json.dumps(value))
    await kubectl("scale deployment/shop --replicas=5")
    await kubectl("set env deployment/shop C=3")

    del value["spec"]["replicas"]
    container["env"] = [{"name": "B", "value": "9"}]
    assert "configured" in await kubectl("apply -f -", stdin=json.dumps(value))

    env = spec_of(cluster)["template"]["spec"]["containers"][0]["env"]
    assert {one["name"]: one["value"] for one in env} == {"B": "9", "C": "3"}
    assert spec_of(cluster)["replicas"] == 1, "a field that leaves the manifest gets its default again"


async def test_the_shipped_manifests_are_applied_and_nothing_is_left_to_change(cluster, kubectl):
    await kubectl(f"apply -k {BASE}")

    again = (await kubectl(f"apply -k {BASE}")).splitlines()

    assert [line for line in again if not line.endswith("unchanged")] == []
    assert await kubectl(f"diff -k {BASE}") == ""
    deleted = (await kubectl(f"delete -k {BASE}")).splitlines()
    assert len(deleted) == len(again)


async def test_an_unknown_field_and_a_wrong_type_are_named(cluster, kubectl):
    value = workload()
    value["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    code, output = await kubectl.run("apply -f -", stdin=json.dumps(value))
    assert (code, 'unknown field "spec.template.spec.containers[0].imag"' in output) == (1, True)

    code, output = await kubectl.run("apply -f -", stdin=json.dumps(workload(replicas="two")))
    assert (code, "spec.replicas" in output) == (1, True)


async def test_a_server_side_apply_fights_for_nothing_unless_forced(cluster, kubectl):
    manifest = json.dumps(workload(image="shop:v1"))
    await kubectl("apply --server-side --field-manager=ci -f -", stdin=manifest)
    await kubectl("set image deployment/shop shop=shop:hotfix --field-manager=somebody")

    code, output = await kubectl.run("apply --server-side --field-manager=ci -f -", stdin=manifest)
    assert code == 1
    assert 'conflict with "somebody"' in output
    assert '.spec.template.spec.containers[name="shop"].image' in output
    assert spec_of(cluster)["template"]["spec"]["containers"][0]["image"] == "shop:hotfix"

    await kubectl("apply --server-side --field-manager=ci --force-conflicts -f -", stdin=manifest)
    assert spec_of(cluster)["template"]["spec"]["containers"][0]["image"] == "shop:v1"


async def test_what_a_manager_no_longer_applies_is_taken_out(cluster, client):
    value = workload()
    value["metadata"]["labels"]["team"] = "web"
    extra = {"name": "side", "image": "side:v1"}
    value["spec"]["template"]["spec"]["containers"].append(extra)

    async def apply(**query):
        return await client.patch(f"{DEPLOYMENTS}/shop", value, "apply-patch+yaml", fieldManager="ci", **query)

    assert (await apply())[0] == 201
    before = cluster.store.get(kinds.DEPLOYMENTS, "shop", "shop")["metadata"]["generation"]
    value["spec"]["template"]["spec"]["containers"].remove(extra)
    del value["metadata"]["labels"]["team"]
    code, applied, _ = await apply()

    assert code == 200, applied
    assert [one["name"] for one in applied["spec"]["template"]["spec"]["containers"]] == ["shop"]
    assert applied["metadata"]["labels"] == {"app": "shop"}
    assert applied["metadata"]["generation"] == before + 1
    managers = [(one["manager"], one["operation"]) for one in applied["metadata"]["managedFields"]]
    assert managers == [("ci", "Apply")]


async def test_a_dry_run_answers_and_stores_nothing(cluster, client):
    cluster.create(workload(image="shop:v1"))
    await cluster.settled()
    version = cluster.store.version
    image = {"spec": {"template": {"spec": {"containers": [{"name": "shop", "image": "shop:v2"}]}}}}

    code, answered, _ = await client.patch(f"{DEPLOYMENTS}/shop", image, "strategic-merge-patch+json", dryRun="All")
    assert (code, answered["spec"]["template"]["spec"]["containers"][0]["image"]) == (200, "shop:v2")
    code, _, _ = await client.send("POST", DEPLOYMENTS, workload(name="other"), dryRun="All")
    assert code == 201
    code, _, _ = await client.send("DELETE", f"{DEPLOYMENTS}/shop", dryRun="All")
    assert code == 200
    assert cluster.store.version == version
    assert (await client.patch(f"{DEPLOYMENTS}/shop", image, dryRun="Some"))[0] == 400


async def test_what_a_client_leaves_blank_is_no_new_template(cluster, client):
    cluster.create(workload())
    await cluster.settled()
    _, before, _ = await client.get(f"{DEPLOYMENTS}/shop")

    blank = copy.deepcopy(before)
    template = blank["spec"]["template"]
    template["metadata"]["annotations"] = {}
    template["spec"].update(nodeSelector={}, volumes=[], hostname=None)
    template["spec"]["containers"][0].update(env=[], command=None, resources={"limits": {}})
    for field in ("terminationGracePeriodSeconds", "dnsPolicy", "securityContext"):
        del template["spec"][field]
    code, after, _ = await client.send("PUT", f"{DEPLOYMENTS}/shop", blank)

    assert code == 200
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"] == before["spec"]


async def test_a_write_with_a_stale_version_is_a_conflict(cluster, client):
    cluster.create(workload())
    await cluster.settled()
    stale = {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}
    code, status, _ = await client.patch(f"{DEPLOYMENTS}/shop", stale)
    assert (code, status["reason"]) == (409, "Conflict")
    assert "the object has been modified" in status["message"]

    _, deployment, _ = await client.get(f"{DEPLOYMENTS}/shop")
    deployment["metadata"]["resourceVersion"] = "1"
    assert (await client.send("PUT", f"{DEPLOYMENTS}/shop", deployment))[0] == 409
    assert (await client.send("POST", DEPLOYMENTS, workload()))[1]["reason"] == "AlreadyExists"


@pytest.mark.parametrize("name", ["Shop", "shop_1", "-shop", "shop.", "a" * 254])
async def test_a_name_that_dns_would_not_take_is_refused(name, client):
    code, status, _ = await client.send("POST", DEPLOYMENTS, workload(name=name))
    assert (code, status["reason"]) == (422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.name"


async def test_short_commands_of_kubectl_work(cluster, kubectl):
    await kubectl("create namespace tools")
    await kubectl("create deployment web --image=web:v1 --replicas=2 --port=8080")
    await kubectl("rollout status deployment/web --timeout=40s")
    shown = await kubectl("get all")
    assert "deployment.apps/web" in shown
    assert "2/2" in shown
    described = await kubectl("describe deployment web")
    assert "NewReplicaSetAvailable" in described
    assert "ScalingReplicaSet" in described
    await kubectl("create serviceaccount bot -n tools")
    assert (await kubectl("create token bot -n tools")).strip()
    await kubectl("delete namespace tools")
    assert "tools" not in await kubectl("get namespaces")


async def test_an_event_is_one_object_under_both_its_names(cluster, kubectl, client):
    cluster.create(workload(replicas=0))
    await cluster.settled()
    deployment = cluster.store.get(kinds.DEPLOYMENTS, "shop", "shop")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "namespace": "shop"}
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "shop.", "namespace": "shop"},
        "regarding": {**reference, "uid": deployment["metadata"]["uid"]},
        "note": "went back to shop:v1",
        "reason": "RolledBack",
        "type": "Normal",
        "eventTime": "2026-11-29T12:00:00.000000Z",
        "reportingController": "rearguard",
        "reportingInstance": "rearguard-0",
        "action": "RollBack",
    }
    code, stored, _ = await client.send("POST", "/apis/events.k8s.io/v1/namespaces/shop/events", event)
    assert (code, stored["note"]) == (201, "went back to shop:v1")
    described = await kubectl("describe deployment shop")
    assert "RolledBack" in described
    assert "went back to shop:v1" in described
