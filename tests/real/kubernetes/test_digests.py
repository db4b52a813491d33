"""A tag that moves: the same template runs other code, and nobody is told that it were the same."""

import hashlib

from real.cluster.replicas import until
from real.controller.served import BASE, serving
from real.kubernetes.test_served import CONFIGURATION, serves
from real.local_cluster.workloads import workload

MOVED = "sha256:" + "f" * 64


def shown(image, digest=None):
    """How a digest is shown; the stand-in's digest of a tag that nobody moved is that of its name."""
    return f"{image}@{digest or 'sha256:' + hashlib.sha256(image.encode()).hexdigest()}"[: len(image) + 20]


async def described(service, version):
    _, found = await service.get(f"{BASE}/targets/shop/releases")
    return next(each["description"] for each in found["releases"] if each["version"] == version)


async def test_pods_of_one_template_that_run_different_code_are_told(cluster, kubectl, tmp_path):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        version = await serves(service, None)
        first, other = shown("shop:v1"), shown("shop:v1", MOVED)

        async def says(wanted):
            return await described(service, version) == f"revision 1, shop:v1, run as {wanted}"

        await until(lambda: says(first), what="what the pods run is shown")
        assert "ImageMoved" not in await kubectl("describe deployment shop")
        cluster.digests["shop:v1"] = MOVED
        pod = (await kubectl("get pods -o name")).split()[0]
        await kubectl(f"delete {pod}")
        await until(lambda: says(", ".join(sorted((first, other)))), what="both are shown")
        _, status = await service.get(f"{BASE}/rollback/status")
        assert other in status["targets"][0]["serving_description"]
        assert (status["targets"][0]["serving_version"], len(status["targets"])) == (version, 1)  # the same template
        told = await kubectl("describe deployment shop")
        assert "ImageMoved" in told
        assert "run different images by one name" in told


async def test_a_way_back_to_a_tag_does_not_claim_the_same_code(cluster, kubectl, tmp_path):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, configuration=CONFIGURATION) as service:
        good = await serves(service, None)

        async def is_known():
            return "run as" in await described(service, good)

        await until(is_known, what="what the pods run is known")
        await kubectl("set image deployment/shop shop=shop:v2")
        await kubectl("rollout status deployment/shop --timeout=40s")
        await serves(service, good)
        await service.post(f"{BASE}/targets/shop/releases", {"version": good, "good": True})
        cluster.digests["shop:v1"] = MOVED
        wanted = {"target": "shop", "reason": "slow"}
        _, dry = await service.post(f"{BASE}/rollback/trigger", {**wanted, "dry_run": True})
        (reason,) = [each for each in dry["decision"]["reasons"] if each["code"] == "known_good_exists"]
        assert reason["detail"].endswith(
            f"It ran as {shown('shop:v1')}; whether its tag still means that is not known."
        )
        _, opened = await service.post(f"{BASE}/rollback/trigger", wanted)
        assert (await service.closed(opened["rollback_id"]))["outcome"] == "completed"

        async def is_told():
            said = f"{good} ran as {shown('shop:v1')} and runs as {shown('shop:v1', MOVED)} now"
            return said in await kubectl("describe deployment shop")

        await until(is_told, what="an Event tells of the other code")
