"""Whether SQLite's write-ahead log still looks as SQLite wrote it.

Here: the marks at the head of the log and of each of its frames, against those in the index beside it. SQLite itself
looks at them only when it opens the log anew. Until then it reads what was written over as if it were its own, and at
a start it drops the log from there on.
Never here: the records, which SQLite looks through by itself.
"""

from __future__ import annotations

import os
import struct

_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_HEAD, _FRAME = 32, 24  # bytes before the frames, and before the page in each of them
_SALTS = slice(16, 24)  # of the head
_INDEX = struct.Struct("=12xB1xHI12x8s")  # of the index: whether it is made, a page's size, frames that count, salts
_MOST = 50_000  # frames that are looked at


class LogMarks:
    """The marks of one log.

    The index stays open until `close`: closing a file lets go of the process's locks on it, and SQLite's are there.
    """

    def __init__(self, log: str, index: str) -> None:
        """Nothing is opened yet.

        Args:
            log: path of the write-ahead log.
            index: path of the index, which SQLite calls shared memory.
        """
        self._log, self._index = log, index
        self._file: int | None = None

    def are_whole(self) -> bool:
        """Whether head and frames carry the marks that the index names. True if there is nothing to compare.

        Call it only in the thread that writes, between two writes.
        """
        try:
            if self._file is None:
                self._file = os.open(self._index, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            known = os.pread(self._file, _INDEX.size, 0)
            if len(known) < _INDEX.size:
                return True
            is_made, size, frames, salts = _INDEX.unpack(known)
            if not is_made or not frames:
                return True
            return self._carry(salts, frames, _FRAME + (65_536 if size == 1 else size))
        except OSError:  # who looks for the files says so
            return True

    def close(self) -> None:
        """Let go of the index; SQLite must have closed it before."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _carry(self, salts: bytes, frames: int, step: int) -> bool:
        log = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            head = os.pread(log, _HEAD, 0)
            if head[:4] not in _MAGIC or head[_SALTS] != salts:
                return False
            return all(
                os.pread(log, len(salts), _HEAD + number * step + 8) == salts for number in range(min(frames, _MOST))
            )
        finally:
            os.close(log)
