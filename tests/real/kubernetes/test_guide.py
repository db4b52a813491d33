"""docs/kubernetes.md as a newcomer follows it: every file is written, and every command typed that can run here."""

import asyncio
import json
import os
import re
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
import yaml

from real.controller.test_cli import free_port, rearguard, serving
from real.local_cluster.workloads import workload

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/kubernetes.md").read_text()
NOT_HERE = ("docker ", " exec ", " port-forward ")  # no registry, and no way into pods that are not there
ALERTMANAGER = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "Alertmanager",
    "metadata": {"name": "main", "namespace": "monitoring"},
    "spec": {},
}


def blocks(heading):
    """The code blocks of a section, in order: (language, text)."""
    (section,) = re.findall(rf"^## {heading}$(.*?)^## ", GUIDE, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^( *)```(yaml|sh)\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
    return [(language, textwrap.dedent(text)) for _, language, text in found]


class Newcomer:
    """Does what the guide says, in a folder that has what a clone has."""

    def __init__(self, folder, kubeconfig):
        self.folder = folder
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(kubeconfig)}
        for name in ("deploy", "rules", "grafana"):
            (folder / name).symlink_to(ROOT / name)

    def follow(self, heading):
        """Write each file and run each command of a section; what was printed, and what was left out."""
        printed, left_out = [], []
        for language, text in blocks(heading):
            if language == "yaml":
                (name,) = re.findall(r"^# ([\w/.-]+)$", text, re.MULTILINE)[:1]
                file = self.folder / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
            elif any(word in text for word in NOT_HERE):
                left_out.append(text)
            else:
                printed.append(self.type(text))
        return "\n".join(printed), left_out

    def type(self, text):
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", text],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout


@pytest.fixture
async def newcomer(cluster, kubectl, tmp_path):
    it = workload(name="checkout", image="shop:v1")
    cluster.create(it)
    await kubectl("rollout status deployment/checkout --timeout=40s")
    folder = tmp_path / "clone"
    folder.mkdir()
    return Newcomer(folder, cluster.write_kubeconfig(tmp_path / "own.yaml"))


def as_the_pod_has_it(newcomer, cluster, folder):
    """The configuration and the tokens of the cluster as files; the service account as a kubeconfig file."""
    maps = json.loads(newcomer.type("kubectl --namespace rearguard get configmaps -o json"))["items"]
    (text,) = [each["data"]["rearguard.yaml"] for each in maps if "rearguard.yaml" in each.get("data", {})]
    tokens = json.loads(newcomer.type("kubectl --namespace rearguard get secret rearguard-tokens -o json"))["data"]
    assert tokens.keys() == {"sender", "viewer", "operator"}
    document = yaml.safe_load(text)
    account = cluster.write_kubeconfig(folder / "account.yaml", token=cluster.token_of("rearguard", "rearguard"))
    port = free_port()
    document |= {
        "kubernetes": {"kubeconfig": str(account)},
        "journal": f"sqlite://{folder}/journal.db",
        "listen": f"127.0.0.1:{port}",
        "prometheus": {"url": "http://127.0.0.1:9"},
        "alertmanager": {"url": "http://127.0.0.1:9"},
        "tokens": {role: str(newcomer.folder / role) for role in tokens},
    }
    file = folder / "rearguard.yaml"
    file.write_text(yaml.safe_dump(document))
    return file, f"http://127.0.0.1:{port}"


async def test_the_steps_lead_to_a_controller_that_observes_the_labelled_workload(cluster, newcomer, tmp_path):
    printed, left_out = await cluster_runs(newcomer.follow, "Install")
    assert "deployment.apps/rearguard created" in printed
    assert 'deployment "rearguard" successfully rolled out' in printed
    assert len(left_out) == 3
    file, url = await cluster_runs(as_the_pod_has_it, newcomer, cluster, tmp_path)
    done = await cluster_runs(rearguard, "check", "--live", "--json", "--config", str(file))
    found = {(each["weight"], each["about"], each["said"]) for each in json.loads(done.stdout)["live"]}
    assert ("good", "Kubernetes", "The controller's account has every right of the shipped Role in shop.") in found
    assert ("good", "shop/checkout", "The controller's account may change deployment shop/checkout.") in found
    status = await cluster_runs(status_of, tmp_path, url, newcomer.folder / "viewer")
    (target,) = status["targets"]
    assert (target["name"], target["mode"]) == ("shop/checkout", "observe")


async def test_what_the_pod_is_given_lets_a_person_ask_in_it(newcomer):
    await cluster_runs(newcomer.follow, "Install")
    text = await cluster_runs(newcomer.type, "kubectl --namespace rearguard get deployment rearguard -o json")
    (container,) = json.loads(text)["spec"]["template"]["spec"]["containers"]
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    (variable,) = container["env"]
    assert (variable["name"], variable["value"]) == ("REARGUARD_TOKEN_FILE", "/etc/rearguard/tokens/viewer")
    (in_pod,) = [text for language, text in blocks("Install") if " exec " in text]
    named = re.search(r"--config (\S+)", in_pod)[1]
    assert named == container["args"][-1]
    assert {str(Path(named).parent), str(Path(variable["value"]).parent)} <= mounts


@pytest.mark.parametrize("heading", ["With the Prometheus operator", "Without the operator"])
async def test_the_rules_routes_and_tokens_are_handed_over_by_the_commands_of_the_guide(cluster, newcomer, heading):
    await cluster_runs(newcomer.follow, "Install")
    cluster.add_namespace("monitoring")
    cluster.create(ALERTMANAGER)
    printed, left_out = await cluster_runs(newcomer.follow, heading)
    assert left_out == []
    assert "created" in printed


async def cluster_runs(do, *words):
    """Run something beside the cluster, which answers in this process."""
    return await asyncio.to_thread(do, *words)


def status_of(folder, url, token):
    """What `rearguard status` says, once there is a target."""
    with serving(folder, url):
        deadline = time.monotonic() + 60
        while True:
            status = json.loads(rearguard("status", "--json", url=url, token=token).stdout)
            if status["targets"] or time.monotonic() > deadline:
                return status
            time.sleep(0.5)
