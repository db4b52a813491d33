"""One journal has one leader, whatever path leads to it, and nobody else can write to its files."""

import asyncio
import os
import socket
import stat

import pytest

from real.controller.journal_kit import said
from real.controller.test_journal_sqlite import JUST_OPEN
from rearguard_controller.adapters.actions import state_folder
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite.store import SqliteJournal
from unit.controller.factories import NOW, alert

OWN_MOUNTS = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "journal.db"


@pytest.fixture
async def journal(path):
    opened = SqliteJournal.open(path)
    yield opened
    await opened.close()


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def linked_file(path, there):
    (there / "other.db").symlink_to(path)
    return there / "other.db"


def linked_twice(path, there):
    linked_file(path, there)
    (there / "third.db").symlink_to("other.db")
    return there / "third.db"


def linked_folder(path, there):
    (there / "folder").symlink_to(path.parent)
    return there / "folder" / path.name


def second_name(path, there):
    (there / "other.db").hardlink_to(path)
    return there / "other.db"


def without_lock_file(path, _there):
    path.with_name(f"{path.name}.lock").unlink()
    return path


@pytest.mark.parametrize("other", [linked_file, linked_twice, linked_folder, second_name, without_lock_file])
async def test_a_second_controller_is_refused_by_whatever_path_it_comes(journal, path, tmp_path, other):
    await journal.accept([alert()], NOW)
    there = tmp_path / "elsewhere"
    there.mkdir()
    refused = said(JUST_OPEN, other(path, there))
    assert refused.startswith("refused:"), refused
    await journal.accept([alert()], NOW)  # the first one goes on


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_second_controller_is_refused_through_a_bind_mount(journal, path, tmp_path, what):
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / path.name).touch()
    ends = ("", "") if what == "folder" else (f"/{path.name}", f"/{path.name}")
    mount = f'mount --bind "{path.parent}{ends[0]}" "{other}{ends[1]}" && exec "$@"'
    refused = said(JUST_OPEN, other / path.name, before=(*OWN_MOUNTS, "sh", "-c", mount, "sh"))
    assert refused.startswith("refused:"), refused


def test_a_journal_that_is_mounted_as_a_single_file_is_refused(path, tmp_path):
    """What SQLite writes beside it would stay behind when the mount goes to another machine or container."""
    asyncio.run(SqliteJournal.open(path).close())
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / path.name).touch()
    mount = f'mount --bind "{path}" "{other / path.name}" && exec "$@"'
    refused = said(JUST_OPEN, other / path.name, before=(*OWN_MOUNTS, "sh", "-c", mount, "sh"))
    assert "single file" in refused
    assert "Mount its folder" in refused


def test_a_journal_with_two_names_is_refused_until_one_is_gone(path, tmp_path):
    asyncio.run(SqliteJournal.open(path).close())
    (tmp_path / "other.db").hardlink_to(path)
    with pytest.raises(JournalError, match="2 names") as caught:
        SqliteJournal.open(path)
    assert "remove the other name" in caught.value.hint
    (tmp_path / "other.db").unlink()
    asyncio.run(SqliteJournal.open(path).close())


def test_a_link_to_a_journal_leads_to_the_files_beside_the_journal(path, tmp_path):
    other = linked_file(path, tmp_path)
    asyncio.run(SqliteJournal.open(other).close())
    assert path.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"state", "other.db"}
    assert state_folder(str(other)) == state_folder(str(path)) == path.with_name("journal.db.commands")


# --- what others may do --------------------------------------------------------------------------------------


def test_a_journal_that_others_could_write_to_is_tightened(path):
    asyncio.run(SqliteJournal.open(path).close())
    names = ["journal.db", "journal.db.lock", "journal.db.reserve", "journal.db-wal", "journal.db-shm"]
    for name in names:
        path.with_name(name).touch()
        path.with_name(name).chmod(0o666)

    async def use():
        journal = SqliteJournal.open(path)
        await journal.accept([alert()], NOW)
        modes = {each.name: mode(each) for each in path.parent.iterdir()}
        await journal.close()
        return modes

    assert asyncio.run(use()) == dict.fromkeys(names, 0o600)


@pytest.mark.parametrize(("before", "after"), [(0o777, 0o775), (0o1777, 0o1777), (0o770, 0o770)])
def test_a_folder_that_everybody_could_write_to_is_tightened(path, before, after):
    path.parent.chmod(before)
    asyncio.run(SqliteJournal.open(path).close())
    assert mode(path.parent) == after


# --- links in the place of our own files ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["journal.db.reserve", "journal.db.lock", "journal.db-wal", "journal.db-shm"])
@pytest.mark.parametrize("manner", ["symlink_to", "hardlink_to"])
def test_what_a_link_in_the_place_of_a_file_of_ours_points_at_stays_as_it_is(path, tmp_path, name, manner):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious " * 700_000)
    victim.chmod(0o640)
    getattr(path.with_name(name), manner)(victim)
    said_of_it = said(JUST_OPEN, path)
    if name.endswith(".reserve"):
        assert said_of_it == "opened\n"
        assert path.with_name(name).lstat().st_size == 4 * 1024 * 1024
    else:
        assert name in said_of_it
        assert "link" in said_of_it
    assert victim.read_bytes() == b"precious " * 700_000
    assert mode(victim) == 0o640


@pytest.mark.parametrize("name", ["journal.db", "journal.db.lock", "journal.db.reserve"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_something_else_in_the_place_of_a_file_holds_nothing_up(path, name, kind):
    there = path.with_name(name)
    if kind == "pipe":
        os.mkfifo(there)
    elif kind == "folder":
        there.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(there))
    said_of_it = said(JUST_OPEN, path)
    assert said_of_it == "opened\n" if name.endswith(".reserve") else "no regular file" in said_of_it
