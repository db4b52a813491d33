"""The kit of the stand-in cluster, and the controller's own client of it."""

import pytest

from real.local_cluster.kit import cluster, kubectl  # noqa: F401 - fixtures
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.config import KubernetesSettings


@pytest.fixture
async def client(cluster, tmp_path):  # noqa: F811 - the fixture
    it = Cluster(KubernetesSettings(cluster.write_kubeconfig(tmp_path / "controller.yaml")))
    yield it
    await it.close()
