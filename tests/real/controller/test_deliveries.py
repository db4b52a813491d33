"""Deliveries that lie, or hold an alert that cannot be judged: from the webhook to the decision."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import structlog.testing

from real.controller.served import BASE, SENDER, alerts, listening, serving
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.prometheus import PrometheusAlert, Rules
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.intake.heartbeat import Heartbeat
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.intake.judging import Judging
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import CommandAction, CommandRelease
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import alert, target
from unit.controller.runtime_kit import runtime

NO_SILENCES = Silences(None, clock=time.time, monotonic=time.monotonic)
OWN, FORGED = "errors_of_the_rule", 'count({__name__=~".+"}) + errors_of_the_sender'
TRIGGER = {"action": "rollback", "service_name": "checkout", "deployment_environment_name": "production"}


@pytest.mark.parametrize("is_known", [False, True])
async def test_what_a_forged_delivery_says_is_never_asked_and_what_prometheus_does_not_have_is_left(
    tmp_path, is_known
):
    known = {
        "labels": {"alertname": "Down", "severity": "critical", **TRIGGER},
        "annotations": {"figure": OWN, "threshold": "> 0.1"},
        "state": "firing",
        "activeAt": "2026-01-01T00:00:00Z",
        "value": "1",
    }
    forged = alerts("Down", **TRIGGER, pod='"} or {a="', instance="$(touch pwned)")
    forged["alerts"][0]["annotations"] = {"figure": FORGED, "threshold": "> 0 or errors_of_the_sender"}
    async with listening([known] if is_known else []) as (address, asked), serving(tmp_path, address) as service:
        assert await service.post("/webhook/alertmanager", forged, SENDER) == (202, {"accepted": 1})
        deadline = time.monotonic() + 10
        while not (made := (await service.get(f"{BASE}/decisions"))[1]["decisions"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    assert [each["verdict"] for each in made] == ["leave"]
    confirmed = next(each["holds"] for each in made[0]["reasons"] if each["code"] == "alert_confirmed")
    assert confirmed is (None if is_known else False)
    assert "/api/v1/alerts" in asked
    assert (OWN in asked) is is_known
    assert [each for each in asked if "sender" in each or FORGED.partition(" ")[0] in each] == []
    assert not list(tmp_path.rglob("*pwned*"))


class Faulty:
    """A Prometheus whose figure `b` runs into a fault of ours, in which every alert fires."""

    async def alerts(self):
        return [
            PrometheusAlert(dict(alert(name).labels), {"figure": name, "threshold": "> 0"}, "firing", 1.0, 1.0)
            for name in "abc"
        ]

    async def rules(self):
        return Rules()

    async def query(self, expression, **_at):
        return [] if expression != "b" else 1 / 0

    async def query_range(self, *_question):
        return []


@contextlib.asynccontextmanager
async def taking_in(folder, alerts_now):
    """An intake at work over a Prometheus with a faulty answer, and its journal."""
    journal, actions, prometheus = SqliteJournal.open(folder / "j.db"), Actions(), Faulty()
    echo = CommandAction(("echo", "v2"), 10.0, str(folder))
    it = target(release=CommandRelease(current=echo, rollback=echo))
    kept = runtime(journal, telemetry=Telemetry([it]))
    reader = alerts_now(prometheus, Trouble(time.monotonic), time.time)
    gatherer = FactGatherer(
        kept,
        SourcesOfAll([Sources(prometheus, None, NO_SILENCES, reader)]),
        Releases(kept, ReleaseKinds(actions), lambda _: prometheus),
    )
    judging = Judging(kept, [it], gatherer, Decisions(kept, gatherer, opened=lambda: None))
    intake = Intake(kept, [it], judging, Heartbeat(kept))
    running = asyncio.create_task(intake.run())
    try:
        yield intake, journal
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await actions.close()
        await journal.close()


async def all_judged(journal):
    deadline = time.monotonic() + 10
    while await journal.unjudged(9):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Blind(AlertsNow):
    """A reader of Prometheus' alerts that has a fault of ours, once."""

    faults = 1

    async def read(self, **how):
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError
        return await super().read(**how)


async def test_a_fault_of_ours_while_deliveries_are_looked_up_stops_nobody(tmp_path):
    """Without the look-up they stay as they were delivered; the judgement asks Prometheus itself."""
    async with taking_in(tmp_path, Blind) as (intake, journal):
        with structlog.testing.capture_logs() as said:
            await intake.receive([alert(name) for name in "ac"])
            await all_judged(journal)
    assert [type(each["exc_info"]) for each in said if each["event"] == "alert_set_aside"] == [ZeroDivisionError]


async def test_an_alert_that_cannot_be_judged_is_set_aside_and_the_others_of_its_delivery_are_judged(tmp_path):
    async with taking_in(tmp_path, AlertsNow) as (intake, journal):
        with structlog.testing.capture_logs() as said:
            await intake.receive([alert(name) for name in "abc"])
            await all_judged(journal)
        made = await journal.decisions()
    assert sorted(each.alert.name for each in made.items) == ["a", "c"]
    [fault] = [each for each in said if each["event"] == "alert_set_aside"]
    assert (fault["alert"], type(fault["exc_info"])) == ("b", ZeroDivisionError)
