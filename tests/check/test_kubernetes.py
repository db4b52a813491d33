"""The manifests of deploy/kubernetes: rendered by the real kubectl, valid, restricted, whole; the Dockerfile's steps.

No cluster and no container engine is asked for: what the API server would check beyond its schema is asserted here.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import requests
import yaml

from local_stack.process import Program, free_ports
from rearguard_controller import config
from rearguard_controller.model import Mode

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
DOCKERFILE = FOLDER / "Dockerfile"
RENDERED = ("base", "overlays/production")
# Oldest and newest Kubernetes that the validator knows schemas of.
VERSIONS = ("1.25", "1.37")


def _run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, **more)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", params=RENDERED)
def objects(request):
    if shutil.which("kubectl") is None:
        pytest.fail("kubectl is missing: apt-get install kubernetes-client, or see kubernetes.io/docs/tasks/tools.")
    rendered = _run(["kubectl", "kustomize", str(FOLDER / request.param)])
    return {(one["kind"], one["metadata"]["name"].split("-config-")[0]): one for one in yaml.safe_load_all(rendered)}


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
def test_every_object_is_valid_and_has_no_unknown_field(objects, version):
    assert len(objects) == 7
    for one in objects.values():
        kubernetes_validate.validate(one, version, strict=True)


def test_the_validation_can_fail(objects):
    broken = objects["Service", "rearguard"] | {"spec": {"prots": []}}
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


def test_nothing_holds_a_token_of_the_cluster(objects, pod):
    assert pod["automountServiceAccountToken"] is False
    assert objects["ServiceAccount", "rearguard"]["automountServiceAccountToken"] is False
    assert not [kind for kind, _ in objects if kind.startswith(("Role", "ClusterRole", "Secret"))]


def test_two_pods_never_share_the_journal(objects):
    spec = objects["Deployment", "rearguard"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_every_reference_resolves(objects, pod, container, config_map):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"]
    assert ("PersistentVolumeClaim", volumes["journal"]["persistentVolumeClaim"]["claimName"]) in objects
    assert ("ServiceAccount", pod["serviceAccountName"]) in objects
    assert {one["metadata"].get("namespace", "rearguard") for one in objects.values()} == {"rearguard"}


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
    assert Path(written["journal"].removeprefix("sqlite://")).parent == mounts["journal"]
    assert Path(container["args"][-1]).parent == mounts["config"]
    assert Path(container["args"][-1]).name in config_map["data"]
    assert [target.name for target in configuration.targets] == ["checkout"]


def test_the_probes_and_prometheus_are_answered_without_a_token(tmp_path, container, config_map):
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
            assert requests.get(address + path, timeout=5).status_code == 200
        assert requests.get(address + "/api/monitoring/rollback/status", timeout=5).status_code == 401
    finally:
        controller.stop()


def test_the_base_only_observes_and_the_example_acts():
    modes = []
    for folder in RENDERED:
        file = FOLDER / folder / "rearguard.yaml"
        (target,) = config.load(file).targets
        modes.append(target.policy.mode)
    assert modes == [Mode.OBSERVE, Mode.ACT]


def test_the_secret_that_is_made_by_hand_is_the_one_that_is_mounted(pod):
    (secret,) = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    text = (ROOT / "docs/kubernetes.md").read_text()
    command = re.search(r"create secret generic (\S+)((?:\s+\\?\s*--from-file=\S+)+)", text)
    assert command is not None
    assert command[1] == secret
    assert set(re.findall(r"--from-file=(\w+)", command[2])) == {"sender", "viewer", "operator"}


# --- the image ---------------------------------------------------------------------------------------------------


def _instructions():
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def test_the_image_runs_as_the_user_of_the_pod(pod):
    last = _instructions()[[word for word, _ in _instructions()].index("USER")][1]
    assert last == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    stages = [rest for word, rest in _instructions() if word == "FROM"]
    assert len(stages) == 2
    assert all("-slim" in stage for stage in stages)


def test_the_image_takes_no_secret_and_only_files_that_exist():
    allowed = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    for word, rest in _instructions():
        assert word in {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
        assert not re.search(r"token|password|secret|credential", rest, re.IGNORECASE)
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in allowed


def test_the_steps_of_the_image_make_a_working_rearguard(tmp_path):
    source, wheels, home = tmp_path / "src", tmp_path / "dist", tmp_path / "venv"
    source.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    ran = 0
    for word, rest in _instructions()[: [word for word, _ in _instructions()].index("USER")]:
        if word == "COPY" and not rest.startswith("--from="):
            *names, _ = rest.split()
            for name in names:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
                copy(ROOT / name, source / name)
        elif word == "RUN" and ("pip" in rest or "venv" in rest):
            step = rest.replace("/dist", str(wheels)).replace("/opt/rearguard", str(home))
            step = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", step)
            _run(["sh", "-c", step], cwd=source, env=environment)
            ran += 1
    assert ran == 3
    program = home / "bin/rearguard"
    assert "serve" in _run([program, "--help"], cwd=tmp_path, env=environment)
    assert list(wheels.glob("rearguard-*.whl"))
    for role in ("sender", "viewer", "operator"):  # in the cluster a secret's
        (tmp_path / role).write_text(f"{role}:token\n")
    for folder in RENDERED:
        text = (FOLDER / folder / "rearguard.yaml").read_text()
        assert "/etc/rearguard/tokens/" in text
        (tmp_path / "rearguard.yaml").write_text(text.replace("/etc/rearguard/tokens/", f"{tmp_path}/"))
        _run([program, "check", "--config", tmp_path / "rearguard.yaml"], cwd=tmp_path, env=environment)
