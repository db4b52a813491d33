"""What the WSGI applications share: bodies in pieces, and a file too large for the buffers between."""

import time

from real.exporter.oracle.apps.parts import FOLDER, LARGE, LINGER, begins, has_left

LARGE_FILE = FOLDER / "large.bin"
LARGE_FILE.write_bytes(LARGE)
_PATIENCE = 15.0


def pieces(name, failure=None):
    """A body in pieces: until its caller has left, or until it fails."""
    begins(name)
    yield b"x" * 1000
    if failure is not None:
        raise failure
    left = None
    deadline = time.monotonic() + _PATIENCE
    while (left is None or time.monotonic() < left + LINGER) and time.monotonic() < deadline:
        time.sleep(0.05)
        left = left or (time.monotonic() if has_left(name) else None)
        yield b"x" * 1000


def short_pieces():
    """Half of the body that `SHORT` promises."""
    yield b"x" * 1000
    yield b"x" * 1000


def fail_in_group():
    """Raise an exception group."""
    raise ExceptionGroup("oracle", [LookupError("oracle")])
