"""A running controller asks a real Prometheus what a dependency failed, before any alert of the dependency fires."""

import asyncio
import contextlib
import time

import pytest

from real.controller.past import Counters, remembered
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.config.configuration import PrometheusSettings
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import CommandAction, CommandRelease, ReasonCode, StormLimit
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import alert, target
from unit.controller.runtime_kit import runtime

NOW = float(int(time.time()) // 300 * 300 - 600)
RELEASED, FAULT = NOW - 300.0, NOW - 30.0
RULES = f"""
groups:
  - name: now
    interval: 1s
    rules:
      - alert: ReleaseErrorRate
        expr: vector(time()) > {FAULT}
        labels: {{service_name: checkout, action: rollback, deployment_environment_name: production}}
      - alert: ReleaseSlower
        expr: vector(1)
        for: 1h
        labels: {{service_name: slow, action: rollback, deployment_environment_name: production}}
"""


def shop(folder):
    """Checkout was released, payments and the ledger were not. All but two fail for half a minute."""
    past = Counters(folder)
    well, fails = (lambda _: 0.0), (lambda at: 30.0 if at > FAULT else 0.0)
    for name, failures in (("payments", fails), ("ledger", fails), ("cart", well), ("slow", well)):
        past.serves(own(name), "1", f"{name}:1", NOW - 4500, NOW, requests=100.0, failures=failures, job=name)
    for version, start, end, failures in (("v1", NOW - 4500, RELEASED - 5, well), ("v2", RELEASED, NOW, fails)):
        address = f"{version}:1"
        past.serves(own("checkout"), version, address, start, end, requests=100.0, failures=failures, job="checkout")
    return past


def own(name):
    return {"service_name": name}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with remembered(shop(tmp_path_factory.mktemp("past")), RULES) as found:
        yield found


class World:
    """The clock, and which version `current` prints."""

    def __init__(self, folder):
        self.now, self.current = RELEASED - 5, folder / "current"

    def serves(self, version, at):
        self.now = at
        self.current.write_text(f"{version}\n")


@contextlib.asynccontextmanager
async def gathering(folder, address, *targets):
    """A gatherer that asks this Prometheus, and whose clock and `current` a test sets."""
    world, actions, prometheus = World(folder), Actions(), Prometheus(PrometheusSettings((address,)))
    journal, trouble = SqliteJournal.open(folder / "j.db"), Trouble(time.monotonic)
    kept = runtime(journal, telemetry=Telemetry(targets), clock=lambda: world.now)
    trouble.use(targets, StormLimit())
    silences = Silences(None, clock=time.time, monotonic=time.monotonic)
    reader = AlertsNow(prometheus, trouble, time.time)
    sources = SourcesOfAll([Sources(prometheus, None, silences, reader, targets=tuple(targets))])
    releases = Releases(kept, ReleaseKinds(actions), lambda _: prometheus)
    deadline = time.monotonic() + 60
    while len((await reader.read(max_age=0)).alerts) < 2:
        assert time.monotonic() < deadline, "the alerts did not come"
        await asyncio.sleep(0.1)
    try:
        yield world, releases, FactGatherer(kept, sources, releases, targets)
    finally:
        await prometheus.close()
        await actions.close()
        await journal.close()


async def answer(folder, address, **needs):
    """What is answered about what checkout depends on; `needs` are what each target depends on, directly or not."""
    prints = CommandRelease(*(CommandAction(("cat", "current"), 10.0, str(folder)),) * 2)
    shops = [
        target(name=name, match=({**own(name)},), telemetry=own(name), release=prints, **needs.get(name, {}))
        for name in ("checkout", "payments", "ledger", "cart", "slow")
    ]
    async with gathering(folder, address, *shops) as (world, releases, gatherer):
        for version, at in (("v1", RELEASED - 5), ("v2", RELEASED)):
            world.serves(version, at)
            await releases.look(shops[0])
        world.now = NOW
        (found,) = await gatherer.gather(shops[0], [alert()], max_age=0)
    reasons = decide("d1", found.alert, shops[0], found.facts).reasons
    return next(each for each in reasons if each.code is ReasonCode.DEPENDENCIES_HEALTHY), found


async def test_what_a_dependency_fails_is_counted_though_none_of_its_alerts_fires(tmp_path, address):
    reason, found = await answer(tmp_path, address, checkout={"depends_on": ("payments",)})
    assert reason.holds is False
    assert "payments: it failed 180 of 600 requests in 30s" in reason.detail
    told = [each.answer for each in found.facts.evidence if each.serves == (ReasonCode.DEPENDENCIES_HEALTHY,)]
    assert told == ["payments failed 180 of 1200 requests in a minute"]


async def test_what_is_called_through_a_service_that_shows_nothing_is_counted_too(tmp_path, address):
    through = {"depends_on": ("cart",), "reached_through": ("ledger",)}
    reason, _ = await answer(tmp_path, address, checkout=through, cart={"depends_on": ("ledger",)})
    assert (reason.holds, "ledger: it failed" in reason.detail) == (False, True)


async def test_a_dependency_that_is_well_stands_in_no_way(tmp_path, address):
    reason, _ = await answer(tmp_path, address, checkout={"depends_on": ("cart",)})
    assert reason.holds is True


async def test_one_that_depends_on_the_target_in_turn_is_not_counted(tmp_path, address):
    both = {"checkout": {"depends_on": ("payments",)}, "payments": {"depends_on": ("checkout",)}}
    reason, found = await answer(tmp_path, address, **both)
    assert (reason.holds, found.facts.target.counted_dependencies) == (True, {})


async def test_an_alert_of_a_dependency_that_pends_holds_a_rollback_up(tmp_path, address):
    reason, _ = await answer(tmp_path, address, checkout={"depends_on": ("slow",)})
    assert reason.holds is False
    assert "slow: its trigger alert ReleaseSlower pends since" in reason.detail
