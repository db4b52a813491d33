"""Brakes that look beyond one target: a served controller whose Prometheus says what fires."""

from __future__ import annotations

import asyncio
import time

from real.controller.hosted import hosted
from real.controller.served import listening
from rearguard_controller.intake.by_hand import ManualRequest
from rearguard_controller.model import Alert

PAYMENTS = """  - name: payments
    match: {service_name: payments, deployment_environment_name: production}
    release: {command: {current: [./release, current], rollback: [./release, activate, "{to_version}"]}}
"""


def firing(service):
    labels = {"alertname": "Down", "service_name": service, "deployment_environment_name": "production"}
    return {
        "labels": {**labels, "action": "rollback"},
        "annotations": {},
        "state": "firing",
        "activeAt": "2026-01-01T00:00:00Z",
        "value": "1",
    }


def as_alert(said):
    return Alert(said["labels"]["alertname"], said["labels"])


async def judged(controller, says, *services):
    """Let alerts of these targets fire from now on, deliver them, and answer the reasons of each by code."""
    deadline = time.monotonic() + 10
    while controller.parts.watcher.prometheus_age() is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    says += [firing(name) for name in services]
    await controller.parts.intake.receive([as_alert(each) for each in says])
    while True:
        made = {each.target: each for each in (await controller.journal.decisions()).items}
        if set(services) <= made.keys():
            return [{reason.code.value: reason for reason in made[name].reasons} for name in services]
        assert time.monotonic() < deadline, made.keys()
        await asyncio.sleep(0.02)


async def test_in_a_storm_already_the_first_judgement_knows_every_target_that_is_in_trouble(tmp_path):
    more, says = PAYMENTS + "storm: {targets: 2}\n", []
    async with listening(says) as (address, _), hosted(tmp_path, more, prometheus=address) as (controller, _):
        for reasons in await judged(controller, says, "checkout", "search", "payments"):
            assert reasons["no_storm"].holds is False
            assert reasons["no_storm"].detail.startswith("3 targets had trigger alerts within 5m (checkout, ")


async def test_two_targets_in_trouble_are_no_storm_by_default(tmp_path):
    says = []
    async with listening(says) as (address, _), hosted(tmp_path, prometheus=address) as (controller, _):
        for reasons in await judged(controller, says, "checkout", "search"):
            assert reasons["no_storm"].holds is True


async def test_a_fault_that_a_sick_dependency_shows_too_is_left_and_the_dependency_itself_is_not(tmp_path):
    more, says = PAYMENTS + "    depends_on: [search]\n", []
    async with listening(says) as (address, _), hosted(tmp_path, more, prometheus=address) as (controller, _):
        search, payments = await judged(controller, says, "search", "payments")
    assert search["dependencies_healthy"].holds is True
    assert payments["dependencies_healthy"].holds is False
    assert "search: a trigger alert of it fires" in payments["dependencies_healthy"].detail


async def test_a_dependency_that_is_being_rolled_back_is_sick_though_its_alert_is_over(tmp_path):
    more, says = PAYMENTS + "    depends_on: [checkout]\n", []
    (tmp_path / "hold").touch()
    async with listening(says) as (address, _), hosted(tmp_path, more, prometheus=address) as (controller, _):
        wish = ManualRequest("checkout", "it smells", "ann", to_version="v1", force=True)
        answer = await controller.parts.people.trigger(wish)
        [payments] = await judged(controller, says, "payments")
        (tmp_path / "hold").unlink()
    assert payments["dependencies_healthy"].holds is False
    assert f"checkout: its rollback {answer.rollback.id} is under way" in payments["dependencies_healthy"].detail
