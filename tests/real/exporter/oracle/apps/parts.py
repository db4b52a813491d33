"""What the applications of all frameworks share: the monitor, and how a handler knows where its caller is."""

import asyncio
import os
import time
from pathlib import Path

import anyio
import sniffio

from rearguard_exporter import Monitor

FOLDER = Path(os.environ["ORACLE_FOLDER"])
FILE = FOLDER / "file.txt"
FILE.write_text("0123456789")
LARGE = b"x" * 30_000_000  # more than all buffers between handler and caller hold
SHORT = 4000  # bytes that the head of an answer of half as many promises
LINGER = 0.5  # seconds for which a handler goes on after its caller has left
_PATIENCE = 15.0


def behaviour_of(subject):
    """The behaviour that this request (aiohttp's, an ASGI scope, a WSGI environ) asks for."""
    path = subject.path if hasattr(subject, "path") else subject.get("path") or subject.get("PATH_INFO", "")
    return path.strip("/").rpartition("/")[2]


def monitor():
    """A monitor that records whose request each is."""
    return Monitor("oracle", "1.0", "test", request_labels={"behaviour": behaviour_of}, label_limit=100)


def begins(name):
    """Tell the caller that the handler runs."""
    (FOLDER / f"{name}.began").touch()


def has_left(name):
    """Whether the caller has left."""
    return (FOLDER / f"{name}.left").exists()


async def until_left(name):
    """Wait until the caller has left, and a while longer."""
    deadline = time.monotonic() + _PATIENCE
    while not has_left(name) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process tells
        await anyio.sleep(0.02)
    await anyio.sleep(LINGER)


def until_left_blocking(name):
    """As `until_left`, for a thread."""
    deadline = time.monotonic() + _PATIENCE
    while not has_left(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(LINGER)


async def pieces(name, failure=None):
    """A body in pieces: until its caller has left, or until it fails."""
    begins(name)
    yield b"x" * 1000
    if failure is not None:
        raise failure
    left = None
    deadline = time.monotonic() + _PATIENCE
    while (left is None or time.monotonic() < left + LINGER) and time.monotonic() < deadline:
        await anyio.sleep(0.05)
        left = left or (time.monotonic() if has_left(name) else None)
        yield b"x" * 1000


async def cancel_own_task():
    """Await a task that is cancelled by nobody else than this."""
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def cancel_itself():
    """Cancel the task that asks, and let it come to that."""
    if sniffio.current_async_library() == "trio":
        raise LookupError("oracle")  # no scope of trio's lets a cancellation out
    asyncio.current_task().cancel()
    await asyncio.sleep(10)


async def short_pieces():
    """Half of the body that `SHORT` promises."""
    yield b"x" * 1000
    await anyio.sleep(0.02)
    yield b"x" * 1000


async def fail_in_group():
    """Raise an exception group."""

    async def fail():
        raise LookupError("oracle")

    async with anyio.create_task_group() as group:  # also on trio
        group.start_soon(fail)
