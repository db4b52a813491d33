"""What the watcher shows of targets, in a served controller that has no Prometheus."""

import asyncio
from dataclasses import replace

import pytest
import structlog.testing

from real.controller.hosted import hosted
from real.controller.served import BASE, listening, metrics, serving
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import Outcome, Phase, Release
from rearguard_controller.rollback import arming
from unit.controller.factories import rollback, target

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


@pytest.mark.parametrize("word", ["arm", "disarm"])
async def test_a_target_that_a_rollback_left_disarmed_is_in_the_metrics_until_a_person_speaks(tmp_path, word):
    async with serving(tmp_path) as service:
        ended = rollback(of=target(name="checkout"), phase=Phase.CLOSED, outcome=Outcome.ABORTED, closed_at=1.0)
        await service.controller.journal.change_target("checkout", lambda state: arming(state, ended))

        async def shows(expected):
            await service.controller.parts.watcher.poll(service.controller.parts.intake)
            samples = (await metrics(service))["rearguard_target_disarmed"].samples
            return {each.labels["outcome"] for each in samples if each.value == 1} == expected

        await until(lambda: shows({"aborted"}))
        assert (await service.post(f"{BASE}/targets/checkout/{word}", {"reason": "seen"}))[0] == 200
        await until(lambda: shows(set()))


SLOW = """#!/bin/sh
cd "$(dirname "$0")"
while [ -e slow ]; do sleep 0.05; done
cat current
"""


async def test_whether_the_version_is_read_stays_known_while_it_is_being_read_anew(tmp_path):
    async with listening([]) as (address, _), serving(tmp_path, prometheus=address) as service:
        watcher, intake = service.controller.parts.watcher, service.controller.parts.intake

        async def is_read():
            await watcher.poll(intake)
            return watcher.ready("checkout").get("current")

        await until(is_read)
        (tmp_path / "slow").touch()
        (tmp_path / "slowly").write_text(SLOW)
        (tmp_path / "slowly").chmod(0o755)
        (tmp_path / "slowly").replace(tmp_path / "release")
        try:
            for _ in range(2):
                await watcher.poll(intake)
                assert watcher.ready("checkout")["current"] is True
        finally:
            (tmp_path / "slow").unlink()


class Breaking:
    """A journal whose list of releases runs into a fault of ours, in the watcher's hands or in those of readiness."""

    def __init__(self, journal):
        self._journal, self.breaks_for = journal, None

    def __getattr__(self, name):
        return getattr(self._journal, name)

    async def releases(self, target):
        is_readiness = asyncio.current_task().get_name().startswith("ready ")
        if self.breaks_for == ("readiness" if is_readiness else "watcher"):
            raise ZeroDivisionError
        return await self._journal.releases(target)


@pytest.mark.parametrize(
    ("who", "check", "event", "part"),
    [
        ("readiness", "hooks", "readiness_broke", "could not look (ZeroDivisionError)"),
        ("watcher", "current", "target_not_tracked", "The controller could not look"),
    ],
)
async def test_a_fault_of_ours_in_a_look_at_a_target_is_told_and_the_next_look_is_made(
    tmp_path, who, check, event, part
):
    journal = Breaking(SqliteJournal.open(tmp_path / "journal.db"))
    async with (
        listening([]) as (address, _),
        hosted(tmp_path, prometheus=address, journal=journal) as (controller, _),
    ):
        labels = {"target": "checkout", "check": check}
        watcher = controller.parts.watcher

        async def shows(expected):
            if "checkout" in watcher._readiness._looks:
                watcher._readiness._looks["checkout"].due = 0.0  # five minutes later
            await watcher.poll(controller.parts.intake)
            return controller._telemetry.registry.get_sample_value("rearguard_target_ready", labels) == expected

        with structlog.testing.capture_logs() as said:
            await until(lambda: shows(1))
            journal.breaks_for = who
            await until(lambda: shows(0))
            lacking = {each.name: each for each in watcher.not_ready("checkout")}
            assert lacking[check].holds is None
            assert part in lacking[check].detail
            journal.breaks_for = None
            await until(lambda: shows(1))
    faults = [each for each in said if each["event"] == event]
    (fault,) = faults  # one line for each kind of fault: it names the target that was looked at first
    assert fault["target"] in {"checkout", "search"}
    assert type(fault["exc_info"]) is ZeroDivisionError


def firing(name, **labels):
    """An alert of checkout as Prometheus lists it."""
    of = {"alertname": name, "service_name": "checkout", "deployment_environment_name": "production", **labels}
    return {"labels": of, "annotations": {}, "state": "firing", "activeAt": "2026-01-01T00:00:00Z", "value": "1"}


async def test_an_alert_that_polls_saw_before_a_release_is_left_with_the_sentence_that_says_so(tmp_path):
    says = [firing("Old", action="rollback", instance="a"), firing("NoTrigger")]
    async with listening(says) as (address, _), serving(tmp_path, prometheus=address) as service:
        controller = service.controller
        watcher, intake = controller.parts.watcher, controller.parts.intake

        async def state():
            await watcher.poll(intake)
            return await controller.journal.target_state("checkout")

        async def seen():
            found = (await state()).alerts
            return found is not None and {each.name for each in found.alerts} == {"Old", "NoTrigger"}

        await until(seen)
        says.append(firing("New", action="rollback"))
        (tmp_path / "current").write_text("v3\n")

        async def changed():
            return (await state()).serving_version == "v3"

        await until(changed)

        async def reasons():
            await watcher.poll(intake)
            _, body = await service.get(f"{BASE}/decisions?limit=500")
            about = {
                each["alert"]["name"]: {reason["code"]: reason for reason in each["reasons"]}["began_after_release"]
                for each in reversed(body["decisions"])
                if each["alert"] and each["from_version"] == "v3"
            }
            return about if {"Old", "New"} <= set(about) else None

        deadline = asyncio.get_running_loop().time() + DEADLINE
        while (about := await reasons()) is None:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)
        assert about["Old"]["holds"] is False
        assert "Old was already firing" in about["Old"]["detail"]
        assert "already" not in about["New"]["detail"]
