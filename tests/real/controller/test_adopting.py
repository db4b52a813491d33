"""When the past of a target is read: on day one, once, by the leader's polls, and never of what the journal knows."""

import time

import pytest

from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.prometheus import AlertingRule, Rules, Series
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.errors import SourceError
from rearguard_controller.model import CommandAction, CommandRelease, Sample, TargetState
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import HOLDING, MATCH, TARGET, target
from unit.controller.runtime_kit import runtime

HEALTHY = Watch(HOLDING)


class Prometheus:
    """Remembers a day of whatever serves now; counts how often its memory is asked."""

    def __init__(self, file):
        self.file, self.away, self.asked = file, False, []

    def labels(self):
        return {**MATCH, "service_version": self.file.read_text().strip()}

    async def rules(self):
        return Rules(
            (AlertingRule("Errors", "errors > 0.1", {"action": "rollback"}, {}, 0.0, "ok", "", "shop", 5.0),)
        )

    async def query(self, expression, _at=None):
        now = time.time() + 1  # scraped since the change
        return (Sample(self.labels(), now if expression.startswith("timestamp") else 1.0),)

    async def query_range(self, expression, start, end, step, _about=None):
        self.asked += [] if "errors" in expression else [end - start]
        if self.away:
            raise SourceError("Prometheus is away.")
        moments = [start + number * step for number in range(int((end - start) / step) + 1)]
        return () if "ALERTS" in expression else (Series(self.labels(), tuple((at, 1.0) for at in moments)),)


@pytest.fixture
async def begin(tmp_path, store):
    """A controller's view of the target on the same journal, anew each time; and its Prometheus."""
    read, opened = CommandAction(("cat", "current"), 10.0, str(tmp_path)), []
    (tmp_path / "current").write_text("v1")
    it, actions, prometheus = target(release=CommandRelease(read, read)), Actions(), Prometheus(tmp_path / "current")

    async def started():
        for journal in opened:
            await journal.close()
        opened[:] = [await store.open()]
        releases = Releases(runtime(opened[0]), ReleaseKinds(actions), lambda _: prometheus)

        async def poll(number=1, watch=HEALTHY):
            for _ in range(number):
                await releases.track(it, watch, poll_interval=15)
            return {each.version: each.known_good_at is not None for each in await opened[0].releases(TARGET)}

        return poll, opened[0]

    yield started, prometheus
    await opened[0].close()
    await actions.close()


async def test_the_version_found_on_day_one_is_known_good_within_a_few_polls_and_its_past_is_read_once(begin):
    started, prometheus = begin
    poll, _ = await started()
    assert await poll() == {"v1": False}  # which label it shows is not known yet
    assert await poll() == {"v1": True}
    asked = len(prometheus.asked)
    assert asked == 2
    await poll(3)
    poll, _ = await started()
    await poll(3)
    assert len(prometheus.asked) == asked


async def test_a_prometheus_that_is_away_is_asked_at_every_poll_for_a_shorter_time_until_it_answers(begin):
    started, prometheus = begin
    poll, _ = await started()
    prometheus.away = True
    assert await poll(4) == {"v1": False}
    assert prometheus.asked == [86400.0, 21600.0, 5400.0]
    prometheus.away = False
    assert await poll() == {"v1": True}


async def test_without_healthy_trigger_rules_nothing_is_adopted_or_asked(begin):
    started, prometheus = begin
    poll, _ = await started()
    assert await poll(3, Watch()) == {"v1": False}
    assert prometheus.asked == []
    assert await poll() == {"v1": True}


async def test_a_release_before_the_past_could_be_read_has_to_earn_trust(begin):
    started, prometheus = begin
    poll, _ = await started()
    await poll(2, Watch())
    prometheus.file.write_text("v2")
    assert await poll(4) == {"v1": False, "v2": False}
    assert prometheus.asked == []


async def test_a_target_that_the_journal_knows_is_not_new(begin):
    started, prometheus = begin
    poll, journal = await started()
    known = TargetState(TARGET, serving_version="v1", serving_since=time.time(), looked_at=time.time())
    await journal.change_target(TARGET, lambda _state: known)
    assert await poll(4) == {"v1": False}
    assert prometheus.asked == []
