"""The controller's manifests of deploy/kubernetes: valid, restricted, whole, with a configuration that is accepted.

No cluster is asked for: what the API server would check beyond its schema is asserted here.
"""

import os
import re
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import requests
import yaml

from check import manifests
from check.documents import ROOT
from check.manifests import FOLDER, VERSIONS
from local_stack.process import Program, free_ports
from rearguard_controller import config
from rearguard_controller.model import Mode

ALONE = ("base", "overlays/production")  # one replica, its journal on a volume
REPLICAS = "overlays/production-ha"
OBJECTS = {"ConfigMap", "Deployment", "Namespace", "NetworkPolicy", "Service", "ServiceAccount"}
MORE = {
    "base": {"PersistentVolumeClaim"},
    "overlays/production": {"PersistentVolumeClaim"},
    REPLICAS: {
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    },
}
POLICIES_SINCE = (1, 30)  # the Kubernetes that knows ValidatingAdmissionPolicy in its final version


@pytest.fixture(scope="module", params=MORE)
def folder(request):
    return request.param


@pytest.fixture(scope="module")
def objects(folder):
    return manifests.objects(folder)


@pytest.fixture
def pod(objects):
    return objects["Deployment", "rearguard"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (only,) = pod["containers"]
    return only


@pytest.fixture
def config_map(objects):
    (found,) = [one for (kind, _), one in objects.items() if kind == "ConfigMap"]
    return found


@pytest.fixture
def configuration(config_map):
    return config.parse(
        config_map["data"]["rearguard.yaml"], file="rearguard.yaml", folder=Path("/etc/rearguard/config")
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_and_has_no_unknown_field(folder, objects, version):
    assert {kind for kind, _ in objects} == OBJECTS | MORE[folder]
    for (kind, _), one in objects.items():
        known = tuple(map(int, version.split("."))) >= POLICIES_SINCE
        if known or not kind.startswith("ValidatingAdmission"):
            kubernetes_validate.validate(one, version, strict=True)


def test_the_validation_can_fail():
    broken = manifests.objects("base")["Service", "rearguard"] | {"spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_the_pod_is_restricted(objects, pod, container):
    enforced = objects["Namespace", "rearguard"]["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    assert "hostPort" not in container["ports"][0]
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {
        "configMap",
        "secret",
        "persistentVolumeClaim",
        "emptyDir",
    }


def test_only_the_controllers_pod_holds_its_token_and_nothing_holds_a_secret(objects, pod):
    assert pod["automountServiceAccountToken"] is True
    assert objects["ServiceAccount", "rearguard"]["automountServiceAccountToken"] is False
    assert not [kind for kind, _ in objects if kind in {"Secret", "ClusterRole", "ClusterRoleBinding"}]


@pytest.mark.parametrize("folder", ALONE)
def test_two_pods_never_share_the_journal(folder):
    objects = manifests.objects(folder)
    spec = objects["Deployment", "rearguard"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    claim = spec["template"]["spec"]["volumes"][2]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in objects


def test_replicas_share_a_database_and_no_node():
    objects = manifests.objects(REPLICAS)
    spec = objects["Deployment", "rearguard"]["spec"]
    pod = spec["template"]["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["type"] == "RollingUpdate"
    written = yaml.safe_load(objects["ConfigMap", "rearguard"]["data"]["rearguard.yaml"])
    assert re.fullmatch(r"postgresql://\w+@[\w.]+/\w+", written["journal"])
    (variable,) = [each for each in pod["containers"][0]["env"] if each["name"] != "REARGUARD_TOKEN_FILE"]
    assert variable["name"] == "PGPASSWORD"
    assert set(variable["valueFrom"]) == {"secretKeyRef"}
    (term,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    budget = objects["PodDisruptionBudget", "rearguard"]["spec"]
    assert budget["maxUnavailable"] == 1
    labels = spec["template"]["metadata"]["labels"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()
    assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_every_reference_resolves(objects, pod, container, config_map):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"]
    assert ("ServiceAccount", pod["serviceAccountName"]) in objects
    homes = {
        one["metadata"].get("namespace", "rearguard") for (kind, _), one in objects.items() if "Role" not in kind
    }
    assert homes == {"rearguard"}


def test_the_pod_may_reach_the_api_server(objects):
    rules = objects["NetworkPolicy", "rearguard"]["spec"]["egress"]
    outside = [rule for rule in rules if any("ipBlock" in peer for peer in rule["to"])]
    assert [sorted(port["port"] for port in rule["ports"]) for rule in outside] == [[443, 6443]]


def test_selectors_find_the_pod(objects):
    labels = objects["Deployment", "rearguard"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        objects["Deployment", "rearguard"]["spec"]["selector"]["matchLabels"],
        objects["Service", "rearguard"]["spec"]["selector"],
        objects["NetworkPolicy", "rearguard"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()


def test_one_port_from_the_configuration_to_the_service(objects, container, configuration):
    (port,) = container["ports"]
    assert port["containerPort"] == configuration.listen.port
    (published,) = objects["Service", "rearguard"]["spec"]["ports"]
    assert published["targetPort"] == port["name"]
    (ingress,) = objects["NetworkPolicy", "rearguard"]["spec"]["ingress"]
    assert [rule["port"] for rule in ingress["ports"]] == [port["name"]]
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
    annotations = objects["Deployment", "rearguard"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def test_the_configuration_is_accepted_and_its_files_are_mounted(container, configuration, config_map):
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    written = yaml.safe_load(config_map["data"]["rearguard.yaml"])
    assert set(written["tokens"]) == {"sender", "viewer", "operator"}
    for role, path in written["tokens"].items():
        assert Path(path) == mounts["tokens"] / role
    if "journal" in mounts:
        assert Path(written["journal"].removeprefix("sqlite://")).parent == mounts["journal"]
    assert Path(container["args"][-1]).parent == mounts["config"]
    assert Path(container["args"][-1]).name in config_map["data"]
    assert [target.name for target in configuration.targets] == ["checkout"]


@pytest.mark.parametrize("folder", ALONE)
def test_the_probes_and_prometheus_are_answered_without_a_token(tmp_path, folder):
    objects = manifests.objects(folder)
    (container,) = objects["Deployment", "rearguard"]["spec"]["template"]["spec"]["containers"]
    config_map = objects["ConfigMap", "rearguard"]
    (port,) = free_ports(1)
    text = config_map["data"]["rearguard.yaml"]
    written = yaml.safe_load(text)
    for role in written["tokens"]:
        (tmp_path / role).write_text(f"{role}:{role}-0123456789abcdef0123456789abcdef\n")
    for there, here in (
        ("/etc/rearguard/tokens", tmp_path),
        ("/var/lib/rearguard", tmp_path),
        (written["listen"], f"127.0.0.1:{port}"),
    ):
        text = text.replace(there, str(here))
    (tmp_path / "rearguard.yaml").write_text(text)
    arguments = [*container["args"][:-1], tmp_path / "rearguard.yaml"]
    address = f"http://127.0.0.1:{port}"
    controller = Program(
        "rearguard",
        [sys.executable, "-m", "rearguard_controller", *arguments],
        folder=tmp_path,
        log=tmp_path / "rearguard.log",
        ready_url=address + container["readinessProbe"]["httpGet"]["path"],
        environment=os.environ,
    )
    try:
        controller.start()
        for path in (container["livenessProbe"]["httpGet"]["path"], "/metrics"):
            assert requests.get(address + path, timeout=30).status_code == 200
        assert requests.get(address + "/api/monitoring/rollback/status", timeout=30).status_code == 401
    finally:
        controller.stop()


def test_the_base_only_observes_and_the_examples_act():
    modes = [config.load(FOLDER / folder / "rearguard.yaml").targets[0].policy.mode for folder in MORE]
    assert modes == [Mode.OBSERVE, Mode.ACT, Mode.ACT]


def test_the_secret_that_is_made_by_hand_is_the_one_that_is_mounted(pod):
    (secret,) = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    text = (ROOT / "docs/kubernetes.md").read_text()
    command = re.search(r"create secret generic (\S+)((?:\s+\\?\s*--from-file=\S+)+)", text)
    assert command is not None
    assert command[1] == secret
    assert set(re.findall(r"--from-file=(\w+)", command[2])) == {"sender", "viewer", "operator"}
