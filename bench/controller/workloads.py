"""Following 2,000 Deployments in 50 namespaces of the stand-in cluster: memory, processor while idle, and how soon a
new pod template is noticed.

Here: the cluster, the process that follows it with the controller's own client, and how soon a decision of a whole
controller is a patch at the API server. Never here: polls.
"""

import asyncio
import json
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil
from place import Place, free_port

from local_cluster.cluster import running
from local_cluster.kinds import DEPLOYMENTS
from local_cluster.objects import copied
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.model import KubernetesRelease, WorkloadKind

NAMESPACES, EACH, CHANGES, IDLE = 50, 40, 50, 20.0
ROLLBACKS = 10
BRIEF = {"NAMESPACES": 3, "EACH": 5, "CHANGES": 3, "IDLE": 1.0, "ROLLBACKS": 2}
LIMIT = 300.0  # seconds for the cluster to settle
BASE = "/api/monitoring"
TARGET = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:{port}
prometheus: {{url: "http://127.0.0.1:9"}}
kubernetes: {{kubeconfig: kubeconfig}}
policies: {{standard: {{mode: act}}}}
targets:
  - name: app
    match: {{service_name: app}}
    release: {{kubernetes: {{namespace: team-0, deployment: app-0}}}}
"""


def run(report):
    report.title(f"{NAMESPACES * EACH:,} Deployments in {NAMESPACES} namespaces, followed by watches")
    found = asyncio.run(_measured())
    report.note(f"all listed after {found['listed']:.1f} s")
    report.goal("memory of the process", found["memory"], 250, unit=" MB")
    report.goal("of a core while nothing happens", found["idle"], 10, unit=" %")
    report.goal("new template -> noticed, longest", found["noticed"], 1.0, unit=" s")
    report.note(f"new template -> noticed, median: {found['median'] * 1000:.0f} ms")
    took = asyncio.run(_patched())
    report.goal("decision -> patch sent, median", statistics.median(took), 1.0, unit=" s")
    report.note(f"decision -> patch sent, longest of {ROLLBACKS}: {max(took):.3f} s")


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


async def _patched():
    """Seconds from each decision, by the journal, to its patch, by the API server's own log."""
    with Place(0) as place:
        async with running() as cluster:
            cluster.add_namespace("team-0")
            cluster.create(_deployment("team-0", "app-0", "app:v1"))
            await cluster.settled(within=LIMIT)
            cluster.write_kubeconfig(place.folder / "kubeconfig")
            port = free_port()
            file = place.folder / "rearguard.yaml"
            file.write_text(TARGET.format(folder=place.folder, port=port))
            await asyncio.to_thread(place.controller, file, port)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                good = await _served(session, None)
                return [await _rolled_back(cluster, session, good, number) for number in range(ROLLBACKS)]


async def _rolled_back(cluster, session, good, number):
    changed = copied(cluster.store.get(DEPLOYMENTS, "team-0", "app-0"))
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = f"app:bad-{number}"
    cluster.store.update(DEPLOYMENTS, changed)
    await _served(session, good)
    wanted = {"target": "app", "reason": "bench", "to_version": good, "force": True}
    async with session.post(f"{BASE}/rollback/trigger", json=wanted) as answer:
        opened = await answer.json()
        assert answer.status == 202, opened
    rollback = {"phase": "open"}
    async with asyncio.timeout(LIMIT):
        while rollback["phase"] != "closed":
            await asyncio.sleep(0.05)
            rollback = await _asked(session, f"rollback/{opened['rollback_id']}")
    assert rollback["outcome"] == "completed", rollback
    decision = await _asked(session, f"decisions/{rollback['decision_id']}")
    sent = [
        e for e in cluster.api.answered if e.method == "PATCH" and "rearguard" in e.query and "dryRun" not in e.query
    ]
    assert len(sent) == number + 1
    return sent[-1].at - datetime.fromisoformat(decision["decided_at"]).timestamp()


async def _served(session, other):
    """The version that serves, once it is known and not this one."""
    async with asyncio.timeout(LIMIT):
        while True:
            found = (await _asked(session, "targets/app/releases"))["serving_version"]
            if found not in (None, other):
                return found
            await asyncio.sleep(0.02)


async def _asked(session, path):
    async with session.get(f"{BASE}/{path}") as answer:
        return await answer.json()


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
