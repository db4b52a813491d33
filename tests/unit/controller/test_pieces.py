"""Long lists do not hold up the event loop."""

import asyncio
import threading

from rearguard_controller.facts.pieces import LONG, PIECE, computed, in_pieces


async def test_all_values_come_in_order_and_everything_else_has_its_turn_in_between():
    turns, found = [], []

    async def other():
        while True:
            turns.append(len(found))
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    async for value in in_pieces(range(4 * PIECE)):
        found.append(value)  # noqa: PERF401  # one by one, so that others can be seen in between
    beside.cancel()
    assert found == list(range(4 * PIECE))
    assert turns == [PIECE, 2 * PIECE, 3 * PIECE]


async def test_long_work_is_done_in_a_thread_and_short_work_at_once():
    assert await computed(LONG - 1, threading.get_ident) == threading.get_ident()
    assert await computed(LONG, threading.get_ident) != threading.get_ident()
