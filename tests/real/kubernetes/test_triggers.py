"""What Kubernetes itself knows of a rollout rolls it back, judged like an alert; the real Prometheus sees nothing."""

import asyncio

import pytest

from local_cluster.pod_scripts import Script
from real.controller.served import BASE, serving
from real.local_cluster.workloads import workload
from real.prometheus import running

CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 1s}}
kubernetes: {{kubeconfig: controller.yaml}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act, cooldown: 0s}}}}
targets:
  - name: shop
    match: {{service_name: shop, deployment_environment_name: production}}
    release: {{kubernetes: {{namespace: shop, deployment: shop, timeout: 30s}}}}
"""
WITHIN = 90.0
BAD = {
    "KubernetesImagePull": Script(pull_error=True),
    "KubernetesCrashLoop": Script(crash_every=0.2, back_off=1.0),
}


@pytest.fixture
def prometheus(tmp_path):
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n")
    with running(folder) as address:
        yield address


async def until(ask, holds, within=WITHIN):
    async with asyncio.timeout(within):
        while True:
            found = await ask()
            if holds(found):
                return found
            await asyncio.sleep(0.1)


async def on_a_good_version(service):
    """The version that serves, which people call good."""

    async def target():
        return (await service.get(f"{BASE}/rollback/status"))[1]["targets"][0]

    version = (await until(target, lambda found: found["serving_version"] is not None))["serving_version"]
    await service.post(f"{BASE}/targets/shop/releases", {"version": version, "good": True})
    return version


@pytest.mark.parametrize("name", BAD)
async def test_a_release_that_kubernetes_cannot_run_is_rolled_back_and_recovers(
    cluster, kubectl, prometheus, tmp_path, name
):
    cluster.scripts.set("shop:v2", BAD[name])
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, prometheus=prometheus, configuration=CONFIGURATION) as service:
        first = await on_a_good_version(service)
        await kubectl("set image deployment/shop shop=shop:v2")

        async def history():
            return (await service.get(f"{BASE}/rollback/history"))[1]["rollbacks"]

        (rollback,) = await until(history, lambda found: found and found[0]["phase"] == "closed")
        assert (rollback["outcome"], rollback["trigger"], rollback["to_version"]) == ("recovered", "alert", first)
        _, decision = await service.get(f"{BASE}/decisions/{rollback['decision_id']}")
        assert decision["alert"]["name"] == name
        reasons = {each["code"]: each for each in decision["reasons"]}
        assert "holds in Kubernetes now" in reasons["alert_confirmed"]["detail"]
        assert "2 pods are ready" in reasons["previous_version_healthy"]["detail"]
        assert "shop:v1" in await kubectl("get deployment shop -o jsonpath={.spec.template.spec.containers[0].image}")


async def test_a_crash_that_the_version_before_shows_too_is_not_the_release_s(cluster, kubectl, prometheus, tmp_path):
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, prometheus=prometheus, configuration=CONFIGURATION) as service:
        await on_a_good_version(service)
        for version in ("shop:v1", "shop:v2"):  # a dependency is gone
            cluster.scripts.set(version, BAD["KubernetesCrashLoop"])
        cluster.kubelet.look_at_all()
        await kubectl("set image deployment/shop shop=shop:v2")

        async def decisions():
            return (await service.get(f"{BASE}/decisions"))[1]["decisions"]

        (decision, *_) = await until(decisions, bool)
        reasons = {each["code"]: each for each in decision["reasons"]}
        assert decision["verdict"] == "leave"
        assert reasons["previous_version_healthy"]["holds"] is False
        assert "in the same trouble" in reasons["previous_version_healthy"]["detail"]
        _, found = await service.get(f"{BASE}/rollback/history")
        assert found["rollbacks"] == []
        crash = ["KubernetesCrashLoop"]
        await until(lambda: shown(service), lambda found: found == (crash, crash, crash, "unhealthy"))
        for version in ("shop:v1", "shop:v2"):
            cluster.scripts.set(version, Script())
        cluster.kubelet.look_at_all()
        await until(lambda: shown(service), lambda found: found == ([], [], [], "healthy"))


async def shown(service):
    """What `status` and the dashboard say of the target: its alerts at both, the active triggers, its health.

    The two answers are of two moments: callers wait until both say the same.
    """
    _, status = await service.get(f"{BASE}/rollback/status")
    _, dashboard = await service.get(f"{BASE}/dashboard")
    (target,), (about,) = status["targets"], dashboard["targets"]
    alerts = [
        [each["name"] for each in firing] for firing in (target["firing"], status["active_triggers"], about["firing"])
    ]
    return *alerts, about["health"]


async def test_a_slow_start_is_no_trouble(cluster, kubectl, prometheus, tmp_path):
    cluster.scripts.set("shop:v2", Script(ready_after=5.0))
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    cluster.write_kubeconfig(tmp_path / "controller.yaml")
    async with serving(tmp_path, prometheus=prometheus, configuration=CONFIGURATION) as service:
        await on_a_good_version(service)
        await kubectl("set image deployment/shop shop=shop:v2")
        await kubectl("rollout status deployment/shop --timeout=60s")
        _, found = await service.get(f"{BASE}/rollback/history")
        assert found["rollbacks"] == []
        assert "shop:v2" in await kubectl("get deployment shop -o jsonpath={.spec.template.spec.containers[0].image}")
