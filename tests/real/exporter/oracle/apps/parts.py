"""What the applications of all frameworks share: the monitor, and how a handler knows where its caller is."""

import os
import time
from pathlib import Path

import anyio

from rearguard_exporter import Monitor

FOLDER = Path(os.environ["ORACLE_FOLDER"])
FILE = FOLDER / "file.txt"
FILE.write_text("0123456789")
LARGE = b"x" * 30_000_000  # more than all buffers between handler and caller hold
SHORT = 4000  # bytes that the head of an answer of half as many promises
PIECE = b"x" * 1000
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


def large_file():
    """A file of `LARGE`."""
    path = FOLDER / "large"
    path.write_bytes(LARGE)
    return path


def turns(name):
    """Begin, and go on until the caller has left, and a while longer: as often as this yields."""
    begins(name)
    left, deadline = None, time.monotonic() + _PATIENCE
    while (left is None or time.monotonic() < left + LINGER) and time.monotonic() < deadline:
        yield
        left = left or (time.monotonic() if has_left(name) else None)


async def until_left(name):
    """Begin, and wait until the caller has left, and a while longer."""
    for _ in turns(name):
        await anyio.sleep(0.02)


def until_left_blocking(name):
    """As `until_left`, for a thread."""
    for _ in turns(name):
        time.sleep(0.02)


async def pieces(name, failure=None):
    """A body in pieces: until its caller has left, or until it fails."""
    for _ in turns(name):
        yield PIECE
        if failure is not None:
            raise failure
        await anyio.sleep(0.05)


def pieces_blocking(name, failure=None):
    """As `pieces`, for a thread."""
    for _ in turns(name):
        yield PIECE
        if failure is not None:
            raise failure
        time.sleep(0.05)


async def short_pieces():
    """Half of the body that `SHORT` promises."""
    for piece in short_pieces_blocking():
        yield piece
        await anyio.sleep(0.02)


def short_pieces_blocking():
    """As `short_pieces`, for a thread."""
    yield from [PIECE] * (SHORT // len(PIECE) // 2)
