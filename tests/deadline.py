"""A limit of time for one thing that is awaited."""

import asyncio


async def in_time(awaited, seconds):
    """What it gives, within so many seconds.

    `asyncio.wait_for` of Python 3.11 loses a cancel that comes when its inner task has just ended: who was to
    stop goes on.
    """
    async with asyncio.timeout(seconds):
        return await awaited
