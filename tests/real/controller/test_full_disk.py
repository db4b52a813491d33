"""A disk without room, as the operating system tells of it: new work waits, and is taken again when there is room."""

import asyncio
import os
import time
from types import SimpleNamespace

import pytest

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.sqlite.reserve import ROOM, SIZE, Reserve
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import OperatorAction
from unit.controller.factories import NOW, TARGET, alert, decision, release, rollback

BLOCK = 4096


@pytest.fixture
def disk(monkeypatch):
    """A disk with so many bytes free, and how often that was asked."""
    told = SimpleNamespace(free=0, asked=0)

    def statvfs(_path):
        told.asked += 1
        return SimpleNamespace(f_bavail=told.free // BLOCK, f_frsize=BLOCK)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return told


@pytest.mark.parametrize(("free", "made"), [(ROOM, True), (ROOM - BLOCK, False), (0, False)])
def test_the_reserve_is_made_only_where_as_much_again_stays_free(tmp_path, disk, free, made):
    reserve, disk.free = Reserve(tmp_path / "reserve"), free
    assert reserve.make() is made
    assert (reserve.held, (tmp_path / "reserve").exists()) == (made, made)


def test_a_reserve_that_is_held_is_not_made_again(tmp_path, disk):
    reserve, disk.free = Reserve(tmp_path / "reserve"), ROOM
    assert reserve.make()
    disk.free = 0
    assert reserve.make()
    assert (tmp_path / "reserve").stat().st_size == SIZE
    reserve.release()
    assert not reserve.make()


async def test_a_full_disk_refuses_alerts_looks_for_room_once_a_second_and_then_takes_them_again(tmp_path, disk):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    opened, disk.asked = time.monotonic(), 0
    for _ in range(20):
        with pytest.raises(JournalError, match="disk is full"):
            await journal.accept([alert()], NOW)
    assert disk.asked <= time.monotonic() - opened
    await journal.prove_lead()  # what is urgent is let through
    disk.free = ROOM
    while True:
        try:
            await journal.accept([alert()], NOW)
            break
        except JournalError:
            assert time.monotonic() - opened < 10
            await asyncio.sleep(0.05)
    assert time.monotonic() - opened >= 1.0
    assert len(await journal.unjudged(10)) == 1
    await journal.close()


async def test_what_a_person_asks_is_written_on_a_full_disk(tmp_path, disk):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    disk.free = 0
    asked = OperatorAction(NOW, "ann", "trigger", TARGET, "it burns")
    await journal.record(decision("d1"), rollback("r1"), action=asked)
    await journal.change_release(TARGET, "v1", lambda _: release("v1"), action=asked)
    await journal.change_target(TARGET, lambda state: state, action=asked)
    with pytest.raises(JournalError, match="disk is full"):
        await journal.record(decision("d2"))
    assert [each.id for each in await journal.open_rollbacks()] == ["r1"]
    assert len(await journal.operator_actions()) == 3
    await journal.close()
