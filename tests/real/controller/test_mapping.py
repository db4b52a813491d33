"""Which service_version a version shows: learned from two polls, because a deployment may come within one."""

import asyncio
import time
from dataclasses import replace

import pytest

from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import CommandAction, CommandRelease, Sample
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import MATCH, TARGET, target
from unit.controller.runtime_kit import runtime


class Prometheus:
    """Shows what the target serves; a deployment may come right before it answers."""

    def __init__(self, file):
        self.file, self.deploys, self.up = file, None, []

    async def query(self, expression, _at=None):
        if self.deploys is not None:
            self.file.write_text(self.deploys)
            self.deploys = None
        now = time.time() + 1  # scraped since the change
        shown = {"service_version": f"app-{self.file.read_text().strip()}", "instance": "a"}
        seen = [{**MATCH, **shown}, *({**MATCH, "instance": name} for name in self.up)]
        return tuple(Sample(labels, now if expression.startswith("timestamp") else 1.0) for labels in seen)


@pytest.fixture
async def parts(tmp_path):
    (tmp_path / "current").write_text("v1")
    journal, actions = SqliteJournal.open(tmp_path / "journal.db"), Actions()
    read = CommandAction(("cat", "current"), 10.0, str(tmp_path))
    it, prometheus = target(release=CommandRelease(read, read)), Prometheus(tmp_path / "current")
    yield Releases(runtime(journal), ReleaseKinds(actions), lambda _: prometheus), it, prometheus, journal
    await actions.close()
    await journal.close()


async def shows(journal):
    return {each.version: each.service_version for each in await journal.releases(TARGET)}


async def test_a_label_is_believed_when_two_polls_saw_it(parts):
    releases, it, _, journal = parts
    await releases.track(it, Watch(), poll_interval=1)
    assert await shows(journal) == {"v1": None}
    await releases.track(it, Watch(), poll_interval=1)
    assert await shows(journal) == {"v1": "app-v1"}


async def test_a_deployment_between_the_two_readings_of_a_poll_gives_no_version_the_label_of_the_next(parts):
    releases, it, prometheus, journal = parts
    for _ in range(2):
        await releases.track(it, Watch(), poll_interval=1)
    prometheus.deploys = "v2"
    await releases.track(it, Watch(), poll_interval=1)  # `current` said v1, and Prometheus already shows v2
    assert await shows(journal) == {"v1": "app-v1"}
    for _ in range(2):
        await releases.track(it, Watch(), poll_interval=1)
    assert await shows(journal) == {"v1": "app-v1", "v2": "app-v2"}


@pytest.mark.parametrize(("up", "shown"), [(["a"], "app-v1"), (["a", "b"], None)])
async def test_a_label_is_learned_beside_the_up_of_its_instance_and_not_beside_an_instance_without_label(
    parts, up, shown
):
    releases, it, prometheus, journal = parts
    prometheus.up = up
    for _ in range(3):
        await releases.track(it, Watch(), poll_interval=1)
    assert await shows(journal) == {"v1": shown}


async def test_a_slow_reading_that_a_later_one_overtook_changes_nothing(parts, tmp_path):
    releases, it, _, journal = parts
    slow_at_first = "v=$(cat current); if mkdir first 2>&-; then until [ -e go ]; do sleep 0.02; done; fi; echo $v"
    read = CommandAction(("sh", "-c", slow_at_first), 10.0, str(tmp_path))
    it = replace(it, release=CommandRelease(read, read))
    slow = asyncio.create_task(releases.look(it))
    async with asyncio.timeout(10):
        while not (tmp_path / "first").exists():  # noqa: ASYNC110  # a file is made by another process
            await asyncio.sleep(0.02)
    (tmp_path / "current").write_text("v2")
    assert (await releases.look(it)).version == "v2"
    (tmp_path / "go").touch()
    assert (await slow).version == "v2"
    assert (await journal.target_state(TARGET)).serving_version == "v2"
    assert await shows(journal) == {"v2": None}
