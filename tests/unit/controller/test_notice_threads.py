"""What services said of first messages: bounded, kept soon, read again, and never in anybody's way."""

import asyncio
import json

import pytest

from rearguard_controller.adapters.notices.threads import MOST, MOST_KEPT, Threads
from rearguard_controller.errors import JournalError


class Kept:
    """A place that keeps texts, or refuses them; writing waits until `open` is set."""

    def __init__(self, *, refuses=False):
        self.texts, self.refuses, self.open = [], refuses, asyncio.Event()

    async def keep(self, text):
        await self.open.wait()
        if self.refuses:
            raise JournalError("The disk is full.")
        self.texts.append(text)


async def test_what_was_learned_is_known_after_a_restart():
    kept = Kept()
    kept.open.set()
    threads = Threads(kept.keep)
    threads.learn("chat", "r1", {"ts": "1.2", "channel": "C1"})
    threads.learn("chat", "r1", {"other": "x"})
    threads.learn("pager", "r1", {"id": "9"})
    await threads.close(5)
    again = Threads()
    again.take(kept.texts[-1])
    assert again.known("chat", "r1") == {"ts": "1.2", "channel": "C1", "other": "x"}
    assert again.known("pager", "r1") == {"id": "9"}
    assert again.known("chat", "r2") == {}


async def test_many_that_come_while_one_is_written_are_one_more_text_and_the_newest_are_kept():
    kept = Kept()
    threads = Threads(kept.keep)
    threads.learn("chat", "first", {"ts": "0"})
    await asyncio.sleep(0)
    for number in range(MOST + 5):
        threads.learn("chat", f"r{number}", {"ts": str(number)})
    kept.open.set()
    await threads.close(5)
    assert len(kept.texts) == 2
    newest = json.loads(kept.texts[-1])
    assert [key for _, key, _ in newest] == [f"r{number}" for number in range(MOST + 5 - MOST_KEPT, MOST + 5)]
    assert threads.known("chat", "r4") == {}
    assert threads.known("chat", "r5") == {"ts": "5"}


async def test_a_journal_that_takes_nothing_is_told_once_and_the_next_one_is_tried():
    kept = Kept(refuses=True)
    kept.open.set()
    threads = Threads(kept.keep)
    threads.learn("chat", "r1", {"ts": "1"})
    await threads.close(5)
    assert threads.known("chat", "r1") == {"ts": "1"}
    kept.refuses = False
    threads.learn("chat", "r2", {"ts": "2"})
    await threads.close(5)
    assert [key for _, key, _ in json.loads(kept.texts[-1])] == ["r1", "r2"]


async def test_a_journal_that_hangs_is_waited_for_no_longer_than_said():
    threads = Threads(Kept().keep)
    threads.learn("chat", "r1", {"ts": "1"})
    async with asyncio.timeout(30):
        await threads.close(0.05)


@pytest.mark.parametrize("text", [None, "", "{", "7", "{}", '[["chat"]]', '[["chat", "r1", 7]]', '[[1, "r1", {}]]'])
def test_what_is_not_ours_is_left_out(text):
    threads = Threads()
    threads.take(text)
    assert threads.known("chat", "r1") == {}
