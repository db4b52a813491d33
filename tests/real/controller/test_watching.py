"""What the watcher shows of targets, in a served controller that has no Prometheus."""

import asyncio
from dataclasses import replace

import pytest

from real.controller.served import metrics, serving
from rearguard_controller.model import Release

DEADLINE = 10.0  # seconds within which what is polled for must be seen


async def until(condition):
    """Poll an async condition with a deadline."""
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not (found := await condition()):
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.02)


async def bad_versions(service):
    """The version that the metrics call bad, with its value."""
    watcher, intake = service.controller.parts.watcher, service.controller.parts.intake
    await watcher.poll(intake)
    wanted = {"target": "checkout", "state": "bad"}
    samples = (await metrics(service))["rearguard_target_version_info"].samples
    return {each.labels["version"]: each.value for each in samples if wanted.items() <= each.labels.items()}


@pytest.mark.parametrize("mark", ["suspect_at", "bad_at"])
async def test_a_distrusted_version_that_serves_is_in_the_metrics_until_it_is_cleared(tmp_path, mark):
    async with serving(tmp_path) as service:
        journal = service.controller.journal
        marked = Release("checkout", "v2", 1.0, 2.0, served_at=1.0, **{mark: 2.0})

        async def shows(expected):
            return await bad_versions(service) == expected

        await journal.change_release("checkout", "v2", lambda _known: marked)
        await until(lambda: shows({"v2": 1}))
        await journal.change_release("checkout", "v2", lambda _known: replace(marked, **{mark: None}))
        await until(lambda: shows({"": 0}))
