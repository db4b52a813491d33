"""Hooks that lead traffic away inside a cluster, as the real `kubectl` sees them: during, after, and disturbed."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
import yaml

from local_cluster.faults import Fault
from real.cluster.replicas import removed_at_the_end, until
from real.controller.served import BASE, serving
from real.kubernetes.test_killed import asked, controller, serves
from real.kubernetes.test_served import CONFIGURATION
from real.kubernetes.test_served import serves as serves_now
from real.local_cluster.workloads import workload
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.model import Drain, Weight

COMPONENTS = Path(__file__).parents[3] / "deploy/kubernetes/components"
SERVICE = Drain("shop", 5.0, service="shop", selector={"track": "good"})
ROUTE = Drain("shop", 5.0, httproute="shop", weights=(Weight("new", 0), Weight("old", 100)))
BACK = Drain("shop", 5.0, service="shop", selector={"track": "good"}, restore=True)
ROUTE_BACK = Drain("shop", 5.0, httproute="shop", weights=ROUTE.weights, restore=True)
HOOKS = """
    hooks:
      before:
        - {{name: drain, kubernetes: {{service: shop}}, on_failure: stop}}
        - name: look
          command: [kubectl, get, "services,endpointslices", -o, json]
          pass_env: [KUBECONFIG]
"""


def service(name="shop", **more):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}], **more},
    }


def route(**weights):
    backends = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"hostnames": ["shop.example.com"], "rules": [{"backendRefs": backends}]},
    }


async def spec_of(kubectl, thing="service shop"):
    found = json.loads(await kubectl(f"get {thing} -o json"))
    return found["spec"], found["metadata"].get("annotations", {})


async def selector_of(kubectl):
    return (await spec_of(kubectl))[0]["selector"]


@pytest.fixture
async def good_pods(cluster, kubectl):
    """Two ready pods that a Service may be narrowed to."""
    it = workload(image="shop:v1")
    it["spec"]["template"]["metadata"]["labels"]["track"] = "good"
    cluster.create(it)
    cluster.create(service())
    await kubectl("rollout status deployment/shop --timeout=40s")


async def test_only_the_good_pods_get_requests_while_the_others_are_replaced(cluster, kubectl, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(cluster.write_kubeconfig(tmp_path / "hook.yaml", namespace="shop")))
    cluster.create(workload(image="shop:v1", minReadySeconds=600))  # so that v2 comes beside v1, and stays there
    cluster.create(service())
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    configuration = CONFIGURATION.replace("timeout: 30s", "timeout: 5s") + HOOKS

    async def ready(images):
        pods = json.loads(await kubectl("get pods -o json"))["items"]
        found = [
            each["spec"]["containers"][0]["image"]
            for each in pods
            if any(one["type"] == "Ready" and one["status"] == "True" for one in each["status"].get("conditions", []))
        ]
        return sorted(found) == images

    await until(lambda: ready(["shop:v1", "shop:v1"]), what="v1 is ready")
    async with serving(tmp_path, configuration=configuration) as controlled:
        first = await serves_now(controlled, None)
        await kubectl("set image deployment/shop shop=shop:v2")
        await until(lambda: ready(["shop:v1", "shop:v1", "shop:v2"]), what="v2 is ready beside v1")
        wanted = {"target": "shop", "reason": "slow", "to_version": first, "force": True}
        _, opened = await controlled.post(f"{BASE}/rollback/trigger", wanted)
        rollback = await controlled.closed(opened["rollback_id"])
    steps = {each["name"]: each for each in rollback["steps"]}
    assert steps["drain"]["state"] == "done", steps["drain"]
    assert "2 ready pods are left to it" in steps["drain"]["detail"]
    found = {each["kind"]: each for each in json.loads(steps["look"]["output"])["items"]}
    assert found["Service"]["spec"]["selector"] == {"app": "shop", "pod-template-hash": first}
    assert [each["targetRef"]["name"].split("-")[1] for each in found["EndpointSlice"]["endpoints"]] == [first, first]
    assert (steps["undo drain"]["state"], steps["undo drain"]["action"]["drain"]["restore"]) == ("done", True)
    await is_as_before(kubectl)


@pytest.mark.parametrize("step", ["drain", pytest.param("undo drain", marks=pytest.mark.soak)])
async def test_a_controller_that_is_killed_between_patch_and_record_changes_nothing_twice(
    cluster, kubectl, tmp_path, step
):
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    cluster.create(workload(image="shop:v1"))
    cluster.create(service())
    await kubectl("rollout status deployment/shop --timeout=40s")
    program = controller(tmp_path)
    file = tmp_path / "rearguard.yaml"
    content = yaml.safe_load(file.read_text())
    standing_by = {"service": "shop", "selector": {"app": "standby"}}
    content["targets"][0]["hooks"] = {"before": [{"name": "drain", "kubernetes": standing_by, "timeout": "1m"}]}
    cluster.create(workload(image="standby:v1", name="standby"))
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    await kubectl("rollout status deployment/standby --timeout=40s")
    left = {"app": "standby" if step == "drain" else "shop"}
    async with removed_at_the_end(program):
        await program.start()
        first = await serves(program, "shop:v1", kubectl)
        await kubectl("set image deployment/shop shop=shop:v2")
        await kubectl("rollout status deployment/shop --timeout=40s")
        await until(lambda: served(program, first), what="v2 serves")
        for late in (60.0,) if step == "drain" else (0.0, 60.0):  # the one that is to be cut off waits for its answer
            held = cluster.faults.add(Fault(methods=("PATCH",), path="/services/shop$", late=late, times=1))
        wanted = {"target": "shop", "reason": "slow", "to_version": first, "force": True}
        opened = await asked(program, "POST", f"{BASE}/rollback/trigger", json=wanted)
        await until(lambda: held.met, what="the patch is sent")
        await until(lambda: selector_is(kubectl, left), what="the patch is there")
        await program.end(signal.SIGKILL)
        cluster.faults.clear()
        await program.start()

        async def closed():
            found = await asked(program, "GET", f"{BASE}/rollback/{opened['rollback_id']}")
            return found if found["phase"] == "closed" else None

        rollback, _ = await until(closed, what="the rollback is closed")
    steps = {each["name"]: each for each in rollback["steps"]}
    assert rollback["outcome"] == "completed", rollback
    assert (steps[step]["state"], steps[step]["attempt"]) == ("done", 2)
    wanted = {"drain": "is drained already", "undo drain": "nothing to put back"}
    assert wanted[step] in steps[step]["detail"]
    patched = [
        each for each in cluster.api.answered if each.method == "PATCH" and each.path.endswith("/services/shop")
    ]
    assert [each.code for each in patched] == [200, 200]
    await is_as_before(kubectl)


async def is_as_before(kubectl):
    spec, annotations = await spec_of(kubectl)
    assert (spec["selector"], annotations) == ({"app": "shop"}, {})


async def served(program, first):
    found = await asked(program, "GET", f"{BASE}/targets/shop/releases")
    return found["serving_version"] not in (None, first)


async def selector_is(kubectl, wanted):
    return await selector_of(kubectl) == wanted


async def test_weights_are_set_in_every_rule_and_put_back_as_they_were(cluster, client, kubectl):
    cluster.create(route(old=10, new=90))
    done = await client.drain(ROUTE, "r-1")
    assert (done.ok, done.output) == (True, "old: 10 -> 100\nnew: 90 -> 0"), done
    during, annotations = await spec_of(kubectl, "httproutes.gateway.networking.k8s.io shop")
    assert [each["weight"] for each in during["rules"][0]["backendRefs"]] == [100, 0]
    assert json.loads(annotations["rearguard.dev/weights-before"])["rollback"] == "r-1"
    assert (await client.drain(ROUTE, "r-1")).detail == "HTTPRoute shop/shop is drained already"
    await kubectl("annotate httproutes.gateway.networking.k8s.io shop team=web")  # changes nothing that was drained
    assert (await client.drain(ROUTE_BACK, "r-1")).ok
    after, annotations = await spec_of(kubectl, "httproutes.gateway.networking.k8s.io shop")
    assert (after, annotations) == (route(old=10, new=90)["spec"], {"team": "web"})


@pytest.mark.usefixtures("good_pods")
async def test_an_undo_refuses_what_somebody_else_changed_and_says_what_a_person_may_do(client, kubectl):
    assert (await client.drain(SERVICE, "r-1")).ok
    assert await selector_of(kubectl) == {"app": "shop", "track": "good"}
    await kubectl("set selector service shop app=shop,track=better")
    done = await client.drain(BACK, "r-1")
    assert not done.ok
    assert 'somebody else changed it meanwhile: /spec/selector was {"app": "shop"}' in done.detail
    assert await selector_of(kubectl) == {"app": "shop", "track": "better"}
    again = await client.drain(SERVICE, "r-2")
    assert "rollback r-1 drains it" in again.detail
    said = done.detail.rpartition("by kubectl ")[2]
    await kubectl(said)  # the person leaves it as it is
    assert (await client.drain(BACK, "r-1")).detail == (
        "Service shop/shop is not drained by this rollback: there is nothing to put back"
    )


@pytest.mark.usefixtures("good_pods")
async def test_what_somebody_else_put_back_is_left_and_forgotten(client, kubectl):
    assert (await client.drain(SERVICE, "r-1")).ok
    await kubectl("set selector service shop app=shop")
    assert (await client.drain(BACK, "r-1")).ok
    await is_as_before(kubectl)


@pytest.mark.usefixtures("good_pods")
async def test_a_service_is_never_narrowed_to_fewer_ready_pods_than_it_needs(client, kubectl):
    for selector, least, ready in (({"track": "none"}, 1, 0), ({"track": "good"}, 3, 2)):
        done = await client.drain(Drain("shop", 5.0, service="shop", selector=selector, least=least), "r-1")
        assert (done.ok, f"{ready} ready pods have" in done.detail) == (False, True), done
        assert f"it needs {least}: its requests would have nowhere to go" in done.detail
    await is_as_before(kubectl)


@pytest.mark.usefixtures("good_pods")
async def test_what_passes_is_tried_again_and_what_does_not_is_explained(cluster, client, kubectl):
    patching = {"methods": ("PATCH",), "path": "/services/shop$"}
    cluster.faults.add(Fault(answer=503, times=1, **patching))
    cluster.faults.add(Fault(answer=429, retry_after=1, times=1, **patching))
    assert (await client.drain(SERVICE, "r-1")).ok
    assert (await client.drain(BACK, "r-1")).ok
    cluster.faults.add(Fault(answer=422, message="denied by policy", **patching))
    refused = await client.drain(SERVICE, "r-2")
    assert (refused.ok, refused.timed_out, "denied by policy" in refused.detail) == (False, False, True)
    cluster.faults.clear()
    cluster.faults.add(Fault(cut=True, path="/services/shop$"))
    away = await client.drain(Drain("shop", 3.0, service="shop", selector={"track": "good"}), "r-3")
    assert (away.ok, away.timed_out, "within 3s: The API server cannot be asked" in away.detail) == (
        False,
        True,
        True,
    ), away
    cluster.faults.clear()
    assert await selector_of(kubectl) == {"app": "shop"}


async def test_a_conflict_with_another_writer_is_looked_at_again(cluster, client, kubectl, good_pods):
    fault = cluster.faults.add(Fault(methods=("PATCH",), path="/services/shop$", delay=2.0, times=1))

    async def label():
        await until(lambda: fault.met, what="the patch is under way")
        await kubectl("label service shop team=web --overwrite")

    done, _ = await asyncio.gather(client.drain(SERVICE, "r-1"), label())
    assert done.ok, done
    assert await selector_of(kubectl) == {"app": "shop", "track": "good"}
    codes = [
        each.code
        for each in cluster.api.answered
        if each.method == "PATCH" and each.path.endswith("/services/shop") and "fieldManager=rearguard" in each.query
    ]
    assert codes[-1] == 200
    assert codes[0] in (409, 422)


async def test_what_is_not_there_or_not_permitted_is_known_before_and_told(cluster, client, kubectl, tmp_path):
    assert (await client.undrainable(SERVICE)) == "there is no Service shop/shop"
    assert "this cluster has no Gateway API" in await client.undrainable(ROUTE)
    assert (await client.drain(SERVICE, "r-1")).detail == (
        "Service shop/shop was not changed: there is no Service shop/shop"
    )
    assert (await client.drain(BACK, "r-1")).ok  # it is gone
    cluster.create(service())
    cluster.create(route(old=10, new=90))
    cluster.add_namespace("rearguard")
    token = cluster.token_of("rearguard", "rearguard")
    limited = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "limited.yaml", token=token)))
    try:
        assert "may not patch services in namespace shop" in await limited.undrainable(SERVICE)
        refused = await limited.drain(SERVICE, "r-1")
        assert (refused.ok, "deploy/kubernetes/components/drain" in refused.detail) == (False, True), refused
        for file in ("role.yaml", "rolebinding.yaml"):
            it = yaml.safe_load((COMPONENTS / "drain" / file).read_text(encoding="utf-8"))
            it["metadata"]["namespace"] = "shop"
            cluster.create(it)
        assert (await limited.undrainable(SERVICE), await limited.undrainable(ROUTE)) == ("", "")
        assert (await limited.drain(ROUTE, "r-1")).ok
        assert (await limited.drain(ROUTE_BACK, "r-1")).ok
    finally:
        await limited.close()
