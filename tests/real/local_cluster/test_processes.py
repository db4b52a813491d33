"""Pods that are processes: real programs with the manifest's variables, reached through a service."""

import asyncio
import sys

import aiohttp
import pytest

from local_cluster import kinds
from local_cluster.pod_processes import Program
from real.local_cluster.workloads import workload

SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        well = self.path != "/ready" or os.environ["READY"] == "yes"
        self.send_response(200 if well else 503)
        self.end_headers()
        self.wfile.write(f"{os.environ['HOSTNAME']} {os.environ['ZONE']} {os.environ['TAG']}".encode())
    def log_message(self, *_): pass
http.server.HTTPServer((os.environ["POD_IP"], int(os.environ["PORT"])), Answer).serve_forever()
"""


@pytest.fixture
def shop(cluster):
    cluster.programs.set("shop:*", Program([sys.executable, "-c", SERVER], environment={"TAG": "none"}))

    def made(image, ready="yes"):
        value = workload(image=image, replicas=1)
        container = value["spec"]["template"]["spec"]["containers"][0]
        container["ports"] = [{"name": "web", "containerPort": 18080}]
        container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": "web"}}
        zone = {"fieldRef": {"fieldPath": "metadata.labels['app']"}}
        container["env"] = [{"name": "READY", "value": ready}, {"name": "ZONE", "valueFrom": zone}]
        return value

    return made


async def text_from(address, port):
    limit = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(f"http://{address}:{port}/") as answer:
        return await answer.text()


async def answering(address, port):
    async with asyncio.timeout(40):
        while True:
            try:
                return await text_from(address, port)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_a_service_leads_to_the_ready_pods_and_ends_with_them(cluster, kubectl, shop, until):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 18081, "targetPort": "web"}]},
    }
    cluster.create(service)
    cluster.create(shop("shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=50s")
    address = cluster.store.get(kinds.SERVICES, "shop", "shop")["spec"]["clusterIP"]
    pod = cluster.store.all(kinds.PODS, "shop")[0]

    assert await text_from(address, 18081) == f"{pod['metadata']['name']} shop none"
    slices = cluster.store.all(kinds.ENDPOINT_SLICES, "shop")
    assert [one["addresses"] for one in slices[0]["endpoints"]] == [[pod["status"]["podIP"]]]

    await kubectl("set env deployment/shop READY=no")
    await until(lambda: len(cluster.store.all(kinds.PODS, "shop")) == 2)
    await cluster.settled()
    new = next(
        one for one in cluster.store.all(kinds.PODS, "shop") if one["metadata"]["name"] != pod["metadata"]["name"]
    )
    await answering(new["status"]["podIP"], 18080)
    for _ in range(4):
        text = await text_from(address, 18081)
        assert text == f"{pod['metadata']['name']} shop none", "an unready pod gets nothing"

    await kubectl("delete deployment shop")
    await until(lambda: not cluster.store.all(kinds.PODS, "shop"))
    with pytest.raises(aiohttp.ClientError):
        await text_from(pod["status"]["podIP"], 18080)


async def test_a_process_that_ends_is_started_again_and_counted(cluster, kubectl, until):
    cluster.programs.set("crash:*", Program([sys.executable, "-c", "print('no customers'); raise SystemExit(3)"]))
    cluster.create(workload(image="crash:v1", replicas=1))

    def crashed():
        pods = cluster.store.all(kinds.PODS, "shop")
        states = [one for pod in pods for one in pod["status"].get("containerStatuses", [])]
        return [one for one in states if one["restartCount"] >= 2 and "waiting" in one["state"]]

    state = (await until(crashed, within=40))[0]

    assert state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert state["lastState"]["terminated"]["exitCode"] == 3
    name = cluster.store.all(kinds.PODS, "shop")[0]["metadata"]["name"]
    assert "no customers" in await kubectl(f"logs {name}")
