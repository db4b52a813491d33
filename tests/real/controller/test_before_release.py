"""What was pending or firing before a release: kept with each poll, frozen at the change, through a restart."""

import time

import pytest

from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.errors import SourceError
from rearguard_controller.model import AlertsSeen, AlertState, CommandAction, CommandRelease, Sample, SeenAlert
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import MATCH, TARGET, target
from unit.controller.runtime_kit import runtime

OLD = SeenAlert("HighErrorRate", AlertState.PENDING, "app-v1")
NEW = SeenAlert("ReleaseErrorRate", AlertState.PENDING, "app-v2")


class Prometheus:
    """Has one alert in its history of each moment; may be away."""

    def __init__(self):
        self.away, self.asked = False, []

    async def query(self, expression, at=None):
        if at is None:
            return ()
        self.asked.append((expression, at))
        if self.away:
            raise SourceError("Prometheus is away.")
        return (Sample({**MATCH, "alertname": "HighErrorRate", "alertstate": "pending"}, 1.0),)


@pytest.fixture
def prometheus():
    return Prometheus()


@pytest.fixture
async def begin(tmp_path, store, prometheus):
    """A controller's view of the target, on the same journal each time."""
    read = CommandAction(("cat", "current"), 10.0, str(tmp_path))
    it, actions, opened = target(release=CommandRelease(read, read)), Actions(), []
    clock = {"now": time.time()}

    async def started():
        for journal in opened:
            await journal.close()
        opened[:] = [await store.open()]
        return Releases(
            runtime(opened[0], clock=lambda: clock["now"]), ReleaseKinds(actions), lambda _: prometheus
        ), opened[0]

    async def poll(releases, version, *alerts, after=15.0):
        clock["now"] += after
        (tmp_path / "current").write_text(version)
        seen = None if alerts == (None,) else AlertsSeen(clock["now"], alerts)
        await releases.track(it, Watch(seen=seen), poll_interval=15)
        return clock["now"]

    yield started, poll
    await opened[0].close()
    await actions.close()


async def before(journal):
    return (await journal.target_state(TARGET)).alerts_before


async def test_the_snapshot_of_the_last_poll_before_a_release_outlives_the_controller(begin):
    started, poll = begin
    releases, _ = await started()
    at = await poll(releases, "v1", OLD)
    releases, journal = await started()
    await poll(releases, "v2", NEW)
    assert await before(journal) == AlertsSeen(at, (OLD,))
    releases, journal = await started()
    await poll(releases, "v2", NEW)
    assert await before(journal) == AlertsSeen(at, (OLD,))


async def test_a_release_while_the_controller_was_away_is_looked_up_in_history_until_it_answers_once(
    begin, prometheus
):
    started, poll = begin
    releases, _ = await started()
    at = await poll(releases, "v1", OLD)
    releases, journal = await started()
    prometheus.away = True
    await poll(releases, "v2", NEW, after=3600.0)
    unknown = await before(journal)
    assert "not read together for 1h" in unknown.unknown
    prometheus.away = False
    await poll(releases, "v2", NEW)
    pending = SeenAlert("HighErrorRate", AlertState.PENDING, since=at - 300)
    assert await before(journal) == AlertsSeen(at, (pending,), asked=True)
    asked = list(prometheus.asked)
    await poll(releases, "v2", NEW)
    assert prometheus.asked == asked


async def test_a_poll_without_prometheus_keeps_the_last_snapshot(begin):
    started, poll = begin
    releases, journal = await started()
    at = await poll(releases, "v1", OLD)
    await poll(releases, "v1", None)
    await poll(releases, "v2", NEW)
    assert await before(journal) == AlertsSeen(at, (OLD,))
