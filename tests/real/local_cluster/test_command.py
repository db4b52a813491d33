"""`python -m local_cluster`: a cluster in a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from real.local_cluster.kit import Kubectl

LOCAL = Path(__file__).resolve().parents[3] / "deploy" / "local"


@pytest.fixture
def started(tmp_path):
    children = []

    def start(*options):
        child = subprocess.Popen(
            [sys.executable, "-m", "local_cluster", *options],
            env={**os.environ, "PYTHONPATH": str(LOCAL)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


async def test_it_prints_its_address_writes_a_kubeconfig_and_ends_when_asked(started, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    script = 'shop:bad={"pull_error": true}'
    child = started("--kubeconfig", str(kubeconfig), "--namespace", "shop", "--script", script)
    address = child.stdout.readline().strip()
    kubectl = Kubectl(kubeconfig, tmp_path)

    assert address.startswith("https://127.0.0.1:")
    assert address in await kubectl("cluster-info")
    await kubectl("create deployment web --image=shop:bad --replicas=1 -n shop")
    async with asyncio.timeout(40):
        while "ImagePull" not in await kubectl("get pods -n shop"):
            pass

    child.send_signal(signal.SIGTERM)
    assert (child.wait(timeout=20), child.stdout.read()) == (0, "")


def test_a_wrong_script_is_an_error_that_says_so(started):
    child = started("--script", "shop:v1={nonsense")
    output = child.communicate(timeout=40)[0]
    assert child.returncode == 2
    assert "shop:v1={nonsense" in output
    assert "Traceback" not in output
