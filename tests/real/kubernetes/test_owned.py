"""Workloads that another tool owns: the refusal, the pause; and what else keeps an older version from coming up."""

import asyncio
import json
import shlex
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from local_cluster.faults import Fault
from local_cluster.pod_scripts import Script
from real.controller.served import BASE, serving
from real.kubernetes.test_served import CONFIGURATION, serves
from real.local_cluster.workloads import workload
from rearguard_controller.adapters.kubernetes import Cluster, Order
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.model import KubernetesRelease, OwnerRule, Room, WorkloadKind

COMPONENTS = Path(__file__).parents[3] / "deploy/kubernetes/components"
TRACKED = {"argocd.argoproj.io/tracking-id": "shop-prod:apps/Deployment:shop/shop"}
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
SHOP = KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "shop", 20.0, OwnerRule.PAUSE)
APPLICATION = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "shop-prod", "namespace": "argocd"},
    "spec": {"project": "default", "syncPolicy": {"automated": {"prune": True, "selfHeal": True}}},
}
KUSTOMIZATION = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "apps", "namespace": "flux-system"},
    "spec": {"interval": "10m", "path": "./shop", "prune": True},
}
AIM = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}


def owned(by, image="shop:v1", labels=(), **spec):
    """A Deployment that carries the annotations and labels of its owner."""
    it = workload(image=image, **spec)
    it["metadata"]["annotations"] = dict(by)
    it["metadata"]["labels"] |= dict(labels)
    return it


async def image_of(kubectl):
    found = json.loads(await kubectl("get deployment shop -o json"))
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


async def application_of(kubectl):
    return json.loads(await kubectl("-n argocd get applications.argoproj.io shop-prod -o json"))


@asynccontextmanager
async def self_healing(kubectl, image):
    """What Argo CD does while automated sync with self-heal is on: whatever else is there gives way to this image."""

    async def heal():
        while True:
            differs = await image_of(kubectl) != image  # seen first: else a sync could begin before the pause
            if differs and "automated" in (await application_of(kubectl))["spec"]["syncPolicy"]:
                await kubectl(f"set image deployment/shop shop={image}")
            await asyncio.sleep(0.05)

    healing = asyncio.create_task(heal())
    try:
        yield
        assert not healing.done(), healing.exception()
    finally:
        healing.cancel()
        await asyncio.gather(healing, return_exceptions=True)


@asynccontextmanager
async def two_versions(cluster, kubectl, tmp_path, owner, by=TRACKED, labels=()):
    """A served controller whose target went from v1, known good, to v2, and who owns it; the two versions."""
    cluster.create(owned(by, labels=labels))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    configuration = CONFIGURATION.replace("timeout: 30s", f"timeout: 60s, owner: {owner}")
    configuration = configuration.replace("poll_interval: 1h", "poll_interval: 2s")  # as a look may fail
    async with serving(tmp_path, configuration=configuration) as service:
        first = await serves(service, None, within=60)
        await kubectl("set image deployment/shop shop=shop:v2")
        second = await serves(service, first, within=60)
        await kubectl("rollout status deployment/shop --timeout=40s")
        await service.post(f"{BASE}/targets/shop/releases", {"version": first, "good": True})
        yield service, first, second


async def as_told(kubectl, detail):
    """Run the command that a sentence ends with, as a person would."""
    await kubectl(" ".join(shlex.split(detail[detail.index("kubectl ") :])[1:]))


async def closed(service, rollback_id):
    async with asyncio.timeout(60):
        while True:
            _, rollback = await service.get(f"{BASE}/rollback/{rollback_id}")
            if rollback["phase"] == "closed":
                return rollback
            await asyncio.sleep(0.05)


async def triggered(service, **more):
    return await service.post(f"{BASE}/rollback/trigger", {"target": "shop", "reason": "slow", **more})


def reason(decision, code):
    return next(each for each in decision["reasons"] if each["code"] == code)


async def test_an_owner_is_named_in_the_refusal_and_nothing_is_changed(cluster, kubectl, tmp_path):
    cluster.add_namespace("argocd")
    cluster.create(APPLICATION)
    async with two_versions(cluster, kubectl, tmp_path, "refuse") as (service, _, _):
        status, dry = await triggered(service, dry_run=True)
        assert status == 200
        told = reason(dry["decision"], "owner_allows")
        assert told["holds"] is False
        assert "Argo CD (Application argocd/shop-prod) owns deployment shop/shop" in told["detail"]
        assert "owner: pause" in told["remedy"]
        status, refused = await triggered(service)
        assert (status, "Argo CD (Application argocd/shop-prod)" in json.dumps(refused)) == (409, True)
        assert "owner: pause" in refused["error"]["hint"]
        assert await image_of(kubectl) == "shop:v2"


async def test_an_owner_that_is_ignored_puts_the_bad_version_back(cluster, kubectl, tmp_path):
    cluster.add_namespace("argocd")
    cluster.create(APPLICATION)
    async with two_versions(cluster, kubectl, tmp_path, "ignore") as (service, _, _):
        status, dry = await triggered(service, dry_run=True)
        assert "owner: ignore" in reason(dry["decision"], "owner_allows")["detail"]
        cluster.scripts.set("shop:v1", Script(ready_after=30.0))
        async with self_healing(kubectl, "shop:v2"):
            status, opened = await triggered(service)
            assert status == 202
            lost = await closed(service, opened["rollback_id"])
            assert lost["outcome"] == "superseded", lost
            assert await image_of(kubectl) == "shop:v2"


async def test_argo_cd_is_paused_before_the_change_and_a_person_is_told_how_it_goes_on(cluster, kubectl, tmp_path):
    cluster.add_namespace("argocd")
    cluster.create(APPLICATION)
    async with two_versions(cluster, kubectl, tmp_path, "pause") as (service, first, _):
        status, dry = await triggered(service, dry_run=True)
        assert reason(dry["decision"], "owner_allows")["holds"] is True
        assert [each["name"] for each in dry["plan"]] == ["pause-owner", "roll-back"]
        workload_ = {"namespace": "shop", "kind": "deployment", "name": "shop"}
        assert dry["plan"][0]["action"] == {"pause_owner": workload_}
        assert "automated" in (await application_of(kubectl))["spec"]["syncPolicy"]  # a dry run
        async with self_healing(kubectl, "shop:v2"):
            status, opened = await triggered(service)
            assert status == 202
            done = await closed(service, opened["rollback_id"])
            assert (done["outcome"], done["to_version"]) == ("completed", first), done
            assert await image_of(kubectl) == "shop:v1"
        told = done["steps"][0]["detail"]
        assert told.startswith("Left paused: Argo CD (Application argocd/shop-prod)")
        paused = await application_of(kubectl)
        assert "automated" not in paused["spec"]["syncPolicy"]
        assert paused["metadata"]["annotations"]["rearguard.dev/rollback"] == done["id"]
        assert "OwnerPaused" in await kubectl("describe deployment shop")
        await as_told(kubectl, told)
        assert (await application_of(kubectl))["spec"] == APPLICATION["spec"]


async def test_flux_is_suspended_and_a_pause_that_was_begun_is_not_begun_again(cluster, client, kubectl):
    cluster.add_namespace("flux-system")
    cluster.create(KUSTOMIZATION)
    cluster.create(owned({}, labels=FLUX))
    await kubectl("label deployment shop --field-manager=kustomize-controller --overwrite app=shop by=flux")
    assert str(await client.ownership(SHOP)) == "Flux (Kustomization flux-system/apps)"
    order = Order("shop", "b", "a", "r-1")
    done = await client.pause(SHOP, order)
    assert done.ok
    again = await client.pause(SHOP, order)  # as after a crash between the change and its record
    assert again == done
    other = await client.pause(SHOP, Order("shop", "b", "a", "r-2"))
    assert (other.ok, other.detail) == (True, "Flux (Kustomization flux-system/apps) was paused already")
    ask = "-n flux-system get kustomizations.kustomize.toolkit.fluxcd.io apps -o json"
    assert json.loads(await kubectl(ask))["spec"] == {**KUSTOMIZATION["spec"], "suspend": True}
    await as_told(kubectl, done.detail)
    assert json.loads(await kubectl(ask))["spec"] == KUSTOMIZATION["spec"]


async def test_an_application_that_a_set_owns_or_that_is_elsewhere_is_not_paused(cluster, client, kubectl):
    cluster.create(owned(TRACKED))
    await kubectl("rollout status deployment/shop --timeout=40s")
    found = (await client.ownership(SHOP)).owners
    assert "this cluster has no Application argocd/shop-prod" in await client.unpausable(SHOP, found)
    cluster.add_namespace("argocd")
    reference = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "shops", "uid": "u"}
    of_a_set = {**APPLICATION["metadata"], "ownerReferences": [{**reference, "controller": True}]}
    cluster.create({**APPLICATION, "metadata": of_a_set})
    done = await client.pause(SHOP, Order("shop", "b", "a", "r-1"))
    assert (done.ok, "ApplicationSet shops" in done.detail) == (False, True)
    assert (await application_of(kubectl))["spec"] == APPLICATION["spec"]


async def test_the_shipped_roles_let_owners_be_paused_and_nothing_more(cluster, kubectl, tmp_path):
    cluster.add_namespace("argocd")
    cluster.add_namespace("flux-system")
    cluster.create(APPLICATION)
    cluster.create(KUSTOMIZATION)
    cluster.create(owned(TRACKED))
    cluster.add_namespace("rearguard")
    token = cluster.token_of("rearguard", "rearguard")
    client = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "account.yaml", token=token)))
    try:
        found = (await with_admin(cluster, tmp_path)).owners
        assert "cannot be read" in await client.unpausable(SHOP, found)
        for name in ("pause-argocd", "pause-flux"):
            for file in ("role.yaml", "rolebinding.yaml"):
                it = yaml.safe_load((COMPONENTS / name / file).read_text(encoding="utf-8"))
                cluster.create(it)
        assert await client.unpausable(SHOP, found) == ""
        may = "auth can-i --as=system:serviceaccount:rearguard:rearguard"
        assert (await kubectl(f"{may} patch applications.argoproj.io -n argocd")).strip() == "yes"
        resource = "kustomizations.kustomize.toolkit.fluxcd.io"
        assert (await kubectl(f"{may} patch {resource} -n flux-system")).strip() == "yes"
    finally:
        await client.close()


async def with_admin(cluster, tmp_path):
    client = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "admin.yaml")))
    try:
        return await client.ownership(SHOP)
    finally:
        await client.close()


# --- room


async def versions_of(client, kubectl):
    await kubectl("rollout status deployment/shop --timeout=40s")
    first = await client.current(SHOP, fresh=True)
    await kubectl("set image deployment/shop shop=shop:v2")
    await kubectl("rollout status deployment/shop --timeout=40s")
    return first, await client.current(SHOP, fresh=True)


async def test_a_full_quota_no_pods_and_limits_of_others_are_told(cluster, client, kubectl):
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    cluster.create(owned({}, strategy=strategy))
    first, _ = await versions_of(client, kubectl)
    assert await client.room(SHOP, first) == Room()
    for api, kind, spec in (
        ("v1", "ResourceQuota", {"hard": {"pods": "2"}}),
        ("autoscaling/v2", "HorizontalPodAutoscaler", {"scaleTargetRef": AIM, "minReplicas": 3, "maxReplicas": 9}),
        ("policy/v1", "PodDisruptionBudget", {"minAvailable": 2, "selector": {"matchLabels": {"app": "shop"}}}),
    ):
        about = {"name": "of-shop", "namespace": "shop"}
        cluster.create({"apiVersion": api, "kind": kind, "metadata": about, "spec": spec})
    used = json.dumps({"status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}}, separators=(",", ":"))
    await kubectl(f"patch resourcequota of-shop --subresource=status --type=merge -p {used}")
    room = await client.room(SHOP, first)
    assert room.full == (
        f"ResourceQuota of-shop has 0 of pods left (2 of 2 used); one pod of {first} asks for 1, and 2 are to come.",
    )
    assert [each.split()[-1] for each in room.notes] == ["3.", "change."]
    await kubectl("scale deployment shop --replicas=0")
    assert "wants no pods" in (await client.room(SHOP, first)).full[0]


async def test_what_the_account_may_not_see_is_unknown_and_nothing_more(cluster, client, kubectl):
    cluster.create(owned({}))
    first, _ = await versions_of(client, kubectl)
    cluster.faults.add(Fault(answer=403, path="resourcequotas"))
    room = await client.room(SHOP, first)
    assert room.full == ()
    assert room.unknown[0].startswith("Not known: room in quotas, The API server answered 403")
