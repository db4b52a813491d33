"""The chart in deploy/helm on the stand-in cluster, by the real helm: installed, upgraded, taken away."""

import json
from pathlib import Path

from real.kubernetes.test_recipes import helm
from real.kubernetes.test_workloads import SHOP, image_of, two_versions
from rearguard_controller.adapters.kubernetes import Cluster, Order
from rearguard_controller.config import KubernetesSettings

CHART = str(Path(__file__).resolve().parents[3] / "deploy/helm/rearguard")


async def test_an_installed_chart_gives_the_rights_for_a_rollback_and_an_upgrade_another_configuration(
    cluster, kubectl, tmp_path
):
    await helm(tmp_path, cluster, "install", "rearguard", CHART, "--create-namespace", namespace="ops")
    token = cluster.token_of("ops", "rearguard")
    account = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "account.yaml", token=token)))
    try:
        first, second = await two_versions(cluster, account, kubectl)
        assert await account.obstacle(SHOP) == ""
        done = await account.activate(SHOP, Order("shop", second, first, "r-1"))
        assert done.ok, done
    finally:
        await account.close()
    assert await image_of(kubectl) == "shop:v1"

    mine = tmp_path / "rearguard.yaml"
    mine.write_text("environment: staging\n")
    before = await template(kubectl)
    await helm(tmp_path, cluster, "upgrade", "rearguard", CHART, "--set-file", f"config={mine}", namespace="ops")
    assert "staging" in await kubectl("--namespace ops get configmap rearguard-config -o yaml")
    assert await template(kubectl) != before
    await helm(tmp_path, cluster, "uninstall", "rearguard", namespace="ops")
    assert await kubectl("--namespace ops get deployments -o name") == ""
    assert "rearguard" not in await kubectl("get rolebindings -o name")


async def template(kubectl):
    return json.loads(await kubectl("--namespace ops get deployment rearguard -o json"))["spec"]["template"]
