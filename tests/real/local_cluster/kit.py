"""A stand-in cluster for each test, and the real `kubectl` on it: for every folder whose tests need them."""

import asyncio
import os
import shutil

import pytest

from deadline import in_time
from local_cluster.cluster import running

LIMIT = 60  # seconds for one command, also on a busy machine


class Kubectl:
    """Runs the real program; what it printed is the answer."""

    def __init__(self, kubeconfig, home):
        self._environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"]}

    async def run(self, line, *, stdin=""):
        child = await asyncio.create_subprocess_exec(
            "kubectl",
            *line.split(),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await in_time(child.communicate(stdin.encode()), LIMIT)
        finally:
            if child.returncode is None:
                child.kill()
        return child.returncode, output.decode()

    async def __call__(self, line, *, stdin=""):
        code, output = await self.run(line, stdin=stdin)
        assert code == 0, f"kubectl {line}: {output}"
        return output


@pytest.fixture
async def cluster():
    async with running() as cluster:
        cluster.add_namespace("shop")
        yield cluster


@pytest.fixture
def kubectl(cluster, tmp_path):
    if shutil.which("kubectl") is None:
        pytest.fail("kubectl is missing: apt-get install kubernetes-client, or see kubernetes.io/docs/tasks/tools.")
    return Kubectl(cluster.write_kubeconfig(tmp_path / "kubectl.yaml", namespace="shop"), tmp_path)
