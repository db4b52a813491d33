"""What several Prometheus say: each is believed about its own targets alone, and none holds up an alert of others."""

import asyncio
import time

import pytest

from rearguard_controller.adapters.prometheus import PrometheusAlert, Rules
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.owners import Owners
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import AlertState, StormLimit
from unit.controller.factories import NOW, alert, target


class Lists:
    """The lists of one Prometheus; they come once `answers` is set."""

    def __init__(self, *firing):
        self.firing, self.answers, self.away = firing, asyncio.Event(), False
        self.answers.set()

    async def alerts(self):
        if self.away:
            raise SourceError("It did not answer.")
        await self.answers.wait()
        return tuple(PrometheusAlert(each.labels, {}, AlertState.FIRING, NOW, 1.0) for each in self.firing)

    async def rules(self):
        return Rules()


class Scene:
    """Two of them with a target each that have the same labels; `db` is one more of the second."""

    def __init__(self):
        self.eu, self.us = Lists(), Lists()
        self.here, self.there = target(name="here"), target(name="there", prometheus="us")
        self.db = target(name="db", prometheus="us", match=({"service_name": "db"},))
        self.trouble, self.clock = Trouble(time.monotonic), NOW
        self.use(self.here, self.there, self.db)

    def use(self, *targets):
        self.trouble.use(targets, StormLimit())
        self.all = SourcesOfAll([self.of(name, lists, targets) for name, lists in (("", self.eu), ("us", self.us))])

    def of(self, name, lists, targets):
        alerts_now = AlertsNow(lists, self.trouble, lambda: self.clock, name=name)
        own = tuple(each for each in targets if each.prometheus == name)
        return Sources(lists, None, None, alerts_now, name=name, targets=own)

    async def having(self, one, delivered=NOW + 1):
        """Which of them have a delivered alert that fires."""
        found = await self.all.readings([one], delivered)
        return {reading.prometheus for reading in found if reading.has_firing(one)}


async def test_a_delivery_is_looked_for_in_each_that_may_have_it():
    scene = Scene()
    scene.us.firing = (alert(),)
    assert await scene.having(alert()) == {"us"}
    scene.eu.firing = (alert(),)
    scene.clock = NOW + 5
    assert await scene.having(alert()) == {"", "us"}


async def test_a_delivery_that_none_had_a_moment_ago_is_looked_for_again():
    scene = Scene()
    assert await scene.having(alert()) == set()
    scene.eu.firing, scene.clock = (alert(),), NOW + 0.1
    assert await scene.having(alert(), NOW) == set()  # delivered before the reading
    assert await scene.having(alert(), NOW + 0.05) == {""}


@pytest.mark.parametrize("trouble", ["hangs", "away"])
async def test_one_that_gives_no_answer_holds_up_no_delivery_of_another(trouble):
    scene = Scene()
    scene.eu.firing = (alert(),)
    scene.us.away = trouble == "away"
    if trouble == "hangs":
        scene.us.answers.clear()
    began = time.monotonic()
    assert await scene.having(alert()) == {""}
    assert time.monotonic() - began < 20  # and not for as long as it hangs
    scene.us.answers.set()


async def test_what_fires_in_one_troubles_no_target_of_another():
    scene = Scene()
    scene.us.firing = (alert(),)
    reading = await scene.all.of(scene.here).alerts_now.read()
    assert (reading.troubled, scene.trouble.recent()) == (frozenset(), ())
    reading = await scene.all.of(scene.there).alerts_now.read()
    assert (reading.troubled, scene.trouble.recent()) == ({"there"}, ("there",))
    scene.us.firing = ()
    scene.clock += 5
    assert (await scene.all.of(scene.here).alerts_now.read()).lasting == frozenset()


def test_what_a_target_depends_on_is_asked_where_it_is_judged():
    scene = Scene()
    dependant = target(name="here", depends_on=("db",))
    scene.use(dependant, scene.there, scene.db)
    assert [each.name for each in scene.all.of_dependencies(dependant)] == ["us"]
    assert scene.all.of_dependencies(scene.db) == ()
    through = target(name="here", depends_on=("there",), reached_through=("db",))
    scene.use(through, target(name="there"), scene.db)
    assert [each.name for each in scene.all.of_dependencies(through)] == ["us"]
    assert [each.name for each in scene.all.independent_dependencies(through)] == ["there", "db"]


def test_an_alert_whose_prometheus_is_known_is_of_no_target_of_another():
    owners = Owners([target(name="here"), target(name="there", prometheus="us")])
    labels = alert().labels
    assert [each.name for each in owners.of(labels)] == ["here", "there"]
    assert [each.name for each in owners.of(labels, "us")] == ["there"]
    assert [each.name for each in owners.of(labels, "")] == ["here"]
    assert owners.are_triggered_by(labels, "us")
    assert not owners.are_triggered_by(labels, "elsewhere")
