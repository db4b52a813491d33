"""Puts the counts of dead workers into the archive of their generation.

The room's docstring says why this is safe.
"""

import contextlib
import os
import struct
import time
from collections.abc import Iterable

from rearguard_exporter.values.counts import add_up, packed
from rearguard_exporter.values.label_values import folded
from rearguard_exporter.workers.definitions import (
    written_family,
    written_key,
    written_point,
    written_published,
)
from rearguard_exporter.workers.folder import NEW, Folder, Look
from rearguard_exporter.workers.layout import USED_AT, Head, Kind, mark_of, written_head, written_record
from rearguard_exporter.workers.merging import Plan, Sums
from rearguard_exporter.workers.opened_file import OpenedFile


def fold(folder: Folder, limit: int) -> None:
    """Fold every dead worker, and delete generations that nobody can show any more. The caller is in charge.

    An archive keeps `limit` sets of label values of a family as they are; further ones become the overflow value.

    Raises:
        OSError: the folder cannot be read or written, or is full. Nothing is lost then.
    """
    look = folder.look(doubles=False)
    for name in (*folder.stale(), *look.left_over):
        _delete(folder, name)
    dead = [each for each in look.workers if each.is_dead()]
    over = _over(look)
    for each in (*look.archives, *dead):
        if each.head.generation in over:
            _delete(folder, each.name)
    for generation in sorted({each.head.generation for each in dead} - over):
        whole = [each for each in dead if each.head.generation == generation]
        before = [each for each in look.archives if each.head.generation == generation]
        for each in whole:
            folder.read(each)
        sums = Plan().sums([*before, *whole])
        _archive(folder, [*before, *whole], [each.name for each in whole], _bounded(sums, limit))


def _over(look: Look) -> set[int]:
    """Generations that none of the living belongs to, while a newer one lives."""
    living = {each.head.generation for each in look.living()}
    known = {each.head.generation for each in (*look.workers, *look.archives)}
    newest = max(known, default=0)
    return {each for each in known if each not in living and each < newest} if newest in living else set()


def _archive(folder: Folder, files: list[OpenedFile], absorbed: list[str], sums: Sums) -> None:
    first = files[0].head
    path = folder.archive_path(first.generation)
    began = min(each.head.began for each in files)
    head = Head(first.generation, began, 0, 0, first.identity, mark_of(path.name))
    new = folder.path / (folder.new_name() + NEW)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(written_archive(head, absorbed, sums))
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    for name in absorbed:
        _delete(folder, name)


def _bounded(sums: Sums, limit: int) -> Sums:
    for family, counts in sums.counts.items():
        began = sums.began[family]
        for key in list(counts)[limit:]:
            fold_key = folded(family.labels, key)
            if fold_key == key:
                continue
            values, since = counts.pop(key), began.pop(key)
            before = counts.get(fold_key)
            counts[fold_key] = values if before is None else add_up([before, values], family.width)
            began[fold_key] = min(since, began.get(fold_key, since))
    return sums


def written_archive(head: Head, absorbed: Iterable[str], sums: Sums) -> bytes:
    """The bytes of an archive that holds these sums of these files."""
    now = time.time()
    records = [written_record(Kind.ABSORBED, 0, name.encode(), 0, now) for name in absorbed]
    number = 0
    for family, counts in sums.counts.items():
        records.append(written_record(Kind.FAMILY, number, written_family(family), 0, now))
        for key, values in counts.items():
            began = sums.began[family][key]
            records.append(written_record(Kind.COUNTS, number, written_key(key), len(values), began))
            records.append(packed(values))
        number += 1
    for published, points in sums.points.items():
        records.append(written_record(Kind.METRIC, number, written_published(published), 0, now))
        for point, value in points.items():
            records.append(written_record(Kind.POINT, number, written_point(point), 1, now))
            records.append(struct.pack("=d", value))
        number += 1
    told = written_head(head)
    body = b"".join(records)
    return written_head_of(told, len(told) + len(body)) + body


def written_head_of(head: bytes, used: int) -> bytes:
    """The same head, with another number of bytes that count."""
    return head[:USED_AT] + struct.pack("=Q", used) + head[USED_AT + 8 :]


def _delete(folder: Folder, name: str) -> None:
    (folder.path / name).unlink(missing_ok=True)
