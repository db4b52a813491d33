"""The stand-in cluster with a shop in it, the real `kubectl`, and the controller's own client."""

import shutil

import pytest

from local_cluster.cluster import running
from real.local_cluster.conftest import Kubectl
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.config import KubernetesSettings


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


@pytest.fixture
async def client(cluster, tmp_path):
    it = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "controller.yaml")))
    yield it
    await it.close()
