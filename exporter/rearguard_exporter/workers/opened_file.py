"""A file of a worker, or an archive, as any process reads it: records are parsed once, doubles copied at each look.

Here: one file, opened and checked. Never here: which files there are.
"""

import fcntl
import os
import stat
from pathlib import Path

from rearguard_exporter.workers.layout import (
    Head,
    Kind,
    Record,
    RefusedError,
    mark_of,
    read_head,
    read_records,
    used_of,
)

_MOST = 1 << 30  # bytes of the largest file that is read


class OpenedFile:
    """The file at `path`.

    Raises:
        FileNotFoundError: it is gone.
        RefusedError: it is no file of a worker, or it is somebody else's.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.records: list[Record] = []
        self.absorbed: set[str] = set()
        self.content = b""
        """The whole file at the last `look`: doubles, one behind the other. The same object while nothing changed."""
        self.fault = ""
        """What is wrong behind the records; empty if nothing is."""
        self._is_dead = False
        try:
            self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise
        except OSError as failure:
            raise RefusedError(f"it cannot be opened: {failure.strerror}") from failure
        try:
            self.inode = _checked(os.fstat(self.file)).st_ino
            first = os.pread(self.file, 1 << 16, 0)
            self.head, self._parsed, _ = read_head(first)
            self._first = first[: self._parsed]
            _check_name(self.head, path.name)
        except BaseException:
            os.close(self.file)
            raise

    def close(self) -> None:
        """Close it. Nothing else may be called afterwards."""
        if self.file >= 0:
            os.close(self.file)
        self.file = -1

    def is_dead(self) -> bool:
        """Whether the process that wrote it has ended. An archive is always dead."""
        if not self._is_dead:
            try:
                fcntl.flock(self.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            fcntl.flock(self.file, fcntl.LOCK_UN)
            self._is_dead = True
        return True

    def look(self) -> None:
        """Read what is new, and all doubles as they are now."""
        try:
            used = used_of(os.pread(self.file, len(self._first), 0), self._first)
            data = self._read(min(used, _MOST))
        except (RefusedError, OSError) as failure:  # it was good when it was opened, so somebody spoiled it since
            self.fault = str(failure)
            return
        self._parse(data, used)
        if len(data) % 8:
            data = data[: len(data) & ~7]
        data += self.content[len(data) :]  # cut off since: what was counted stays
        if data != self.content:
            self.content = data

    def _read(self, size: int) -> bytes:
        parts, at = [], 0
        while at < size and (part := os.pread(self.file, size - at, at)):
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _parse(self, data: bytes, used: int) -> None:
        self.fault = "" if len(data) == used else f"it is cut off after {len(data)} bytes"
        try:
            for record, after in read_records(data, self._parsed):
                self._parsed = after
                if record is None:
                    continue
                if record.kind == Kind.ABSORBED:
                    self.absorbed.add(record.key.decode())
                else:
                    self.records.append(record)
        except RefusedError as refused:
            self.fault = self.fault or str(refused)


def _check_name(head: Head, name: str) -> None:
    if head.mark != mark_of(name):
        raise RefusedError("it is a copy, or another name, of a file that counts by itself")


def _checked(told: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(told.st_mode):
        raise RefusedError("it is no file")
    if told.st_uid != os.geteuid():
        raise RefusedError(f"it belongs to user {told.st_uid}, and this process runs as {os.geteuid()}")
    return told
