"""The bytes of a worker's file and of an archive: a head, then records. Never here: files, processes.

    head    magic, format, length of the head, length of all that counts, generation, begin, pid, number, length of
            the identity, checksum, mark of the file's name, then the identity as JSON
    record  size, kind, family, length of the key, doubles, checksum, begin, then the key, then the doubles

All begins at a multiple of eight bytes, in the byte order of the machine.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any, Final, NamedTuple
from zlib import crc32

MAGIC: Final = b"rearguar"
FORMAT: Final = 2
USED_AT: Final = 16
"""Where the head says how many bytes count. It is stored last."""

HEAD: Final = struct.Struct("=8sIIQQdIIIIQ")
RECORD: Final = struct.Struct("=IHHIIIId")
MOST_KEY: Final = 1 << 14
"""Bytes of the longest key."""

_USED: Final = struct.Struct("=Q")
_PAD: Final = struct.Struct("=IHH")
_CHECKED: Final = struct.Struct("=IHHIId")
_MOST_HEAD: Final = 1 << 16


class RefusedError(Exception):
    """A file is not what it should be; the text says what is wrong."""


@unique
class Kind(IntEnum):
    """What a record holds."""

    PAD = 0  # nothing, up to the end of a piece of the file
    FAMILY = 1  # the definition of a family kept in slots, as JSON; further records name it by its number
    COUNTS = 2  # the counts of one key of such a family; the label values, parted by NUL
    ABSORBED = 3  # the name of a file that this archive holds
    METRIC = 4  # the definition of a family of which each process publishes samples
    POINT = 5  # one sample of it: name and labels as JSON


_NOTHING: Final = int(Kind.PAD)


@dataclass(frozen=True, slots=True)
class Head:
    """Whose file it is."""

    generation: int
    began: float  # Unix time
    pid: int  # 0: an archive
    number: int  # the least that no other living worker has; people tell workers apart by it
    identity: dict[str, Any]
    mark: int  # of the file's name: a copy under another name must not count a second time


def mark_of(name: str) -> int:
    """What the head of a file of this name says of it, whatever its suffix: 64 bits."""
    return int.from_bytes(hashlib.sha256(name.partition(".")[0].encode()).digest()[:8], "little")


class Record(NamedTuple):
    """One record; its doubles begin at `start`, counted in doubles from the beginning of the file."""

    kind: int
    family: int
    key: bytes
    start: int
    width: int
    began: float  # Unix time


def rounded(size: int) -> int:
    """The next multiple of eight."""
    return (size + 7) & ~7


def written_head(head: Head) -> bytes:
    """The head; its length is what counts so far."""
    identity = json.dumps(head.identity, sort_keys=True).encode()
    size = rounded(HEAD.size + len(identity))
    fixed = (head.generation, head.began, head.pid, head.number, len(identity))
    checksum = crc32(identity, crc32(struct.pack("=QdIIIQ", *fixed, head.mark)))
    return (HEAD.pack(MAGIC, FORMAT, size, size, *fixed, checksum, head.mark) + identity).ljust(size, b"\0")


def read_head(data: bytes) -> tuple[Head, int, int]:
    """The head, its length, and the bytes that count.

    Raises:
        RefusedError: these are not the first bytes of such a file.
    """
    if len(data) < HEAD.size:
        raise RefusedError("it is empty or cut off")
    magic, version, size, used, *fixed, checksum, mark = HEAD.unpack_from(data)
    if magic != MAGIC:
        raise RefusedError("it is no file of Rearguard's workers")
    if version != FORMAT:
        raise RefusedError(f"it has the format {version}, and this version of Rearguard reads format {FORMAT}")
    generation, began, pid, number, length = fixed
    identity = data[HEAD.size : HEAD.size + length]
    if not HEAD.size + length <= size <= min(_MOST_HEAD, used) or len(identity) < length:
        raise RefusedError("it is cut off")
    if crc32(identity, crc32(struct.pack("=QdIIIQ", *fixed, mark))) != checksum:
        raise RefusedError("its head is damaged")
    return Head(generation, began, pid, number, json.loads(identity), mark), size, used


def used_of(data: bytes, known: bytes) -> int:
    """The bytes that count, of a file whose head was `known` before.

    Raises:
        RefusedError: these are not the first bytes of such a file.
    """
    after = USED_AT + 8
    if data[:USED_AT] == known[:USED_AT] and data[after:] == known[after:]:
        (used,) = _USED.unpack_from(data, USED_AT)
        return int(used)
    return read_head(data)[2]


def written_record(kind: Kind, family: int, key: bytes, width: int, began: float) -> bytes:
    """The record up to its doubles, of which the caller leaves room for `width`."""
    size = RECORD.size + rounded(len(key)) + 8 * width
    checksum = crc32(key, crc32(_CHECKED.pack(size, kind, family, len(key), width, began)))
    return (RECORD.pack(size, kind, family, len(key), width, checksum, 0, began) + key).ljust(size - 8 * width, b"\0")


def padding(size: int) -> bytes:
    """The beginning of a record that fills `size` bytes."""
    return _PAD.pack(size, Kind.PAD, 0)


def read_records(data: bytes, at: int) -> Iterator[tuple[Record | None, int]]:
    """Each record from the byte `at` on (None: padding), and where the next one begins.

    Raises:
        RefusedError: what follows is damaged or cut off.
    """
    end = len(data)
    while at < end:
        size, kind, family = _PAD.unpack_from(data, at) if at + _PAD.size <= end else (0, 0, 0)
        after = at + size
        if size < _PAD.size or size % 8 or after > end:
            raise RefusedError(f"it is damaged at byte {at}")
        if kind == _NOTHING:
            at = after
            yield None, after
            continue
        if size < RECORD.size:
            raise RefusedError(f"it is damaged at byte {at}")
        _, _, _, length, width, checksum, _, began = RECORD.unpack_from(data, at)
        key = data[at + RECORD.size : at + RECORD.size + length]
        is_whole = RECORD.size + rounded(length) + 8 * width == size
        if not is_whole or crc32(key, crc32(_CHECKED.pack(size, kind, family, length, width, began))) != checksum:
            raise RefusedError(f"it is damaged at byte {at}")
        yield Record(kind, family, key, after // 8 - width, width, began), after
        at = after
