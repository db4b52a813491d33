"""The shipped manifests on the stand-in cluster: real `kubectl apply -k`, rollbacks with the shipped rights alone."""

import json
from pathlib import Path

import pytest
import yaml

from real.kubernetes.test_workloads import SHOP, image_of, two_versions
from rearguard_controller.adapters.kubernetes import Cluster, Order
from rearguard_controller.config import KubernetesSettings

MANIFESTS = Path(__file__).resolve().parents[3] / "deploy/kubernetes"


@pytest.fixture
async def account(cluster, kubectl, tmp_path):
    """The controller's client, with the account and the rights that the manifests give it."""
    await kubectl(f"apply -k {MANIFESTS}/base")
    await kubectl(f"apply -k {MANIFESTS}/targets/shop")
    token = cluster.token_of("rearguard", "rearguard")
    it = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "account.yaml", token=token)))
    yield it
    await it.close()


async def take_away(kubectl, verb, resource):
    """Take one verb of the shipped Role away."""
    role = json.loads(await kubectl("get role rearguard-target -o json"))
    (rule,) = [rule for rule in role["rules"] if resource in rule["resources"]]
    rest = [{**rule, "resources": [each for each in rule["resources"] if each != resource]}]
    rest.append({**rule, "resources": [resource], "verbs": [each for each in rule["verbs"] if each != verb]})
    role["rules"] = [each for each in role["rules"] if each is not rule] + [
        each for each in rest if each["resources"]
    ]
    await kubectl("replace -f -", stdin=yaml.safe_dump(role))


@pytest.mark.parametrize("folder", ["base", "targets/shop", "overlays/production", "overlays/production-ha"])
async def test_a_folder_is_applied_by_kubectl_and_applying_it_again_changes_nothing(kubectl, folder):
    first = (await kubectl(f"apply -k {MANIFESTS}/{folder}")).splitlines()
    assert first
    assert all(line.endswith(" created") for line in first)
    again = (await kubectl(f"apply -k {MANIFESTS}/{folder}")).splitlines()
    changed = [line for line in again if not line.endswith(" unchanged")]
    assert [
        line for line in changed if not line.startswith("poddisruptionbudget")
    ] == []  # kubectl replaces its selector


async def test_the_shipped_rights_are_enough_for_a_rollback_and_its_event(cluster, account, kubectl):
    first, second = await two_versions(cluster, account, kubectl)
    assert await account.obstacle(SHOP) == ""
    order = Order("shop", second, first, "r-1")
    proof = await account.prove(SHOP, order)
    assert proof.ok, proof
    done = await account.activate(SHOP, order)
    assert done.ok, done
    assert await image_of(kubectl) == "shop:v1"
    assert "RolledBack" in await kubectl("describe deployment shop")
    events = json.loads(await kubectl("get events -o json"))["items"]
    assert {each["involvedObject"]["name"] for each in events} >= {"shop"}


async def test_without_one_verb_of_the_role_the_target_is_not_ready_and_the_verb_is_named(account, kubectl):
    shipped = yaml.safe_dump(json.loads(await kubectl("get role rearguard-target -o json")))
    needed = [(verb, "deployments") for verb in ("get", "list", "watch", "patch")]
    for verb, resource in [*needed, *((verb, "replicasets") for verb in ("get", "list", "watch"))]:
        await take_away(kubectl, verb, resource)
        assert f"{verb} {resource}" in await account.obstacle(SHOP)
        await kubectl("replace --force -f -", stdin=shipped)


async def test_without_patch_nothing_is_rolled_back(cluster, account, kubectl):
    first, second = await two_versions(cluster, account, kubectl)
    await take_away(kubectl, "patch", "deployments")
    done = await account.activate(SHOP, Order("shop", second, first))
    assert not done.ok
    assert await image_of(kubectl) == "shop:v2"


async def test_the_controllers_account_may_do_nothing_else(account, kubectl):
    asked = "--as system:serviceaccount:rearguard:rearguard"
    for question in (
        "get secrets",
        "delete deployments.apps",
        "create deployments.apps",
        "create pods",
        "create pods/exec",
    ):
        assert await kubectl.run(f"auth can-i {question} {asked}") == (1, "no\n"), question
    for place in ("default", "rearguard"):
        assert await kubectl.run(f"auth can-i get deployments.apps {asked} --namespace {place}") == (1, "no\n")
