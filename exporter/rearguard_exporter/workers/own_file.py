"""The file that this process writes: records appended, doubles stored in place by whoever holds a view of them."""

import errno
import mmap
import os
import threading
import time
from pathlib import Path
from typing import Final

from rearguard_exporter.workers import remapping
from rearguard_exporter.workers.layout import (
    MOST_KEY,
    RECORD,
    USED_AT,
    Head,
    Kind,
    padding,
    rounded,
    written_head,
    written_record,
)

FIRST_PIECE: Final = 1 << 16
MOST_PIECE: Final = 1 << 22
"""Bytes by which a file grows: each piece is twice as long as the one before, up to this."""


class _Piece:
    """A part of the file in memory."""

    __slots__ = ("address", "bytes", "doubles", "mapping", "offset", "size")

    def __init__(self, file: int, offset: int, size: int) -> None:
        os.posix_fallocate(file, offset, size)  # else a full disk would end the process when it stores a double
        self.mapping = mmap.mmap(file, size, offset=offset)
        self.offset = offset
        self.size = size
        self.bytes = memoryview(self.mapping)
        self.doubles = self.bytes.cast("d")
        self.address = remapping.address_of(self.mapping)


class OwnFile:
    """The new file at `path`; `file` is its descriptor on which the caller holds the lock.

    Raises:
        OSError: the disk is full, or the file cannot be mapped.
    """

    def __init__(self, file: int, path: Path, head: Head) -> None:
        self.file = file
        self.head = head
        self.path = path
        """Where it is; it may be moved."""
        # Each mapping keeps a copy of its descriptor, also in forked processes, and with one of `file` the lock.
        self._mapped = _opened(path)
        self._lock = threading.Lock()
        told = written_head(head)
        self._pieces = [_Piece(self._mapped, 0, max(FIRST_PIECE, rounded(len(told)) * 2))]
        self._at = len(told)  # in the last piece
        self._pieces[0].bytes[: len(told)] = told
        self._used = self._pieces[0].bytes[USED_AT : USED_AT + 8].cast("Q")

    @property
    def size(self) -> int:
        """Bytes that the file takes."""
        last = self._pieces[-1]
        return last.offset + last.size

    def append(self, kind: Kind, family: int, key: bytes, first: tuple[float, ...]) -> "memoryview[float]":
        """A new record; what is stored in the result is in the file. Its doubles are `first`.

        Raises:
            OSError: the disk is full, or the key is too long.
        """
        if len(key) > MOST_KEY:
            raise OSError(errno.EMSGSIZE, "a key is too long")
        told = written_record(kind, family, key, len(first), time.time())
        size = len(told) + 8 * len(first)
        with self._lock:
            piece = self._pieces[-1]
            if self._at + size > piece.size:
                piece = self._grow(piece)
            at, values = self._at, (self._at + len(told)) // 8
            piece.bytes[at : at + len(told)] = told
            view = piece.doubles[values : values + len(first)]
            for index, value in enumerate(first):
                view[index] = value
            self._at = at + size
            self._used[0] = piece.offset + self._at  # last: from here on readers see the record
            return view

    def _grow(self, full: _Piece) -> _Piece:
        made = _Piece(self._mapped, full.offset + full.size, min(2 * full.size, MOST_PIECE))
        left = full.size - self._at
        if left:
            full.bytes[self._at : self._at + 8] = padding(left)
        self._pieces.append(made)
        self._at = 0
        return made

    def leave_to_parent(self) -> None:
        """In a forked process: views that are still held write to memory of this process's own, and reach no file."""
        for piece in self._pieces:
            remapping.make_private(piece.address, piece.size)
        self.close()  # the parent's lock stays with the parent

    def close(self) -> None:
        """Let the file go; others take this process for ended. What is stored in it from now on may be lost."""
        files = self.file, self._mapped
        self.file = self._mapped = -1
        for file in files:
            if file >= 0:
                os.close(file)

    def __del__(self) -> None:
        """Nobody counts here any more."""
        if hasattr(self, "_mapped"):  # else it could not be opened
            self.close()

    def move_to(self, file: int, path: Path) -> None:
        """Go on in the empty file at `path`, with all that was counted. `file` is its descriptor with the lock.

        What another thread counts in this very moment may be missing.

        Raises:
            OSError: the disk is full, or the file was deleted. `file` is closed then.
        """
        taken = [file]
        with self._lock:
            try:
                mapped = _opened(path)
                taken.append(mapped)
                os.posix_fallocate(file, 0, self.size)
            except OSError:
                for each in taken:
                    os.close(each)
                raise
            for piece in self._pieces:
                os.pwrite(file, piece.bytes, piece.offset)
                remapping.map_again(piece.address, piece.size, file, piece.offset)
            old = self.file, self._mapped
            self.file, self._mapped, self.path = file, mapped, path
        for each in old:
            os.close(each)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)


assert RECORD.size % 8 == 0  # noqa: S101 - doubles stand at multiples of eight
