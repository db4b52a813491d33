"""The shipped images, built by a real engine from the shipped Dockerfile, and run as the manifests run them."""

import json
import shutil
import sys
import time

import pytest
import requests
import yaml

from local_stack.ask import Asker
from local_stack.binaries import ROOT
from local_stack.load import LoadThread
from local_stack.process import answers, wait_until
from local_stack.settings import rewrite
from local_stack.stack import Stack
from real.container.deploy_tool import deploy_tool
from real.container.engine import REPOSITORY

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

MANIFESTS = ROOT / "deploy/kubernetes"
USER = 10001
LIMIT_BYTES = 200_000_000
# What the manifests give the pod: a read-only root, no capabilities, a user without rights, a small /tmp.
AS_IN_THE_POD = (
    "--network=host",
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp:size=64m",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    f"--user={USER}:{USER}",
)


def test_the_image_is_small_without_root_and_labelled(engine, image):
    known = engine.inspect(image)
    version = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version"))
    assert known["Size"] < LIMIT_BYTES, known["Size"]
    assert known["Config"]["User"] == f"{USER}:{USER}"
    labels = {key.removeprefix("org.opencontainers.image."): text for key, text in known["Config"]["Labels"].items()}
    assert labels["version"] == version.split('"')[1]
    assert labels["licenses"] == "Apache-2.0"
    assert {"title", "description", "source", "revision"} <= labels.keys()
    told = engine.run("run", "--rm", *AS_IN_THE_POD, "--entrypoint=python", image, "-c", _LOOK)
    assert json.loads(told) == {
        "user": USER,
        "capabilities": 0,
        "root writable": False,
        "pip": False,
        "apprise": True,
    }


_LOOK = """
import importlib.util, json, os, re
def writable(path):
    try:
        open(path, "w").close()
        return True
    except OSError:
        return False
print(json.dumps({
    "user": os.getuid(),
    "capabilities": int(re.search(r"CapEff:\\t(\\w+)", open("/proc/self/status").read())[1], 16),
    "root writable": writable("/opt/rearguard/x"),
    "apprise": importlib.util.find_spec("apprise") is not None,
    "pip": importlib.util.find_spec("pip") is not None,
}))
"""


def test_a_second_build_gives_the_same_layers_and_the_second_target_adds_a_kubectl(engine, image, run_id):
    again = f"{run_id}-with-kubectl"
    engine.finish(engine.start_build(again, target="with-kubectl"), within=400)
    first, second = (engine.inspect(name)["RootFS"]["Layers"] for name in (image, f"{REPOSITORY}:{again}"))
    assert second[: len(first)] == first
    assert len(second) == len(first) + 1
    words = ("--entrypoint=kubectl", f"{REPOSITORY}:{again}", "version", "--client", "--output=json")
    told = json.loads(engine.run("run", "--rm", *AS_IN_THE_POD, *words))
    assert int(told["clientVersion"]["minor"]) >= 32


def test_the_controller_in_its_container_rolls_back_and_ends_cleanly(engine, image, tmp_path):
    name = f"rearguard-{tmp_path.name}"
    grace = yaml.safe_load((MANIFESTS / "base/deployment.yaml").read_text())["spec"]["template"]["spec"][
        "terminationGracePeriodSeconds"
    ]
    with Stack(tmp_path / "stack") as stack, deploy_tool(stack, tmp_path / "deploy"):
        volumes = _lay_out(stack, tmp_path)
        try:
            stack.start(without=[stack.controller])
            engine.run("run", "--detach", f"--name={name}", *AS_IN_THE_POD, *volumes, image)
            wait_until(
                lambda: answers(f"{stack.layout.controller}/readyz"),
                within=60,
                what="the container is ready",
                every=0.2,
            )
            rollback = _one_rollback(stack)
            assert (rollback["from_version"], rollback["to_version"]) == ("v2", "v1")
            assert rollback["outcome"] == "recovered"
            assert {step["name"]: step["state"] for step in rollback["steps"]}["undo drain"] == "done"
            assert stack.release("current") == "v1"

            asked = time.monotonic()
            engine.run("kill", "--signal=TERM", name)
            code = engine.run("wait", name, within=grace + 30)
            assert (code, time.monotonic() - asked < grace) == ("0", True)
            ended = json.loads(engine.run("container", "inspect", name))[0]["State"]
            assert ended["OOMKilled"] is False
        finally:
            sys.stdout.write(engine.run("logs", name, may_fail=True)[-4000:])  # shown when the test fails
            engine.run("rm", "--force", "--time=0", name, may_fail=True)
    assert (tmp_path / "journal/journal.db").exists()


def _lay_out(stack, folder):
    """The shipped configuration with this stack's addresses and short times, mounted where the manifests mount it."""
    config, tokens, journal = (folder / name for name in ("config", "tokens", "journal"))
    for place in (config, tokens, journal):
        place.mkdir()
    shutil.copy(MANIFESTS / "overlays/production/rearguard.yaml", config)
    rewrite(config / "rearguard.yaml", lambda shipped: _localise(shipped, stack.layout))
    for role in ("sender", "viewer", "operator"):  # as a secret of a pod: the group may read
        shutil.copy(stack.layout.token_file(role), tokens)
        shutil.chown(tokens / role, user=0, group=USER)
        (tokens / role).chmod(0o440)
    shutil.chown(journal, user=0, group=USER)
    journal.chmod(0o2770)
    return [
        f"--volume={config}:/etc/rearguard/config:ro",
        f"--volume={tokens}:/etc/rearguard/tokens:ro",
        f"--volume={journal}:/var/lib/rearguard",
        f"--volume={folder / 'deploy'}:/opt/deploy:ro",
    ]


def _localise(shipped, layout):
    shipped["listen"] = f"127.0.0.1:{layout.controller_port}"
    shipped["prometheus"] = {"url": layout.prometheus, "poll_interval": "5s"}
    shipped["alertmanager"] = {"url": layout.alertmanager}
    shipped["policies"]["standard"]["known_good_after"] = "20s"
    (target,) = shipped["targets"]
    target["match"]["service_name"] = "shop"
    before, _ = target["hooks"]["before"]
    (after,) = target["hooks"]["after"]
    before["http"]["url"] = f"{layout.shop}/admin/snapshot"
    after["http"]["url"] = f"{layout.shop}/admin/cache/clear"
    target["verify"]["health"]["url"] = f"{layout.shop}/healthz"


def _one_rollback(stack):
    asker = Asker(stack.layout)
    with LoadThread(stack.layout.proxy):
        wait_until(
            lambda: _status(stack)["last_known_good"] == "v1", within=120, what="v1 earned its trust", every=0.5
        )
        stack.release("deploy", "v2")
        return wait_until(
            lambda: next((each for each in asker.rollbacks() if each["phase"] == "closed"), None),
            within=240,
            what="the rollback is closed",
            every=0.5,
        )


def _status(stack):
    token = {"Authorization": f"Bearer {stack.layout.token('viewer')}"}
    answer = requests.get(f"{stack.layout.controller}/api/monitoring/rollback/status", headers=token, timeout=10)
    return answer.json()["targets"][0]
