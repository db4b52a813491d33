"""What a test can switch on: refusals, slow and broken answers, and an API server that is away."""

import time

import aiohttp
import pytest

from local_cluster.faults import Fault
from real.local_cluster.client import DEPLOYMENTS, client_of
from real.local_cluster.workloads import workload

NAMESPACES = "/api/v1/namespaces"


@pytest.mark.parametrize("code", [401, 403, 409, 410, 422, 429, 500, 503])
async def test_any_refusal_can_be_had_for_as_many_requests_as_wanted(code, cluster, client):
    fault = cluster.faults.add(Fault(answer=code, retry_after=7, methods=("GET",), path="namespaces$", times=1))

    answered, status, headers = await client.get(NAMESPACES)

    assert (answered, status["kind"], status["code"], status["status"]) == (code, "Status", code, "Failure")
    assert (headers["Retry-After"], status["details"]["retryAfterSeconds"]) == ("7", 7)
    assert headers["Content-Type"] == "application/json"
    assert (await client.get(NAMESPACES))[0] == 200
    assert fault.met == 1


async def test_an_answer_can_be_slow_or_half_or_never_come(cluster, client):
    cluster.faults.add(Fault(delay=0.3, times=1))
    began = time.monotonic()
    assert (await client.get(NAMESPACES))[0] == 200
    assert time.monotonic() - began >= 0.3

    cluster.faults.add(Fault(half=True, times=1))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        await client.get(NAMESPACES)

    cluster.faults.add(Fault(cut=True, times=2))  # the client library tries a GET twice
    with pytest.raises(aiohttp.ClientError):
        await client.get(NAMESPACES)


async def test_a_fault_can_be_for_watches_only(cluster, client):
    cluster.faults.add(Fault(answer=410, watches=True))
    assert (await client.get(DEPLOYMENTS))[0] == 200
    assert (await client.get(DEPLOYMENTS, watch="1"))[0] == 410


async def test_the_api_can_go_away_and_come_back_with_everything(cluster, until):
    cluster.create(workload())
    async with client_of(cluster) as client, client.watch(DEPLOYMENTS, resourceVersion="0") as stream:
        await stream.seen()
        await cluster.go_away()
        with pytest.raises(aiohttp.ClientError):
            await client.get(NAMESPACES)
    await cluster.settled()
    await cluster.come_back()
    async with client_of(cluster) as client:
        _, deployment, _ = await client.get(f"{DEPLOYMENTS}/shop")
    assert deployment["status"]["availableReplicas"] == 2, "the controllers went on meanwhile"


async def test_the_switches_can_be_used_from_another_process(cluster, client, until):
    async def switch(what, **body):
        return (await client.send("POST", f"/stand-in/{what}", body))[:2]

    assert await switch("faults", answer=500, path="namespaces$", times=1) == (200, {"done": True})
    assert (await client.get(NAMESPACES))[0] == 500

    assert (await switch("scripts", image="shop:v1", never_ready=True))[0] == 200
    cluster.create(workload(image="shop:v1"))
    await cluster.settled()
    _, deployment, _ = await client.get(f"{DEPLOYMENTS}/shop")
    assert "readyReplicas" not in deployment["status"]
    assert (await switch("scripts", image="shop:v1"))[0] == 200
    await cluster.settled()
    _, deployment, _ = await client.get(f"{DEPLOYMENTS}/shop")
    assert deployment["status"]["readyReplicas"] == 2

    _, given = await switch("tokens", namespace="tools", name="rearguard")
    client.token, admin = given["token"], client.token
    assert (await switch("away", seconds=0))[0] == 403
    client.token = admin
    code, status = await switch("faults", answr=500)
    assert code == 400
    assert "answr" in status["message"]

    _, log, _ = await client.get("/stand-in/requests")
    refused = [one for one in log["requests"] if one["code"] == 500]
    assert [(one["user"], one["path"]) for one in refused] == [("", NAMESPACES)]

    assert (await switch("away", seconds=0.2))[0] == 200
    await until(lambda: not cluster.answering)
    await until(lambda: cluster.answering)
    assert (await client.get(NAMESPACES))[0] == 200
