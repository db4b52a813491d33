"""The heartbeat's age is the journal's: restarts, reloads and other replicas know it."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest

from real.controller.receivers import receiving
from real.controller.served import BASE, SENDER, alerts, serving
from rearguard_controller.adapters.notices.delivery import Notify
from rearguard_controller.config import NotifyEntry
from rearguard_controller.intake.heartbeat import Heartbeat
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import NoticeEvent
from unit.controller.factories import alert
from unit.controller.runtime_kit import runtime

WATCHDOG = alert("RearguardWatchdog")
DEADLINE = 10.0  # seconds within which what is polled for must be seen
OFTEN = 0.02  # seconds between two exchanges, where a test does not measure the pace


async def until(condition):
    """Poll a condition, plain or async, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while True:
        found = condition()
        if found is True or (found is not False and await found):
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def beating(journal, *, every=OFTEN, clock=time.time):
    """A heartbeat that exchanges with a journal."""
    heartbeat = Heartbeat(runtime(journal, clock=clock), every=every)
    running = asyncio.create_task(heartbeat.run())
    try:
        yield heartbeat
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Counting:
    """A journal that counts the heartbeats that are written, and how often it is asked for one."""

    def __init__(self, journal):
        self._journal, self.written, self.read = journal, 0, 0

    async def note_heartbeat(self, at):
        self.written += 1
        await self._journal.note_heartbeat(at)

    async def heartbeat_at(self):
        self.read += 1
        return await self._journal.heartbeat_at()


async def known(journal):
    return await journal.heartbeat_at() is not None


async def age_in(service):
    return (await service.get("/readyz", None))[1]["watchdog_age_s"]


async def test_the_last_heartbeat_is_remembered_and_no_other(journal, store):
    assert await journal.heartbeat_at() is None
    for moment in (1_795_000_000.25, 1_795_000_060.5):
        await journal.note_heartbeat(moment)
    assert await journal.heartbeat_at() == 1_795_000_060.5
    assert await store.rows("select value from meta where key = 'heartbeat_at'") == [("1795000060.5",)]


async def test_every_replica_knows_the_heartbeat_that_one_of_them_got(journal):
    async with beating(journal) as one, beating(journal) as other:
        assert (one.age(), other.age()) == (None, None)
        one.take([alert("Other"), WATCHDOG])
        await until(lambda: other.age() is not None)
        assert 0 <= other.age() < DEADLINE


async def test_an_age_that_is_known_grows_whatever_the_journals_clock_says(journal):
    """A moment in the future is an age of 0 once, and from then on grows like any other."""
    await journal.note_heartbeat(time.time() + 3600)
    async with beating(journal) as heartbeat:
        await until(lambda: heartbeat.age() is not None)
        first = heartbeat.age()
        assert 0 <= first < DEADLINE
        await until(lambda: heartbeat.age() >= first + 5 * OFTEN)


async def test_an_old_heartbeat_is_as_old_as_it_is_after_a_restart(journal):
    await journal.note_heartbeat(time.time() - 600)
    async with beating(journal) as heartbeat:
        await until(lambda: heartbeat.age() is not None)
        assert 600 <= heartbeat.age() < 600 + DEADLINE


@pytest.mark.parametrize("other", [alert("ReleaseErrorRate"), replace(WATCHDOG, firing=False)])
async def test_no_other_alert_and_no_resolved_one_is_a_heartbeat(journal, other):
    async with beating(journal) as heartbeat:
        heartbeat.take([other])
        assert heartbeat.age() is None
        heartbeat.take([other, WATCHDOG])
        assert heartbeat.age() is not None


async def test_a_replica_to_which_no_heartbeat_comes_asks_the_journal_now_and_then_only(journal):
    counting = Counting(journal)
    async with beating(counting, every=0.2):
        await until(lambda: counting.read == 1)
        began = time.monotonic()
        await until(lambda: counting.read >= 3)
        assert time.monotonic() - began >= 0.3


async def test_many_heartbeats_are_one_write(journal):
    counting = Counting(journal)
    async with beating(counting, every=60.0) as heartbeat:
        for _ in range(100):
            heartbeat.take([WATCHDOG])
            await asyncio.sleep(0)
        await until(lambda: counting.written > 0)
        for _ in range(100):
            heartbeat.take([WATCHDOG])
            await asyncio.sleep(0)
        assert counting.written == 1


async def test_a_journal_that_fails_costs_the_heartbeat_nothing_but_the_memory_of_others(tmp_path):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    async with beating(journal) as heartbeat:
        heartbeat.take([WATCHDOG])
        await until(lambda: known(journal))
        await journal.close()
        errors = heartbeat._telemetry.registry.get_sample_value
        heartbeat.take([WATCHDOG])
        await until(lambda: errors("rearguard_journal_errors_total") >= 2)
        assert 0 <= heartbeat.age() < DEADLINE


async def test_status_and_readyz_say_whether_a_heartbeat_ever_came_and_readyz_stays_200(tmp_path):
    async with serving(tmp_path) as service:

        async def said():
            _, status = await service.get(f"{BASE}/rollback/status")
            code, ready = await service.get("/readyz", None)
            return status["heartbeat"]["state"], ready["heartbeat"]["state"], code

        assert await said() == ("never", "never", 200)
        await service.controller.journal.note_heartbeat(time.time() - 600)
        service.controller._heartbeat._news.set()

        async def is_late():
            return await said() == ("late", "late", 200)

        await until(is_late)
        await service.post("/webhook/alertmanager", alerts("RearguardWatchdog"), token=SENDER)
        assert await said() == ("fresh", "fresh", 200)


async def test_people_are_told_once_when_the_heartbeat_is_lost_and_once_when_it_comes_again():
    now, counted = [1000.0], []
    async with receiving() as receiver:
        notices = Notify(lambda _service, result: counted.append(result))
        events = frozenset({NoticeEvent.HEARTBEAT_LOST, NoticeEvent.HEARTBEAT_BACK})
        notices.use([NotifyEntry(events, url=receiver.url)])
        heartbeat = Heartbeat(runtime(None, notices=notices, steady=lambda: now[0], clock=lambda: 9.0), lost_after=1)
        watching = asyncio.create_task(heartbeat.watch())
        try:
            now[0] += 5000  # none ever came: there is nothing to lose
            await asyncio.sleep(0.5)
            assert receiver.posted == []
            heartbeat.take([WATCHDOG])
            now[0] += 2
            await receiver.got(1)
            heartbeat.take([WATCHDOG])
            await receiver.got(2)
            await asyncio.sleep(0.5)
            assert receiver.events == ["heartbeat_lost", "heartbeat_back"]
            assert [body["at"][-7:] for body in receiver.posted] == ["07.000Z", "09.000Z"]
            assert "its deliveries do not reach the controller" in receiver.posted[0]["text"]
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await notices.close(grace=0)


async def test_a_reload_and_a_restart_forget_no_heartbeat(tmp_path):
    async with serving(tmp_path) as service:
        assert await age_in(service) is None
        status, _ = await service.post("/webhook/alertmanager", alerts("RearguardWatchdog"), token=SENDER)
        assert status == 202
        assert await age_in(service) < DEADLINE
        assert (await service.post("/-/reload", None))[0] == 200
        assert await age_in(service) is not None
        await until(lambda: known(service.controller.journal))
    async with serving(tmp_path) as service:

        async def knows():
            return await age_in(service) is not None

        await until(knows)
