"""The lease in PostgreSQL beside the writes that it fences, and a term that ends by a refused write."""

import asyncio
import contextlib
import time

import pytest

from real.controller.journal_kit import Store
from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.journal.postgres.connections import LOST, _enter
from rearguard_controller.journal.postgres.store import PostgresJournal
from rearguard_controller.journal.store import Fence
from rearguard_controller.service.leadership import Leadership
from unit.controller.runtime_kit import runtime

LEASE = 15.0


@pytest.fixture
async def journals(postgres_server):
    """One journal, as two replicas have it."""
    url = await postgres_server.database()
    opened = [await PostgresJournal.open(url) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


def write(journal, fence, written):
    """A write behind the fence that lasts until it is let go."""
    entered = asyncio.Event()

    async def work(_connection):
        entered.set()
        await written.wait()

    return asyncio.create_task(journal._connections.change(work, fence)), entered


async def test_the_lease_is_renewed_at_once_while_writes_hold_every_connection(journals):
    first, _ = journals
    epoch, written = await first.take_lease("first", LEASE), asyncio.Event()
    writes = [write(first, Fence(epoch), written) for _ in range(8)]
    for _, entered in writes:
        await entered.wait()
    began = time.monotonic()
    assert await first.renew_lease(epoch, LEASE)
    assert time.monotonic() - began < 1
    written.set()
    await asyncio.gather(*(task for task, _ in writes))


async def test_a_lease_that_is_over_is_taken_only_after_the_writes_under_way_have_ended(journals):
    first, second = journals
    epoch, written = await first.take_lease("first", 0), asyncio.Event()
    task, entered = write(first, Fence(epoch), written)
    await entered.wait()
    taking = asyncio.create_task(second.take_lease("second", LEASE))
    done, _ = await asyncio.wait([taking], timeout=0.5)
    assert not done
    written.set()
    assert await taking == epoch + 1
    await task
    with pytest.raises(LeaseLostError):
        await write(first, Fence(epoch), written)[0]


async def test_a_holder_that_hangs_between_preparing_and_running_a_statement_does_not_keep_the_lease(journals):
    """The server's own limits do not reach such a session; a leader that is stopped there must still be followed."""
    first, second = journals
    epoch, woken, prepared = await first.take_lease("first", 0), asyncio.Event(), asyncio.Event()

    async def work(connection):
        await connection.prepare("select name from lease where epoch = $1")  # what the driver does before it runs one
        prepared.set()
        await woken.wait()
        await connection.execute("insert into target_state (target, body) values ('late', '{}')")

    hanging = asyncio.create_task(_hang(first, Fence(epoch), work))
    await prepared.wait()
    taken, deadline = None, time.monotonic() + 30
    while taken is None and time.monotonic() < deadline:
        with contextlib.suppress(JournalError):  # the lock is still held
            taken = await second.take_lease("second", LEASE)
    assert taken == epoch + 1
    woken.set()
    with pytest.raises(LOST):
        await hanging
    assert (await second.target_state("late")).looked_at is None


async def _hang(journal, fence, work):
    """A fenced transaction without the driver's own limit of time, as a process that is stopped has none."""
    async with journal._connections._connection() as connection:
        await connection.execute("begin")
        await _enter(connection, fence)
        await work(connection)
        await connection.execute("commit")


async def test_a_leader_that_learns_by_a_refused_write_that_another_leads_follows(postgres_server):
    store = Store(await postgres_server.database())
    journal, fence = await store.open(), Fence()
    leadership = Leadership(runtime(journal), fence, holder="first")
    refused, led = asyncio.Event(), []

    async def lead():
        led.append(fence.epoch)
        if len(led) == 1:
            await store.rows("update lease set until = 0 returning 1")
            assert await journal.take_lease("second", 0.5) == fence.epoch + 1
            async with asyncio.TaskGroup() as group:
                group.create_task(journal.fenced(fence).change_target("t", lambda state: state))
        refused.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(leadership.run(lead))
    try:
        async with asyncio.timeout(20):
            await refused.wait()
        assert led == [1, 3]  # and leads again once it may
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await journal.close()
