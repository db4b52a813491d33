"""Event loops that an ASGI application may run on: asyncio's, and others, of which trio's is known."""

import asyncio
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop of asyncio (or uvloop); None on another kind of event loop."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def beside_loop(work: Callable[[], T]) -> T:
    """What `work` returns, done in a thread on asyncio and trio, and at once on any other event loop."""
    if running_loop() is not None:
        return await asyncio.to_thread(work)
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        done: T = await trio.to_thread.run_sync(work)
        return done
    return work()
