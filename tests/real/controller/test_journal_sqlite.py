"""What only the journal in a file promises: written through, one process, full disks, and the way from version 1."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from real.controller.journal_kit import beside, child, closed, noted, opened, said
from rearguard_controller.errors import ConflictError, JournalError
from rearguard_controller.journal import codec
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import Outcome, StepKind
from rearguard_controller.rollback import Event, EventKind, RunStep, apply, next_move
from unit.controller.factories import NOW, TARGET, alert, decision, rollback

VERSION_1 = Path(__file__).parents[3] / "controller/rearguard_controller/journal/schema/sqlite/0001.sql"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path):
    opened = SqliteJournal.open(path)
    yield opened
    await opened.close()


def count(path, table: str) -> int:
    with beside(path) as connection:
        return connection.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608  # names of this test


async def test_the_file_is_written_through_to_the_disk(journal):
    pragmas = [
        journal._writer._connection.execute(f"pragma {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode")
    ]
    assert pragmas == [2, "wal"]  # FULL


async def test_many_requests_share_few_commits(journal, path):
    inserts = []  # each is a transaction, or part of one
    journal._writer._connection.set_trace_callback(lambda sql: inserts.append(sql) if "insert" in sql else None)
    await asyncio.gather(*(journal.accept([alert(number=str(number))], NOW) for number in range(500)))
    assert count(path, "inbox") == 500
    assert 1 <= len(inserts) <= 50


async def test_a_fault_of_the_database_fails_the_whole_commit_and_the_next_one_works(journal, path):
    fault = journal._writer.do(lambda connection: connection.execute("select * from nowhere"))
    results = await asyncio.gather(journal.accept([alert()], NOW), fault, return_exceptions=True)
    stored = count(path, "inbox")
    assert isinstance(results[1], JournalError)
    assert (results[0] is None) == (stored == 1)  # one commit with the fault, or one of its own: never a false yes
    await journal.accept([alert()], NOW)
    assert count(path, "inbox") == stored + 1


# --- processes, crashes, disks --------------------------------------------------------------------------------

OPEN = """
import asyncio, os, sys, time
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.journal.store import Fence
from real.controller.journal_kit import noted, opened
from unit.controller.factories import NOW, alert, decision

async def main(path):
    try:
        journal = SqliteJournal.open(path)
    except JournalError as error:
        print("refused:", error.message, error.hint, flush=True)
        return
    print("opened", flush=True)
"""
WRITE_FOR_EVER = (
    OPEN
    + """
    number = 0
    while True:
        some = range(number, number + 10)
        await asyncio.gather(*(journal.accept([alert(number=str(each))], NOW) for each in some))
        number += 10
        print(number, flush=True)

asyncio.run(main(sys.argv[1]))
"""
)
FILL_THE_DISK = (
    OPEN
    + """
    import resource
    held, refused = 0, 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    for number in range(400):
        try:
            await journal.accept([alert(number=str(number), padding="x" * 2000)], NOW)
            held += 1
        except JournalError as error:
            assert error.hint
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    deadline = time.monotonic() + 30
    while True:
        try:
            await journal.accept([alert(number="last")], NOW)
            break
        except JournalError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    waiting = await journal.unjudged(1000)
    assert waiting[-1].alert.labels["number"] == "last"
    print("held", held, "refused", refused, "found", len(waiting) - 1, flush=True)
    await journal.close()

asyncio.run(main(sys.argv[1]))
"""
)
FILL_A_REAL_DISK = (
    OPEN
    + """
    folder = os.path.dirname(path)
    with open(folder + "/other", "wb") as other:
        other.write(b"x" * 10_000_000)
    await opened(journal, "r1")
    await journal.append("r1", noted("step_started", 0))
    held = 0
    try:
        while True:
            await journal.accept([alert(padding="x" * 20_000)], NOW)
            held += 1
    except JournalError as error:
        assert "space" in error.hint, error
    assert held > 20
    for work in (journal.accept([alert()], NOW), journal.record(decision("d9"))):
        try:
            await work
            raise AssertionError("new work was taken")
        except JournalError as error:
            assert "full" in error.message, error
    fence = Fence(await journal.take_lease("me", 15))
    await journal.fenced(fence).prove_lead()  # what a step asks for when its intent took long
    for number in range(20):
        await journal.append("r1", noted("step_interrupted", 0))
        await journal.append("r1", noted("step_started", 0))
    await journal.append("r1", noted("step_done", 0))
    after = await journal.append("r1", noted("closed", outcome="recovered"))
    assert (await journal.rollback("r1")) == after
    await journal.close()
    journal = SqliteJournal.open(path)  # and so does one that starts on a full disk
    assert (await journal.rollback("r1")).outcome == "recovered"
    assert len(await journal.unjudged(10_000)) == held
    os.unlink(folder + "/other")
    deadline = time.monotonic() + 30
    while True:
        try:
            await opened(journal, "r2")
            break
        except JournalError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    assert os.path.getsize(path + ".reserve") >= 4 * 1024 * 1024
    assert os.stat(path + ".reserve").st_blocks * 512 >= 4 * 1024 * 1024
    await journal.close()
    print("done", flush=True)

asyncio.run(main(sys.argv[1]))
"""
)
JUST_OPEN = OPEN + "    await journal.close()\n\nasyncio.run(main(sys.argv[1]))\n"


async def test_a_second_process_is_refused_until_the_first_has_closed(path):
    journal = SqliteJournal.open(path)
    try:
        refused = said(JUST_OPEN, path)
        assert refused.startswith("refused: Another controller uses the journal")
        assert "PostgreSQL" in refused
    finally:
        await journal.close()
    assert said(JUST_OPEN, path) == "opened\n"


def test_a_newer_schema_is_refused_with_a_way_out_and_left_as_it_is(path):
    with beside(path) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(JournalError, match="99") as caught:
        SqliteJournal.open(path)
    assert "newer" in caught.value.hint
    with beside(path) as connection:
        assert connection.execute("select count(*) from sqlite_schema").fetchone() == (0,)


def test_what_is_no_journal_and_where_none_can_be_is_refused_and_frees_its_lock(path, tmp_path):
    path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(JournalError):
        SqliteJournal.open(path)
    path.unlink()
    asyncio.run(SqliteJournal.open(path).close())
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal.open(tmp_path / "nowhere" / "journal.db")


@pytest.mark.parametrize("rounds", [3, 25])
async def test_kill_9_loses_no_acknowledged_alert(path, rounds):
    with child(WRITE_FOR_EVER, path) as process:
        acknowledged = 0
        assert process.stdout.readline() == "opened\n"
        for _ in range(rounds):
            acknowledged = int(process.stdout.readline())
        os.killpg(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    acknowledged = max([acknowledged, *(int(word) for word in rest[-1:])])
    journal = SqliteJournal.open(path)
    try:
        numbers = [int(entry.alert.labels["number"]) for entry in await journal.unjudged(1_000_000)]
    finally:
        await journal.close()
    assert len(numbers) == len(set(numbers))
    assert set(range(acknowledged)) <= set(numbers)
    assert max(numbers) < acknowledged + 10  # and nothing that was not asked for


def test_a_full_disk_is_an_error_that_passes_and_nothing_acknowledged_is_lost(path):
    words = said(FILL_THE_DISK, path).splitlines()[-1].split()  # after what was logged
    held, refused, found = (int(words[place]) for place in (1, 3, 5))
    assert held > 0
    assert refused > 0
    assert held + refused == 400
    assert found == held


def test_open_rollbacks_finish_on_a_full_disk_and_new_work_waits_for_room(tmp_path):
    """A small disk of its own, in a mount that only the child sees."""
    own = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
    mount = ("sh", "-c", 'mount -t tmpfs -o size=20m tmpfs "$1" && shift && exec "$@"', "sh", str(tmp_path))
    assert said(FILL_A_REAL_DISK, tmp_path / "journal.db", before=(*own, *mount)).splitlines()[-1] == "done"


# --- from version 1 ------------------------------------------------------------------------------------------


def written_by_version_1(path, *events: Event) -> None:
    """A journal as the first version wrote it, with one rollback in the middle and one that is closed."""
    middle = rollback("r1", decision_id="d1")
    first = Event(EventKind.OPENED, NOW, opened=middle)
    for event in events:
        middle = apply(middle, event)
    with beside(path) as connection:
        connection.executescript(VERSION_1.read_text() + "; pragma user_version = 1;")
        connection.execute(
            "insert into lease (name, holder, epoch, taken_at) values ('controller', 'old', 7, ?)", (NOW,)
        )
        connection.execute("insert into inbox (received_at, body) values (?, ?)", (NOW, codec.dump(alert())))
        connection.execute(
            "insert into decisions (id, target, verdict, decided_at, body) values ('d1', ?, 'roll_back', ?, ?)",
            (TARGET, NOW, codec.dump(decision("d1", rollback_id="r1"))),
        )
        row = (
            'insert into rollbacks (id, target, "trigger", from_version, phase, roll_back_started_at, body)'
            " values (?, ?, 'alert', ?, ?, ?, ?)"
        )
        connection.execute(row, ("r0", TARGET, "v0", "closed", NOW - 9, "damaged"))
        step = middle.step_of(StepKind.ROLL_BACK)
        connection.execute(row, ("r1", TARGET, "v2", middle.phase, step.started_at, codec.dump(middle)))
        for n, event in enumerate([first, *events]):
            connection.execute(
                "insert into rollback_events (rollback_id, n, at, kind, epoch, body) values ('r1', ?, ?, ?, 7, ?)",
                (n, event.at, event.kind, codec.dump(event)),
            )


async def test_a_rollback_begun_by_version_1_goes_on_after_the_migration(path):
    plan = rollback("r1").steps
    place = next(step.seq for step in plan if step.kind is StepKind.ROLL_BACK)
    events = [noted(kind, seq) for seq in range(place) for kind in ("step_started", "step_done")]
    written_by_version_1(path, *events, noted("step_started", place))
    journal = SqliteJournal.open(path)
    try:
        [found] = await journal.open_rollbacks()
        assert found.steps[place].state == "started"
        assert await journal.handled(TARGET, "v2") == "r1"
        assert await journal.handled(TARGET, "v0") == "r0"
        assert await journal.take_lease("new", 15) == 8
        found = await journal.append("r1", noted("step_interrupted", place))
        move = next_move(found, NOW + 1)
        assert isinstance(move, RunStep)
        assert (move.step.seq, move.look_first) == (place, True)
        await journal.append("r1", noted("step_started", place))
        await journal.append("r1", noted("step_done", place))
        assert (await closed(journal, "r1", "recovered")).outcome is Outcome.RECOVERED
        assert len(await journal.events("r1")) == len(events) + 6
        await opened(journal, "r2")
        with pytest.raises(ConflictError):
            await journal.append("r2", noted("step_started", 0))
        assert [entry.alert for entry in await journal.unjudged(9)] == [alert()]
        assert (await journal.decisions(alert=alert().name)).items[-1].id == "d1"
    finally:
        await journal.close()


def test_a_migration_that_fails_leaves_the_journal_as_it_was(path):
    written_by_version_1(path)
    with beside(path) as connection:
        connection.execute("create table handled (other text)")
    with pytest.raises(JournalError):
        SqliteJournal.open(path)
    with beside(path) as connection:
        assert connection.execute("pragma user_version").fetchone() == (1,)
        connection.execute("drop table handled")
    asyncio.run(SqliteJournal.open(path).close())
