"""A target to which nothing happens costs neither a command nor a write, and every sign of a change is followed."""

import asyncio
import sqlite3
import time
from dataclasses import replace

import pytest

from real.controller.hosted import hosted
from real.prometheus import page, running

DEADLINE = 90.0
DAY = 86_400.0
SETTINGS = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: shop, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
TARGET = """
  - name: {name}
    match: {{service_name: {name}, deployment_environment_name: production}}
    policy: standard
    release: {{command: {{current: [sh, -c, "{current}"], rollback: [./release, "{{to_version}}"]}}}}
"""
INFO = 'target_info{{service_name="calm",service_version="{}",deployment_environment_name="production"}} 1\n'


@pytest.fixture
def shop(tmp_path):
    """The address of a Prometheus, and what its one service shows."""
    shown, folder = bytearray(INFO.format("v2").encode()), tmp_path / "prometheus"
    folder.mkdir()
    with page(shown) as port:
        (folder / "prometheus.yml").write_text(SETTINGS.format(port=port))
        with running(folder) as address:
            yield address, shown


class Fleet:
    """A controller that leads, and one of its targets that is read by a command which counts its runs."""

    def __init__(self, folder, controller):
        self.folder, self.controller = folder, controller
        self.watcher, self.journal = controller.parts.watcher, controller.journal

    async def polled(self):
        await self.watcher.poll(self.controller.parts.intake)
        await self.watcher.each.ended()

    async def until(self, holds):
        async with asyncio.timeout(DEADLINE):
            while not await holds():
                await self.polled()
                await asyncio.sleep(0.2)

    def runs(self):
        return len((self.folder / "runs").read_text().split())

    def record(self):
        with sqlite3.connect(self.folder / "journal.db") as opened:
            return opened.execute("select body from target_state where target = 'calm'").fetchone()[0]

    async def state(self):
        return await self.journal.target_state("calm")

    async def release(self):
        return {each.version: each for each in await self.journal.releases("calm")}.get("v2")

    async def grown_old(self):
        """The target has served a trusted version for a day, and nothing happens to it."""

        async def is_learned():
            known = await self.release()
            return known is not None and known.service_version == "v2"

        await self.until(is_learned)
        old = time.time() - DAY
        await self.journal.change_release("calm", "v2", lambda it: replace(it, known_good_at=old, first_seen=old))
        await self.journal.change_target("calm", lambda it: replace(it, serving_since=old, adopting=False))
        await self.polled()
        await self.polled()


CALM = TARGET.format(name="calm", current="echo x >> runs; cat current")


async def test_what_happens_to_nobody_is_neither_run_nor_written_and_stays_known(tmp_path, shop):
    async with hosted(tmp_path, CALM, prometheus=shop[0]) as (controller, _):
        it = Fleet(tmp_path, controller)
        await it.grown_old()
        runs, record, before = it.runs(), it.record(), await it.state()

        async def is_seen_later():  # than the record says, by the note; a scrape may be 15 s old
            return (await it.state()).clean_checked_at > before.clean_checked_at

        await it.until(is_seen_later)
        assert (it.runs(), it.record()) == (runs, record)
        after = await it.state()
        assert replace(after, looked_at=None, clean_checked_at=None, alerts=None) == replace(
            before, looked_at=None, clean_checked_at=None, alerts=None
        )
    async with hosted(tmp_path, CALM, prometheus=shop[0]) as (controller, _):
        (tmp_path / "current").write_text("v2\n")
        assert (await Fleet(tmp_path, controller).state()).clean_checked_at >= after.clean_checked_at


async def test_a_young_target_is_not_written_at_every_poll_and_what_was_seen_of_it_outlives_a_restart(tmp_path, shop):
    """Four polls a minute of a hundred young targets were 4.6 MB of journal a minute."""
    async with hosted(tmp_path, CALM, prometheus=shop[0]) as (controller, _):
        it = Fleet(tmp_path, controller)
        await it.grown_old()
        await it.journal.change_target(
            "calm", lambda known: replace(known, serving_since=time.time(), is_release=True)
        )
        await it.polled()
        await it.polled()
        record, runs, began = it.record(), it.runs(), await it.state()
        for _ in range(5):
            await it.polled()
        assert it.record() == record
        assert it.runs() >= runs + 5, "it was looked at closely all the same"
        seen = await it.state()
        assert seen.clean_checked_at > began.clean_checked_at
        assert seen.looked_at > began.looked_at
        at = time.time()
        await it.polled()
        (tmp_path / "current").write_text("v3\n")
        await it.polled()
        after = await it.state()
        assert after.serving_version == "v3"
        assert after.changed_after >= at, "the poll right before saw the version before"
        await it.polled()
        seen = await it.state()
    async with hosted(tmp_path, CALM, prometheus=shop[0]) as (controller, _):
        kept = await Fleet(tmp_path, controller).state()
        assert kept.clean_checked_at >= seen.clean_checked_at
        assert kept.looked_at >= seen.looked_at


async def scraped(it, shown):
    """Prometheus shows another version."""
    shown[:] = INFO.format("v3").encode()


async def announced(it, shown):
    """Whoever deploys says so, to any replica."""
    await it.journal.change_target("calm", lambda known: replace(known, deploy_started_at=time.time()))


async def reloaded(it, shown):
    """The target is read in another way."""
    file = it.folder / "rearguard.yaml"
    file.write_text(file.read_text().replace("echo x >> runs;", "echo y >> runs;"))
    await it.controller.reload()
    it.watcher = it.controller.parts.watcher


@pytest.mark.parametrize("sign", [scraped, announced, reloaded])
async def test_a_sign_of_a_change_has_the_version_read(tmp_path, shop, sign):
    async with hosted(tmp_path, CALM, prometheus=shop[0]) as (controller, _):
        it = Fleet(tmp_path, controller)
        await it.grown_old()
        (tmp_path / "current").write_text("v3\n")
        await it.polled()
        assert (await it.state()).serving_version == "v2"  # nothing has told of it
        await sign(it, shop[1])

        async def is_read():
            return (await it.state()).serving_version == "v3"

        await it.until(is_read)
        state = await it.state()
        assert (state.is_release, state.previous_version) == (True, "v2")
        assert 0 < state.serving_since - state.changed_after < DEADLINE  # it was seen to serve until just before


async def test_a_reload_that_changes_nothing_of_a_target_does_not_read_it_again(tmp_path, shop):
    async with hosted(tmp_path, CALM, prometheus=shop[0]) as (controller, _):
        it = Fleet(tmp_path, controller)
        await it.grown_old()
        runs, record = it.runs(), it.record()
        await controller.reload()
        it.watcher = controller.parts.watcher
        for _ in range(3):
            await it.polled()
        assert (it.runs(), it.record()) == (runs, record)


async def test_at_most_thirty_two_commands_read_versions_at_a_time(tmp_path, shop):
    current = "echo + >> beside; sleep 0.5; echo - >> beside; cat current"
    text = "".join(TARGET.format(name=f"s{number}", current=current) for number in range(70))
    async with hosted(tmp_path, text, prometheus=shop[0]) as (controller, _):
        it = Fleet(tmp_path, controller)

        async def leads():
            return (await it.journal.target_state("s69")).serving_version is not None

        await it.until(leads)
    beside, most = 0, 0
    for sign in (tmp_path / "beside").read_text().split():
        beside += 1 if sign == "+" else -1
        most = max(most, beside)
    assert 8 <= most <= 32
