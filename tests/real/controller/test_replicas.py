"""Two real replicas of Prometheus: one that is cut off from the target confirms nothing, one that is down is told."""

import asyncio
import time
from contextlib import ExitStack, suppress

import pytest
import yaml

from local_stack.process import free_ports
from real.prometheus import page, running
from rearguard_controller.adapters.prometheus import figures
from rearguard_controller.adapters.prometheus.replicas import connect
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import is_subset
from rearguard_controller.watching.replicas_agree import ReplicasAgree
from unit.controller.factories import MATCH, target

DEADLINE = 60.0
PAGE = b"requests_failed_ratio 0.01\n"
BY = "service_name, deployment_environment_name"
TRIGGER = {"action": "rollback"}
DOWN = {
    "alert": "TargetDown",
    "expr": f"max by ({BY}) (1 - up) > 0.5",
    "labels": TRIGGER,
    "annotations": {"figure": f"max by ({BY}) (1 - up)", "threshold": "> 0.5"},
}
ERRORS = {
    "alert": "Errors",
    "expr": "requests_failed_ratio > 0.1",
    "labels": TRIGGER,
    "annotations": {"figure": f"max by ({BY}) (requests_failed_ratio)", "threshold": "> 0.1"},
}


def replica(folder, port, stack, rules=(DOWN, ERRORS)):
    """The address of a Prometheus that scrapes this port as the target's one instance."""
    folder.mkdir()
    labels = {**MATCH, "instance": "shop:9464"}
    job = {"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}
    glob = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": glob, "rule_files": ["rules.yml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": list(rules)}]}))
    return stack.enter_context(running(folder))


async def until(ask):
    """The first answer that is not empty."""
    deadline = time.monotonic() + DEADLINE
    while True:
        with suppress(SourceError):
            if answer := await ask():
                return answer
        assert time.monotonic() < deadline, "nothing came"
        await asyncio.sleep(0.2)


@pytest.fixture
def stack():
    with ExitStack() as found:
        yield found


async def agree(prometheus, it):
    checks, rules = ReplicasAgree(prometheus, [it]), (await prometheus.rules()).alerting
    await checks.look(rules)
    return await checks.check(it, rules)


async def test_a_replica_that_is_cut_off_from_the_target_confirms_nothing_and_is_told(tmp_path, stack):
    it, port = target(), stack.enter_context(page(PAGE))
    good, cut = replica(tmp_path / "good", port, stack), replica(tmp_path / "cut", free_ports(1)[0], stack)
    both = connect(PrometheusSettings((cut, good)))

    async def firing():
        return [each for each in await both.alerts() if each.state == "firing" and is_subset(MATCH, each.labels)]

    (alert,) = await until(firing)
    await until(lambda: both.replicas[-1].query("requests_failed_ratio"))
    condition = figures.condition_of(alert, await both.rules(), it)
    with pytest.raises(SourceError, match="disagree"):
        await figures.measure(both, condition)
    alone = connect(PrometheusSettings((cut,)))
    assert (
        await figures.measure(alone, condition)
    ).past is True  # by it alone a healthy version would be rolled back
    check = await agree(both, it)
    assert check.holds is False
    assert f"{cut} cannot scrape shop:9464 (job shop), and {good} can" in check.detail
    assert "TargetDown" in check.detail
    assert (await agree(alone, it)).holds is True
    await alone.close()
    await both.close()


async def test_replicas_that_agree_confirm_and_one_that_goes_down_is_told_and_left_out(tmp_path, stack):
    it, port = target(), free_ports(1)[0]  # the target itself is down
    first = replica(tmp_path / "first", port, stack)
    with ExitStack() as soon:
        second = replica(tmp_path / "second", port, soon)
        both = connect(PrometheusSettings((first, second)))
        (alert,) = await until(both.alerts)
        condition = figures.condition_of(alert, await both.rules(), it)

        async def confirmed():
            return (await figures.measure(both, condition)).past

        assert await until(confirmed) is True
        assert (await agree(both, it)).holds is True
    assert (await figures.measure(both, condition)).past is True
    check = await agree(both, it)
    assert check.holds is None
    assert second in check.detail
    assert [each.name for each in await both.alerts()] == ["TargetDown"]
    await both.close()


async def test_a_replica_without_the_rules_figures_is_told(tmp_path, stack):
    it, port = target(), stack.enter_context(page(PAGE))
    recorded = {"record": "failed:ratio", "expr": f"max by ({BY}) (requests_failed_ratio)"}
    own = {**ERRORS, "annotations": {"figure": "failed:ratio", "threshold": "> 0.1"}}
    full = replica(tmp_path / "full", port, stack, (recorded, own))
    bare = replica(tmp_path / "bare", port, stack, (own,))
    both = connect(PrometheusSettings((full, bare)))
    await until(lambda: both.replicas[0].query("failed:ratio"))
    await until(lambda: both.replicas[1].query("up == 1"))
    check = await agree(both, it)
    assert check.holds is False
    assert f"{bare}: no figure" in check.detail
    await both.close()
