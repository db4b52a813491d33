"""Room on the disk that is kept for open rollbacks and for what people ask.

Here: a file beside the journal that takes up the room, its release, and making it again when the disk has room.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rearguard_controller import own_files

SIZE = 4 * 1024 * 1024  # bytes: hundreds of events
ROOM = 2 * SIZE  # free bytes that the disk must have before it is made again


class Reserve:
    """The file. While it exists the room is held; deleting it gives the room to the journal."""

    def __init__(self, path: Path) -> None:
        """Look at the file that an earlier run may have left; nothing is made yet."""
        self._path = path
        with contextlib.suppress(OSError):
            os.close(own_files.open_own(path, create=False))  # takes away what others may do with it

    @property
    def held(self) -> bool:
        """Whether the room is there to be released. What a link points at is no room of ours."""
        try:
            return own_files.is_own(self._path) and self._path.lstat().st_size >= SIZE
        except OSError:
            return False

    def release(self) -> None:
        """Give the room to the journal."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def make(self) -> bool:
        """Take the room if the disk has enough; returns whether it is held now."""
        if self.held:
            return True
        try:
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < ROOM:
                return False
            self._path.unlink(missing_ok=True)  # a half one, or a link: what it points at stays as it is
            with os.fdopen(own_files.open_own(self._path), "wb") as file:
                block = os.urandom(64 * 1024)  # random, so that no file system compresses it or leaves it out
                for _ in range(SIZE // len(block)):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.release()
            return False
        return True
