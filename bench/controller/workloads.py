"""Following 2,000 Deployments in 50 namespaces of the stand-in cluster: memory, processor while idle, and how soon a
new pod template is noticed.

Here: the cluster, and the process that follows it with the controller's own client. Never here: judgement, polls.
"""

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from local_cluster.cluster import running
from local_cluster.kinds import DEPLOYMENTS
from local_cluster.objects import copied
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.model import KubernetesRelease, WorkloadKind

NAMESPACES, EACH, CHANGES, IDLE = 50, 40, 50, 20.0
BRIEF = {"NAMESPACES": 3, "EACH": 5, "CHANGES": 3, "IDLE": 1.0}
LIMIT = 300.0  # seconds for the cluster to settle


def run(report):
    report.title(f"{NAMESPACES * EACH:,} Deployments in {NAMESPACES} namespaces, followed by watches")
    found = asyncio.run(_measured())
    report.note(f"all listed after {found['listed']:.1f} s")
    report.goal("memory of the process", found["memory"], 250, unit=" MB")
    report.goal("of a core while nothing happens", found["idle"], 10, unit=" %")
    report.goal("new template -> noticed, longest", found["noticed"], 1.0, unit=" s")
    report.note(f"new template -> noticed, median: {found['median'] * 1000:.0f} ms")


async def _measured():
    with TemporaryDirectory(prefix="rearguard-bench-") as folder:
        async with running() as cluster:
            for number in range(NAMESPACES):
                cluster.add_namespace(f"team-{number}")
                for one in range(EACH):
                    cluster.create(_deployment(f"team-{number}", f"app-{one}", "app:v1"))
            await cluster.settled(within=LIMIT)
            file = cluster.write_kubeconfig(Path(folder) / "kubeconfig")
            child = await asyncio.create_subprocess_exec(
                sys.executable, __file__, str(file), str(NAMESPACES), str(EACH), stdout=asyncio.subprocess.PIPE
            )
            try:
                return await _follow(cluster, child)
            finally:
                child.kill()
                await child.wait()


async def _follow(cluster, child):
    listed = await _line(child)
    process = psutil.Process(child.pid)
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(IDLE)
    idle = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began) * 100
    delays = []
    for number in range(CHANGES):
        namespace, name = f"team-{number % NAMESPACES}", f"app-{number % EACH}"
        changed = copied(cluster.store.get(DEPLOYMENTS, namespace, name))
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = f"app:change-{number}"
        at = time.time()
        cluster.store.update(DEPLOYMENTS, changed)
        noticed = await _line(child)
        assert noticed["name"] == f"{namespace}/{name}", noticed
        delays.append(noticed["at"] - at)
        await cluster.settled(within=LIMIT)
    memory = process.memory_info().rss / 1e6
    return {
        "listed": listed["seconds"], "memory": memory, "idle": idle,
        "noticed": max(delays), "median": statistics.median(delays),
    }  # fmt: skip


async def _line(child):
    async with asyncio.timeout(LIMIT):
        return json.loads(await child.stdout.readline())


def _deployment(namespace, name, image):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


async def _child(file, namespaces, each):
    """Follow every Deployment; say when all are known, and when one gets another template."""

    def changed(workload):
        print(json.dumps({"name": workload.removeprefix("deployment "), "at": time.time()}), flush=True)

    began, client = time.monotonic(), Cluster(KubernetesSettings(Path(file)), changed)
    for number in range(namespaces):
        for one in range(each):
            release = KubernetesRelease(f"team-{number}", WorkloadKind.DEPLOYMENT, f"app-{one}", 60.0)
            await client.current(release)
    print(json.dumps({"seconds": time.monotonic() - began}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
