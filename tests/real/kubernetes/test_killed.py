"""A controller that is killed in the middle of a rollback of a Deployment: one patch, and a good end."""

import json
import signal
import sys

import pytest
import yaml

from local_cluster.faults import Fault
from local_cluster.pod_scripts import Script
from local_stack.process import free_ports
from real.cluster.replicas import Program, removed_at_the_end, until
from real.local_cluster.workloads import workload

BASE = "/api/monitoring"


def controller(folder):
    (port,) = free_ports(1)
    content = {
        "environment": "production",
        "journal": f"sqlite://{folder}/journal.db",
        "listen": f"127.0.0.1:{port}",
        "prometheus": {"url": "http://127.0.0.1:9"},
        "kubernetes": {"kubeconfig": "controller.yaml"},
        "policies": {"standard": {"mode": "act"}},
        "targets": [
            {
                "name": "shop",
                "match": {"service_name": "shop"},
                "release": {"kubernetes": {"namespace": "shop", "deployment": "shop", "timeout": "1m"}},
            }
        ],
    }
    file = folder / "rearguard.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    words = (sys.executable, "-m", "rearguard_controller", "serve", "--insecure", "--config", file)
    return Program(folder, "controller", words, f"http://127.0.0.1:{port}")


async def asked(program, method, path, **body):
    status, text = await program.ask(method, path, within=20, **body)
    assert status < 300, text
    return json.loads(text)


async def serves(program, image, kubectl):
    """Wait until the controller knows the template with this image; its version."""
    sets = json.loads(await kubectl("get replicasets -o json"))["items"]
    (version,) = [
        each["metadata"]["labels"]["pod-template-hash"]
        for each in sets
        if each["spec"]["template"]["spec"]["containers"][0]["image"] == image
    ]

    async def known():
        found = await asked(program, "GET", f"{BASE}/targets/shop/releases")
        return found["serving_version"] == version

    await until(known, what=f"{image} is known to serve")
    return version


async def image_of(kubectl):
    found = json.loads(await kubectl("get deployment shop -o json"))
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


def patches(cluster):
    return [
        each
        for each in cluster.api.answered
        if each.method == "PATCH" and "rearguard" in each.query and "dryRun" not in each.query and each.code == 200
    ]


@pytest.mark.parametrize("when", ["before the patch arrives", "after the patch, before its record"])
async def test_nothing_is_patched_twice_and_the_rollback_ends_well(cluster, kubectl, tmp_path, when):
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    program = controller(tmp_path)
    async with removed_at_the_end(program):
        await program.start()
        first = await serves(program, "shop:v1", kubectl)
        await kubectl("set image deployment/shop shop=shop:v2")
        await kubectl("rollout status deployment/shop --timeout=40s")
        await serves(program, "shop:v2", kubectl)
        cluster.scripts.set("shop:v1", Script(ready_after=4.0))  # so that there is a rollout to be killed in
        held = None
        if when == "before the patch arrives":
            held = cluster.faults.add(
                Fault(methods=("PATCH",), cut=True, query="^(?!.*dryRun)", path="/deployments/shop$")
            )
        wanted = {"target": "shop", "reason": "slow", "to_version": first, "force": True}
        opened = await asked(program, "POST", f"{BASE}/rollback/trigger", json=wanted)
        if held is None:

            async def patched():
                return await image_of(kubectl) == "shop:v1"

            await until(patched, what="the patch is there")
        else:
            await until(lambda: held.met > 1, what="a patch was tried")
        await program.end(signal.SIGKILL)
        cluster.faults.clear()
        await program.start()

        async def closed():
            found = await asked(program, "GET", f"{BASE}/rollback/{opened['rollback_id']}")
            return found if found["phase"] == "closed" else None

        rollback, _ = await until(closed, what="the rollback is closed")
    (step,) = [each for each in rollback["steps"] if each["kind"] == "roll_back"]
    assert (rollback["outcome"], step["state"]) == ("completed", "done"), rollback
    assert "available" in step["detail"]
    assert await image_of(kubectl) == "shop:v1"
    assert len(patches(cluster)) == 1
