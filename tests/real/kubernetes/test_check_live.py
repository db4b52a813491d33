"""`rearguard check --live` on real Prometheus and Alertmanager, with the shipped rights on the stand-in cluster."""

import asyncio
import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from deadline import in_time
from local_cluster.faults import Fault
from local_stack import binaries
from local_stack.process import Program, free_ports
from real.kubernetes.test_manifests import MANIFESTS, take_away
from real.local_cluster.workloads import workload
from real.prometheus import running
from real.scenarios.exporter import Exporter, Instance, Numbers

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/none/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 2s}}
alertmanager: {{url: "{alertmanager}"}}
kubernetes: {{kubeconfig: account.yaml}}
policies: {{standard: {{mode: act}}}}
discover:
  - kubernetes: {{namespaces: [shop], selector: "rearguard.dev/watch=true"}}
    policy: standard
"""
NOWHERE = "http://127.0.0.1:9"
IN_THE_WAY, LOOK, UNKNOWN, GOOD = "blocks", "look", "unknown", "good"


class Found:
    """What a check said."""

    def __init__(self, code, findings):
        self.code, self.findings = code, findings

    def of(self, weight, about=None):
        return [each["said"] for each in self.findings if each["weight"] == weight and about in (None, each["about"])]

    def says(self, weight, about, *parts):
        assert any(all(part in said for part in parts) for said in self.of(weight, about)), self.findings


async def check(folder):
    """Run the command; it must answer in time, and without a traceback."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rearguard_controller",
        "check",
        "--live",
        "--json",
        "--config",
        "rearguard.yaml",
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await in_time(child.communicate(), 180)
    assert not complaints, complaints.decode()
    return Found(child.returncode, json.loads(output)["live"])


def watched(name, image="shop:v1", **annotations):
    it = workload(name=name, image=image)
    it["metadata"]["labels"]["rearguard.dev/watch"] = "true"
    it["metadata"]["annotations"] = annotations
    return it


def write(folder, prometheus=NOWHERE, alertmanager=NOWHERE, more=""):
    text = CONFIGURATION.format(folder=folder, prometheus=prometheus, alertmanager=alertmanager)
    (folder / "rearguard.yaml").write_text(text + more)


@pytest.fixture
async def account(cluster, kubectl, tmp_path):
    """The controller's account with the shipped rights in `shop`, and a shop that is watched."""
    await kubectl(f"apply -k {MANIFESTS}/base")
    await kubectl(f"apply -k {MANIFESTS}/targets/shop")
    cluster.write_kubeconfig(tmp_path / "account.yaml", token=cluster.token_of("rearguard", "rearguard"))
    cluster.create(watched("shop"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    write(tmp_path)


async def test_every_verb_of_the_role_that_is_missing_is_named(account, kubectl, tmp_path):
    for verb, resource in (("patch", "deployments"), ("create", "events"), ("list", "horizontalpodautoscalers")):
        await take_away(kubectl, verb, resource)
    found = await check(tmp_path)
    assert found.code == 1  # no Prometheus either
    found.says(IN_THE_WAY, "Kubernetes", "may not patch deployments in shop", "deploy/kubernetes/targets/shop")
    found.says(LOOK, "Kubernetes", "may not create events, nor list horizontalpodautoscalers in shop")
    assert "every right" not in str(found.findings)
    assert "may change" not in str(found.findings)
    await take_away(kubectl, "watch", "replicasets")
    found = await check(tmp_path)
    found.says(IN_THE_WAY, "Kubernetes", "may not patch deployments, nor watch replicasets in shop")
    found.says(IN_THE_WAY, "Kubernetes", "Nothing is discovered", "may not follow deployments in shop")


async def test_rights_owners_and_annotations_are_told_all_at_once_and_nothing_is_written(
    cluster, account, kubectl, tmp_path
):
    odd = watched("odd", **{"rearguard.dev/mode": "fast"})
    owned = watched("owned", **{"meta.helm.sh/release-name": "owned", "meta.helm.sh/release-namespace": "shop"})
    for each in (odd, owned):
        cluster.create(each)
    write(
        tmp_path,
        more="""
targets:
  - name: gone
    match: {service_name: gone}
    release: {kubernetes: {namespace: shop, deployment: gone}}
  - name: elsewhere
    match: {service_name: elsewhere}
    release: {kubernetes: {namespace: pay, statefulset: elsewhere}}
""",
    )
    before = json.loads(await kubectl("get events,deployments -o json"))
    found = await check(tmp_path)
    assert found.code == 1
    found.says(GOOD, "Kubernetes", "every right of the shipped Role in shop")
    found.says(IN_THE_WAY, "Kubernetes", "get, list, watch and patch statefulsets", "in pay")
    found.says(GOOD, "Kubernetes", "3 workloads")
    found.says(IN_THE_WAY, "shop/odd", "rearguard.dev/mode='fast' is not known")
    found.says(IN_THE_WAY, "shop/owned", "Helm (release shop/owned) owns", "`command`", "docs/kubernetes.md#owners")
    found.says(IN_THE_WAY, "gone", "There is no deployment shop/gone")
    found.says(GOOD, "shop/shop", "may change deployment shop/shop")
    assert len([each for each in found.of(IN_THE_WAY, "Prometheus") if NOWHERE in each]) == 1
    assert len([each for each in found.of(LOOK, "Alertmanager") if NOWHERE in each]) == 1
    after = json.loads(await kubectl("get events,deployments -o json"))
    assert before["items"] == after["items"]
    assert not (tmp_path / "none").exists()  # the journal


PAUSE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rearguard-pause, namespace: argocd}
rules: [{apiGroups: [argoproj.io], resources: [applications], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rearguard-pause, namespace: argocd}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rearguard-pause}
subjects: [{kind: ServiceAccount, name: rearguard, namespace: rearguard}]
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop-prod, namespace: argocd}
spec: {project: default, syncPolicy: {automated: {selfHeal: true}}}
"""


async def test_an_owner_that_shall_be_paused_and_may_not_be_patched_is_told(cluster, account, kubectl, tmp_path):
    cluster.add_namespace("argocd")
    await kubectl("apply -f -", stdin=PAUSE)
    cluster.create(watched("ruled", **{"argocd.argoproj.io/tracking-id": "shop-prod:apps/Deployment:shop/ruled"}))
    file = tmp_path / "rearguard.yaml"
    selector = 'selector: "rearguard.dev/watch=true"'
    file.write_text(file.read_text().replace(selector, f"{selector}, owner: pause"))
    found = await check(tmp_path)
    found.says(IN_THE_WAY, "shop/ruled", "may not patch applications shop-prod in argocd", "components/pause-")
    rights = (MANIFESTS / "components/pause-argocd/role.yaml").read_text()
    await kubectl("apply -f -", stdin=rights)
    found = await check(tmp_path)
    assert found.of(IN_THE_WAY, "shop/ruled") == []
    found.says(LOOK, "shop/ruled", "Argo CD (Application argocd/shop-prod) owns")


async def test_an_api_server_that_is_away_is_said_once(cluster, account, tmp_path):
    await cluster.go_away()
    found = await check(tmp_path)
    assert found.code == 1
    assert len([each for each in found.findings if each["about"] == "Kubernetes"]) == 1
    found.says(IN_THE_WAY, "Kubernetes", "cannot be asked", "Is the API server running")


@pytest.mark.soak
async def test_a_slow_api_server_is_said_once(cluster, account, tmp_path):
    cluster.faults.add(Fault(delay=30.0))
    began = time.monotonic()
    found = await check(tmp_path)
    found.says(IN_THE_WAY, "Kubernetes", "did not answer within")
    assert time.monotonic() - began < 150


@contextmanager
def alertmanager(folder, content):
    """The address of a real Alertmanager with this configuration."""
    (folder / "alertmanager.yml").write_text(content)
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    words = [
        binaries.find("prometheus-alertmanager"),
        "--config.file=alertmanager.yml",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    program = Program(
        "alertmanager", words, folder=folder, log=folder / "log", ready_url=f"{address}/-/ready",
        environment=binaries.environment(),
    )  # fmt: skip
    try:
        program.start()
        yield address
    finally:
        program.kill()


SHIPPED_ROUTES = (ROOT / "deploy/alertmanager/alertmanager.yml").read_text()

PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{files}]
scrape_configs:
  - job_name: shop
    static_configs:
      - targets: ["127.0.0.1:{port}"]
        labels: {{instance: one, __metrics_path__: /shop/one, namespace: shop, pod: shop-abc-1}}
"""


@contextmanager
def scraping(folder, who, rules):
    """The address of a real Prometheus with these rule files, which scrapes one pod of the shop."""
    exporter = Exporter()
    exporter.add(Instance(who, "one", lambda: "v1", lambda _: Numbers()))
    exporter.instances["/shop/one"] = exporter.instances[f"/{who}/one"]
    exporter.start()
    files = ", ".join(f'"{ROOT / "rules" / name}"' for name in rules)
    (folder / "prometheus.yml").write_text(PROMETHEUS.format(files=files, port=exporter.port))
    try:
        with running(folder) as address:
            yield address
    finally:
        exporter.stop()


async def until(folder, holds, within=150):
    """Check again and again until the answer is as wanted."""
    deadline = time.monotonic() + within
    while True:
        found = await check(folder)
        if holds(found) or time.monotonic() > deadline:
            return found


TWO_OF_ONE = """
targets:
  - {name: by-service, match: {service_name: shopp}, release: {kubernetes: {namespace: shop, deployment: shop}}}
  - {name: by-pod, match: {pod: shop-abc-1}, release: {kubernetes: {namespace: shop, deployment: shop}}}
"""
ALL_RULES = tuple(sorted(file.name for file in (ROOT / "rules").glob("*.yml")))


@pytest.mark.soak
async def test_where_all_is_well_nothing_is_in_the_way_and_the_rules_that_can_speak_are_named(account, tmp_path):
    with (
        scraping(tmp_path, "shop", ALL_RULES) as prometheus,
        alertmanager(tmp_path, SHIPPED_ROUTES) as manager,
    ):
        write(tmp_path, prometheus, manager)
        found = await until(tmp_path, lambda found: found.code == 0)
    assert found.code == 0, found.findings
    assert found.of(IN_THE_WAY) == []
    found.says(GOOD, "Prometheus", "every rule of", "release.yml")
    found.says(GOOD, "shop/shop", "These rules can roll it back", "HighErrorRate")
    found.says(GOOD, "shop/shop", "reach the receiver rearguard")


async def test_missing_rules_and_a_service_of_another_name_are_told(account, tmp_path):
    with scraping(tmp_path, "shopp", ("recording.yml", "alerts.yml")) as prometheus:
        write(tmp_path, prometheus, more=TWO_OF_ONE)
        found = await until(
            tmp_path,
            lambda found: any("are scraped" in said for said in found.of(IN_THE_WAY, "shop/shop")),
            within=60,
        )
    found.says(LOOK, "Prometheus", "No rule of rules/thresholds.yml is loaded", "rule_files")
    found.says(LOOK, "Prometheus", "No rule of rules/release.yml is loaded")
    found.says(IN_THE_WAY, "shop/shop", 'service_name="shop"', "shopp")
    found.says(IN_THE_WAY, "shop/shop", "pods of deployment shop/shop are scraped", "other labels than `match`")
    found.says(LOOK, "by-service and by-pod", "target_info of instance one fits the `match` of both")
    assert found.code == 1
