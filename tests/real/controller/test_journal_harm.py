"""A journal whose files are deleted, moved, replaced, cut or overwritten while it is open: nothing is lost.""" ""

import asyncio
import dataclasses
import os
import shutil
import sqlite3
import time
from pathlib import Path

import aiohttp
import pytest

from real.controller.hosted import hosted
from real.controller.journal_kit import beside
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite.log_marks import LogMarks
from rearguard_controller.journal.sqlite.store import SqliteJournal
from unit.controller.factories import NOW, alert

FILES = ("", "-wal", "-shm")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path):
    opened = SqliteJournal.open(path)
    for number in range(3):
        await opened.accept([alert(number=str(number))], NOW)
    yield opened
    await opened.close()


def delete_all(path):
    for end in FILES:
        path.with_name(path.name + end).unlink()


def replace(path):
    other = path.with_name("other.db")
    with beside(other) as connection:
        connection.execute("create table x (y)")
    other.replace(path)


def wal_of_another(path):
    path.with_name("journal.db-wal").unlink()
    path.with_name("journal.db-wal").write_bytes(b"of somebody else")


def junk_in_the_log(path):
    with path.with_name("journal.db-wal").open("r+b") as file:
        file.write(os.urandom(30_000))


GONE = {  # what is done to the files: what is said of it
    "all deleted": (delete_all, "was deleted"),
    "file deleted": (lambda path: path.unlink(), "was deleted"),
    "replaced": (replace, "was replaced"),
    "cut to nothing": (lambda path: os.truncate(path, 0), "was cut"),
    "log overwritten": (junk_in_the_log, "was damaged from outside"),
}
LOG_GONE = {
    "log and index deleted": lambda path: [path.with_name(f"journal.db{end}").unlink() for end in FILES[1:]],
    "log deleted": lambda path: path.with_name("journal.db-wal").unlink(),
    "index deleted": lambda path: path.with_name("journal.db-shm").unlink(),
    "log replaced": wal_of_another,
}


async def until(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def numbers(path) -> set[str]:
    journal = SqliteJournal.open(path)

    async def read() -> set[str]:
        try:
            return {entry.alert.labels["number"] for entry in await journal.unjudged(1000)}
        finally:
            await journal.close()

    return asyncio.run(read())


def saved(path):
    return sorted(path.parent.glob("journal.db.rescued-*"))


@pytest.mark.parametrize("kind", [*GONE, *LOG_GONE])
async def test_the_first_alert_after_a_harm_is_refused_with_what_to_do(journal, path, kind):
    (GONE[kind][0] if kind in GONE else LOG_GONE[kind])(path)
    with pytest.raises(
        JournalError, match=GONE[kind][1] if kind in GONE else "while the controller uses it"
    ) as caught:
        await journal.accept([alert(number="later")], NOW)
    assert caught.value.hint
    with pytest.raises(JournalError):  # also what is urgent
        await journal.prove_lead()


@pytest.mark.parametrize("kind", [*GONE, *LOG_GONE])
async def test_a_harm_is_noticed_without_any_write(journal, path, kind):
    assert journal.fault() is None
    (GONE[kind][0] if kind in GONE else LOG_GONE[kind])(path)
    await until(lambda: journal.fault() is not None)


@pytest.mark.parametrize("statement", ["delete from inbox", "drop table decisions", "delete from inbox where id > 2"])
async def test_a_copy_that_lacks_what_another_process_deleted_is_not_said_to_hold_all(path, statement):
    journal = SqliteJournal.open(path)
    for number in range(3):
        await journal.accept([alert(number=str(number))], NOW)
    with beside(path) as connection:
        connection.execute(statement)
    await until(lambda: saved(path))
    await until(lambda: "restore a backup" in journal.fault().hint)
    assert "was damaged from outside" in journal.fault().message
    assert f"What could still be read is in {saved(path)[0]}" in journal.fault().hint
    await journal.close()
    with pytest.raises(JournalError) as caught:
        SqliteJournal.open(path)
    assert f"restore it from a backup. What could still be read is in {saved(path)[0]}" in caught.value.hint


async def test_a_log_that_is_overwritten_in_the_middle_of_a_commit_is_noticed_too(journal, path):
    """What the files are like after a commit is taken for the controller's own work."""
    await journal.change_target(
        "checkout", lambda state: junk_in_the_log(path) or dataclasses.replace(state, armed=False)
    )
    await until(lambda: journal.fault() is not None)
    with pytest.raises(JournalError, match="was damaged from outside"):
        await journal.accept([alert(number="later")], NOW)


@pytest.fixture
def marks(path):
    """Of the journal that is made after them, so that they are closed after it is."""
    marks = LogMarks(f"{path}-wal", f"{path}-shm")
    yield marks
    marks.close()


async def test_a_log_that_nobody_else_wrote_to_is_whole_at_any_length_and_after_it_began_anew(marks, journal, path):
    for number in range(60):
        await journal.accept([alert(number=f"more-{number}", pad="x" * 9000)], NOW)
        assert marks.are_whole()
    with beside(path) as connection:
        connection.execute("pragma wal_checkpoint(restart)")
    await journal.accept([alert(number="last")], NOW)
    assert marks.are_whole()
    page = int.from_bytes((await asyncio.to_thread(path.read_bytes))[16:18], "big")
    with path.with_name("journal.db-wal").open("r+b") as log:
        log.seek(32 + 24 + page + 8)  # the marks of its second frame
        log.write(b"elsewise")
    assert not marks.are_whole()


async def test_looking_at_the_log_lets_go_of_no_lock_of_sqlite(journal, path):
    """A process that closes a file lets go of its locks on it, and another one would then begin the index anew."""
    await asyncio.sleep(1.1)  # a look at the log is due
    await journal.accept([alert(number="later")], NOW)
    locks = await asyncio.to_thread(Path("/proc/locks").read_text)
    inode = path.with_name("journal.db-shm").stat().st_ino
    assert any(line.split()[5].endswith(f":{inode}") for line in locks.splitlines())


async def test_a_log_whose_head_is_overwritten_in_a_commit_is_moved_into_the_file_before_a_crash_loses_it(
    journal, path, tmp_path
):
    log = path.with_name("journal.db-wal")

    def without_head(state):
        with log.open("r+b") as file:
            file.write(bytes(32))
        return dataclasses.replace(state, armed=False)

    await journal.change_target("checkout", without_head)
    await until(lambda: log.stat().st_size == 0)
    await journal.accept([alert(number="later")], NOW)
    (tmp_path / "crashed").mkdir()
    for end in FILES[:2]:
        shutil.copy(path.with_name(path.name + end), tmp_path / "crashed")
    found = await asyncio.to_thread(numbers, tmp_path / "crashed" / "journal.db")
    assert found == {"0", "1", "2", "later"}


@pytest.mark.parametrize("kind", [*GONE])
def test_what_was_stored_is_saved_beside_and_the_restart_says_how_to_go_on(path, kind):
    async def use() -> None:
        journal = SqliteJournal.open(path)
        for number in range(3):
            await journal.accept([alert(number=str(number))], NOW)
        GONE[kind][0](path)
        await until(lambda: journal.fault() is not None and ".rescued-" in journal.fault().hint)
        await journal.close()

    asyncio.run(use())
    [copy] = saved(path)
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(JournalError) as caught:
        SqliteJournal.open(path)
    assert str(copy) in caught.value.hint
    copy.rename(path)
    assert numbers(path) == {"0", "1", "2"}


@pytest.mark.parametrize("kind", [*LOG_GONE])
def test_when_only_the_log_is_gone_a_restart_finds_everything(path, kind):
    async def use() -> None:
        journal = SqliteJournal.open(path)
        for number in range(3):
            await journal.accept([alert(number=str(number))], NOW)
        LOG_GONE[kind](path)
        await until(lambda: journal.fault() is not None and "restart" in journal.fault().hint)
        await until(lambda: "All that was stored" in journal.fault().hint)
        await journal.close()

    asyncio.run(use())
    assert numbers(path) == {"0", "1", "2"}
    assert not saved(path)


async def test_a_journal_that_was_moved_away_is_used_again_when_it_is_back(journal, path, tmp_path):
    (tmp_path / "away").mkdir()
    for end in FILES:
        path.with_name(path.name + end).rename(tmp_path / "away" / (path.name + end))
    with pytest.raises(JournalError, match=str(tmp_path / "away")):
        await journal.accept([alert(number="later")], NOW)
    await until(lambda: saved(path))
    for end in FILES:
        (tmp_path / "away" / (path.name + end)).rename(path.with_name(path.name + end))
    await until(lambda: journal.fault() is None)
    await journal.accept([alert(number="back")], NOW)
    assert [entry.alert.labels["number"] for entry in await journal.unjudged(9)] == ["0", "1", "2", "back"]
    assert not saved(path)


async def test_a_folder_that_was_moved_away_stops_the_journal_until_it_is_back(tmp_path):
    (tmp_path / "state").mkdir()
    journal = SqliteJournal.open(tmp_path / "state" / "journal.db")
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="moved away"):
        await journal.accept([alert()], NOW)
    (tmp_path / "elsewhere").rename(tmp_path / "state")
    await until(lambda: journal.fault() is None)
    await journal.accept([alert()], NOW)
    await journal.close()


async def test_another_process_that_writes_properly_does_no_harm(journal, path):
    with beside(path) as connection:
        connection.execute("insert into meta (key, value) values ('theirs', '1')")
        connection.execute("pragma wal_checkpoint(truncate)")
    await journal.accept([alert(number="later")], NOW)
    await journal.accept([alert(number="last")], NOW)
    assert journal.fault() is None
    assert len(await journal.unjudged(9)) == 5


async def test_an_older_copy_that_is_written_over_the_journal_is_noticed(journal, path):
    with beside(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    await journal.accept([alert(number="mid")], NOW)
    shutil.copy(path, path.with_name("copy"))
    for number in range(200):
        await journal.accept([alert(number=str(number), padding="x" * 3000)], NOW)
    with beside(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    await journal.accept([alert(number="kept")], NOW)
    shutil.copy(path.with_name("copy"), path)
    with pytest.raises(JournalError):
        await journal.accept([alert(number="later")], NOW)


def test_another_database_in_the_journals_place_is_refused_and_left_as_it_is(path):
    with beside(path) as connection:
        connection.execute("create table x (y)")
    with pytest.raises(JournalError, match="something else"):
        SqliteJournal.open(path)
    with beside(path) as connection:
        assert connection.execute("select name from sqlite_schema").fetchall() == [("x",)]


@pytest.mark.parametrize("how", ["deleted", "emptied", "another"])
def test_a_journal_that_vanished_while_nothing_ran_is_not_replaced_by_an_empty_one(path, tmp_path, how):
    asyncio.run(SqliteJournal.open(path).close())
    path.unlink()
    if how == "emptied":
        path.touch(0o600)
    if how == "another":
        asyncio.run(SqliteJournal.open(tmp_path / "another.db").close())
        (tmp_path / "another.db").rename(path)
    with pytest.raises(JournalError) as caught:
        SqliteJournal.open(path)
    assert "journal.db.lock" in caught.value.hint
    (tmp_path / "journal.db.lock").unlink()  # as it says
    asyncio.run(SqliteJournal.open(path).close())


def test_a_backup_of_the_journal_may_be_put_in_its_place(path):
    async def use() -> None:
        journal = SqliteJournal.open(path)
        await journal.accept([alert(number="0")], NOW)
        with beside(path) as connection, sqlite3.connect(path.with_name("backup")) as target:
            connection.backup(target)
        await journal.accept([alert(number="1")], NOW)
        await journal.close()

    asyncio.run(use())
    path.with_name("backup").replace(path)
    assert numbers(path) == {"0"}


async def test_a_controller_whose_journal_is_gone_acknowledges_nothing_and_says_so_to_its_alert(tmp_path):
    body = {"alerts": [{"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-01-01T00:00:00Z"}]}
    async with hosted(tmp_path) as (_, port), aiohttp.ClientSession(trust_env=False) as session:
        url = f"http://127.0.0.1:{port}"

        async def ask(method, path, name="read-1", **more):
            headers = {"Authorization": f"Bearer {name}"}
            async with session.request(method, url + path, headers=headers, **more) as answer:
                return answer.status, await answer.text()

        async def errors():
            lines = (await ask("GET", "/metrics"))[1].splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith("rearguard_journal_errors_total"))

        assert (await ask("POST", "/webhook/alertmanager", "send-1", json=body))[0] == 202
        before = await errors()
        delete_all(tmp_path / "journal.db")
        status, said = await ask("POST", "/webhook/alertmanager", "send-1", json=body)
        assert (status, "was deleted" in said) == (503, True)
        assert (await ask("GET", "/readyz"))[0] == 503
        assert await errors() > before  # RearguardJournalErrors fires by it
