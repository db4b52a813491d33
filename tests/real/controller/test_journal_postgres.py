"""What only the journal in PostgreSQL promises: several processes, a server that stops, hangs or loses an answer."""

import asyncio
import contextlib
import os
import signal
import time
import uuid
from dataclasses import replace

import asyncpg
import pytest
import structlog.testing

from real.controller.journal_kit import Store, child, noted, opened, started
from rearguard_controller.errors import ConflictError, JournalError, NotFoundError
from rearguard_controller.journal import codec, migrations
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.journal.postgres.connections import SETTINGS
from rearguard_controller.journal.postgres.migration import LOCK, MIGRATOR, migrate
from rearguard_controller.rollback import apply
from unit.controller.factories import NOW, TARGET, alert, decision, serving

PATIENCE = 30.0  # seconds within which a journal must work again


@pytest.fixture
async def store(postgres_server):
    return Store(await postgres_server.database())


@pytest.fixture
async def other(store):
    """The same journal, as a second replica has it."""
    journal = await store.open()
    yield journal
    await journal.close()


async def until_it_works(work):
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(JournalError):
                return await work()
            await asyncio.sleep(0.1)


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # a list of the test that grows
            await asyncio.sleep(0.01)


# --- a server that goes away --------------------------------------------------------------------------------


async def test_a_server_stopped_hard_loses_no_acknowledged_alert_and_the_journal_works_again(
    journal, postgres_server
):
    acknowledged, failed, ended = [], [], asyncio.Event()

    async def sender(name: int):
        number = 0
        while not ended.is_set():
            number += 1
            try:
                await journal.accept([alert(number=f"{name}-{number}")], NOW)
                acknowledged.append(f"{name}-{number}")
            except JournalError as error:
                failed.append(error)
                await asyncio.sleep(0.02)

    senders = [asyncio.create_task(sender(name)) for name in range(16)]
    await until(lambda: len(acknowledged) >= 500)
    await asyncio.to_thread(postgres_server.stop_hard)
    held = len(acknowledged)
    with pytest.raises(JournalError) as caught:
        await journal.open_rollbacks()
    assert "PostgreSQL" in caught.value.hint
    await asyncio.to_thread(postgres_server.start)
    await until(lambda: len(acknowledged) >= held + 500)
    ended.set()
    await asyncio.gather(*senders)
    found = [entry.alert.labels["number"] for entry in await journal.unjudged(100_000)]
    assert failed
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) <= len(acknowledged) + len(failed)


async def test_a_server_stopped_hard_leaves_a_rollback_that_is_the_fold_of_what_was_acknowledged(
    journal, postgres_server
):
    await started(journal, "r1")
    acknowledged, ended = [], asyncio.Event()

    async def work():
        while not ended.is_set():
            now = await until_it_works(lambda: journal.rollback("r1"))
            kind = "step_interrupted" if now.steps[0].state == "started" else "step_started"
            with contextlib.suppress(JournalError):
                await journal.append("r1", noted(kind, 0))
                acknowledged.append(kind)

    worker, away = asyncio.create_task(work()), []
    for more in (100, 200):
        await until(lambda most=more: len(acknowledged) >= most)
        stopped = time.monotonic()
        await asyncio.to_thread(postgres_server.stop_hard)
        await asyncio.to_thread(postgres_server.start)
        away.append(time.monotonic() - stopped)
    await until(lambda: len(acknowledged) >= 300)
    ended.set()
    await worker
    events = await journal.events("r1")
    value = None
    for event in events:
        value = apply(value, event)
    assert value == await journal.rollback("r1")
    # Also an answer that a crash swallowed is known, if the server comes back within the 10 s for which it is asked.
    unknown = len(events) - 2 - len(acknowledged)
    assert 0 <= unknown <= len([seconds for seconds in away if seconds > 5])


COMMIT = b"Q\x00\x00\x00\x0bcommit\x00"  # as it is on the wire


@contextlib.asynccontextmanager
async def losing(server, *, forwarded: bool):
    """A way to the server that breaks at the first commit: after it was carried out, or before it is forwarded."""
    broken = asyncio.Event()
    tasks = set()

    async def serve(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        mine = asyncio.Event()  # it is this connection that breaks

        async def up():
            while data := await reader.read(65536):
                if COMMIT in data and not broken.is_set():
                    broken.set()
                    mine.set()
                    if not forwarded:
                        break
                back.write(data)

        async def down():
            while (data := await there.read(65536)) and not mine.is_set():
                writer.write(data)

        both = [asyncio.create_task(up()), asyncio.create_task(down())]
        tasks.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        writer.close()
        back.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], broken
    finally:
        for task in tasks:
            task.cancel()
        listening.close()


@pytest.mark.parametrize("forwarded", [True, False])
async def test_an_answer_lost_at_the_commit_is_found_out(store, postgres_server, forwarded):
    async with losing(postgres_server, forwarded=forwarded) as (port, broken):
        address = store.address.replace(f":{postgres_server.port}/", f":{port}/")
        direct = await store.open()
        await opened(direct, "r1")
        journal = await open_journal(address)
        append = journal.append("r1", noted("step_started", 0))
        if forwarded:
            assert (await append).steps[0].attempt == 1
        else:
            with pytest.raises(JournalError):
                await append
        assert broken.is_set()
        assert len(await direct.events("r1")) == (2 if forwarded else 1)
        await journal.accept([alert()], NOW)
        await journal.close()
        await direct.close()


async def test_a_server_that_hangs_is_an_error_in_bounded_time_and_passes(journal, postgres_server):
    await journal.accept([alert()], NOW)
    postgres_server.hold()
    try:
        began = time.monotonic()
        work = [
            journal.accept([alert()], NOW),
            journal.open_rollbacks(),
            journal.record(decision("d1")),
            journal.renew_lease(1, 15),
        ]
        results = await asyncio.gather(*work, return_exceptions=True)
        took = time.monotonic() - began
    finally:
        postgres_server.go_on()
    assert [type(result) for result in results] == [JournalError] * 4
    assert took < 25
    await until_it_works(lambda: journal.accept([alert(number="after")], NOW))


async def test_where_no_server_is_the_error_says_what_to_do_and_no_secret():
    with pytest.raises(JournalError) as caught:
        await open_journal("postgresql://somebody:secret@127.0.0.1:1/nowhere")
    assert "PostgreSQL runs" in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


async def test_a_newer_schema_is_refused_with_a_way_out(journal, store):
    await store.rows("update meta set value = '99' where key = 'schema_version'")
    with pytest.raises(JournalError, match="99") as caught:
        await store.open()
    assert "newer" in caught.value.hint


async def test_replicas_that_start_together_make_one_schema(store):
    journals = await asyncio.gather(*(store.open() for _ in range(5)))
    for number, journal in enumerate(journals):
        await journal.accept([alert(number=str(number))], NOW)
    assert len(await journals[0].unjudged(9)) == 5
    for journal in journals:
        await journal.close()


# --- several replicas ----------------------------------------------------------------------------------------


async def test_of_many_replicas_that_reach_for_the_lease_one_gets_it(journal, other):
    taken = await asyncio.gather(*(each.take_lease(f"h{n}", 15) for n in range(20) for each in (journal, other)))
    assert [epoch for epoch in taken if epoch is not None] == [1]


async def test_two_replicas_open_one_rollback_of_a_target_and_start_it_once(journal, other):
    results = await asyncio.gather(opened(journal, "r1"), opened(other, "r2"), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ConflictError", "Rollback"]
    [found] = await journal.open_rollbacks()
    results = await asyncio.gather(
        *(each.append(found.id, noted("step_started", 0)) for each in (journal, other)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["ConflictError", "Rollback"]
    assert len(await other.events(found.id)) == 2


async def test_changes_by_two_replicas_are_all_kept_also_those_of_a_record_that_was_not_there(journal, other):
    def one_more(release):
        return serving() if release is None else replace(release, last_seen=release.last_seen + 1)

    changes = [each.change_release(TARGET, "v2", one_more) for _ in range(30) for each in (journal, other)]
    await asyncio.gather(*changes)
    [release] = await journal.releases(TARGET)
    assert release.last_seen == serving().last_seen + 59


async def test_events_that_two_replicas_store_at_once_are_folded_one_after_the_other(journal, other, store):
    await started(journal, "r1")
    connection = await asyncpg.connect(store.address)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select from rollbacks where id = 'r1' for update")
        both = [
            asyncio.create_task(journal.append("r1", noted("step_done", 0))),
            asyncio.create_task(other.append("r1", noted("abort_asked"))),
        ]
        done, _ = await asyncio.wait(both, timeout=0.5)
        assert not done
        await transaction.rollback()
        await asyncio.gather(*both)
    finally:
        await connection.close()
    found = await journal.rollback("r1")
    assert (found.steps[0].state, found.stopping) == ("done", "aborted")
    assert len(await journal.events("r1")) == 4


async def test_a_stopped_process_inside_a_transaction_does_not_hold_up_the_next_leader(journal, store):
    await journal.take_lease("first", 0)
    stopped = await asyncpg.connect(store.address, server_settings=SETTINGS)
    try:
        await stopped.execute("begin")
        await stopped.execute("select epoch from lease for key share")  # and nothing more is heard of it
        began = time.monotonic()
        assert await until_it_works(lambda: journal.take_lease("second", 15)) == 2
        assert time.monotonic() - began < 10
    finally:
        stopped.terminate()


async def another_user(store):
    """A user of its own that may use the database without owning the server; the database's URL for it."""
    name, database = f"user_{uuid.uuid4().hex}", store.address.rpartition("/")[2]
    await store.rows(f"create role {name} login", f"alter database {database} owner to {name}")
    return store.address.replace("//rearguard@", f"//{name}@")


async def hanging(address, statement, **settings):
    """A session that was stopped in a transaction, between preparing a statement and running it."""
    connection = await asyncpg.connect(address, server_settings={**SETTINGS, **settings})
    await connection.execute("begin")
    await connection.execute(statement)
    await connection.prepare("select 1")
    return connection


async def test_without_the_right_to_end_other_sessions_a_replica_leads_all_the_same_and_says_so(store):
    address = await another_user(store)
    await store.rows("revoke execute on function pg_terminate_backend from public")
    journal = await open_journal(address)
    with structlog.testing.capture_logs() as said:
        assert await journal.take_lease("first", 15) == 1
        assert await journal.renew_lease(1, 15)
        assert await journal.take_lease("second", 15) is None
    assert [each["event"] for each in said] == ["hung_sessions_not_ended"]  # once a minute, not at each try
    assert "permission denied" in said[0]["error"]
    await journal.close()


async def test_a_session_of_another_user_that_hangs_does_not_keep_the_lease(journal, store):
    other = await another_user(store)
    await store.rows(f"grant all on all tables in schema public to {other.split('//')[1].split('@')[0]}")
    await journal.take_lease("first", 0)
    stopped = await hanging(other, "select epoch from lease for key share")
    try:
        count = "select count(*)::int from pg_stat_activity where usename like 'user%' and xact_start is not null"
        assert await store.rows(count) == [(1,)]
        await until_gone(store, count, lambda: journal._leading.end_hung(0.1))
        assert await journal.take_lease("second", 15) == 2
    finally:
        stopped.terminate()


async def until_gone(store, count, do):
    async with asyncio.timeout(PATIENCE):
        while await store.rows(count) != [(0,)]:
            await do()
            await asyncio.sleep(0.05)


async def test_a_transaction_whose_session_is_ended_is_an_error_that_stores_nothing_and_the_next_is_stored(
    journal, store
):
    async def work(connection):
        await connection.execute("insert into meta values ('mine', 'x')")
        await journal._leading.end_hung(0)
        await connection.execute("insert into meta values ('more', 'x')")

    async def later(connection):
        await connection.execute("insert into meta values ('later', 'x')")

    with pytest.raises(JournalError):
        await journal._connections.change(work)
    await journal._connections.change(later)
    assert await store.rows("select key from meta where value = 'x'") == [("later",)]


async def test_what_is_refused_in_a_transaction_is_rolled_back_without_a_complaint_of_the_driver(journal):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context["message"]))
    await opened(journal, "r1")
    with pytest.raises(ConflictError):  # by the tables
        await opened(journal, "r2")
    with pytest.raises(ConflictError):  # by the work itself
        await journal.append("r1", noted("step_done", 0))
    with pytest.raises(NotFoundError):
        await journal.append("r9", noted("step_done", 0))
    await journal.accept([alert()], NOW)
    assert complaints == []


# --- bringing the schema forward -----------------------------------------------------------------------------

MIGRATING = {"application_name": MIGRATOR}
LOCKED = f"select pg_advisory_xact_lock({LOCK})"


async def test_a_current_schema_is_opened_while_another_process_holds_the_migrations(journal, store):
    stopped = await hanging(store.address, LOCKED, **MIGRATING)
    try:
        async with asyncio.timeout(30):
            await (await store.open()).close()
    finally:
        stopped.terminate()


async def test_decisions_of_version_1_are_found_by_their_alert_and_damaged_ones_stay(store):
    insert = "insert into decisions (id, target, verdict, decided_at, body) values ($1, 'checkout', 'leave', 1, $2)"
    connection = await asyncpg.connect(store.address)
    try:
        await connection.execute("create table meta (key text primary key, value text not null)")
        await connection.execute("insert into meta (key, value) values ('schema_version', '1')")
        await connection.execute(dict(migrations.after("postgres", 0))[1])
        await connection.execute(insert, "d1", codec.dump(decision("d1", alert=alert("Slow"))))
        await connection.execute(insert, "d2", codec.dump(decision("d2", alert=None)))
        await connection.execute(insert, "d3", "{")
    finally:
        await connection.close()
    journal = await store.open()
    try:
        assert [each.id for each in (await journal.decisions(alert="Slow")).items] == ["d1"]
        assert [each.id for each in (await journal.decisions()).items] == ["d2", "d1"]
        assert await store.count("decisions") == 3
    finally:
        await journal.close()


async def test_a_process_that_hangs_while_it_migrates_is_ended_and_another_migrates(store):
    stopped = await hanging(store.address, LOCKED, **MIGRATING)
    connection = await asyncpg.connect(store.address, server_settings=MIGRATING)
    try:
        with structlog.testing.capture_logs() as said:
            await migrate(connection, wait=20, hangs=0.5)
        events = [each["event"] for each in said]
        assert events == ["waiting_for_another_process_to_migrate", "hung_migration_ended"]
        assert await store.count("lease") == 0
    finally:
        stopped.terminate()
        await connection.close()


async def test_a_process_that_migrates_for_too_long_is_waited_for_with_a_limit_and_not_ended(store):
    working = await asyncpg.connect(store.address, server_settings=MIGRATING)
    connection = await asyncpg.connect(store.address, server_settings=MIGRATING)
    try:
        await working.execute("begin")
        await working.execute(LOCKED)
        step = asyncio.create_task(working.fetchval("select 7 from pg_sleep(1.5)"))
        with pytest.raises(JournalError, match="schema forward") as caught:
            await migrate(connection, wait=0.6, hangs=0.3)
        assert "pg_stat_activity" in caught.value.hint
        assert await step == 7
        await working.execute("rollback")
        await migrate(connection, wait=0.5, hangs=0.3)
    finally:
        working.terminate()
        await connection.close()


HOLD_THE_LEASE = """
import asyncio, sys
from rearguard_controller.errors import LeaseLostError
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.journal.postgres.migration import LOCK, MIGRATOR, migrate
from rearguard_controller.journal.store import Fence
from real.controller.journal_kit import noted

async def main(address):
    journal = await open_journal(address)
    fence = Fence(await journal.take_lease("child", 2))
    lead = journal.fenced(fence)
    await lead.append("r1", noted("step_started", 0))
    print("epoch", fence.epoch, flush=True)
    while await journal.renew_lease(fence.epoch, 2):
        await asyncio.sleep(0.2)
    try:
        await lead.append("r1", noted("step_done", 0))
        print("wrote", flush=True)
    except LeaseLostError:
        print("lost", flush=True)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_when_the_leader_is_killed_or_stopped_another_leads_and_a_woken_one_changes_nothing(
    journal, store, blow
):
    await opened(journal, "r1")
    with child(HOLD_THE_LEASE, store.address) as leader:
        assert leader.stdout.readline() == "epoch 1\n"
        assert await journal.take_lease("us", 15) is None
        os.kill(leader.pid, blow)
        struck = time.monotonic()
        while (epoch := await journal.take_lease("us", 15)) is None:
            assert time.monotonic() - struck < 2 + 2
            await asyncio.sleep(0.05)
        assert epoch == 2
        await journal.append("r1", noted("step_interrupted", 0))
        before = await journal.rollback("r1"), await journal.events("r1")
        if blow is signal.SIGSTOP:
            os.kill(leader.pid, signal.SIGCONT)
            assert await asyncio.to_thread(leader.stdout.readline) == "lost\n"
        assert (await journal.rollback("r1"), await journal.events("r1")) == before
        assert await store.rows("select holder, epoch from lease") == [("us", 2)]
