"""What one process shares: its counts and published figures in its file, and the look at the files of all.

Here: when a file is begun, given up after a fork, found missing. Never here: bytes (layout), adding up (merging).
A folder that cannot be used is told of once. Then this process counts in memory of its own, as without a folder.
"""

import contextlib
import math
import os
import threading
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rearguard_exporter.families import Family
from rearguard_exporter.fault_barrier import log, report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.counts import Counts, Key
from rearguard_exporter.workers import remapping
from rearguard_exporter.workers.beginning import begin, open_locked
from rearguard_exporter.workers.definitions import (
    Point,
    Published,
    layout_of,
    written_family,
    written_key,
    written_point,
    written_published,
)
from rearguard_exporter.workers.folder import NEW, TRIES, Folder, Look
from rearguard_exporter.workers.folding import fold
from rearguard_exporter.workers.layout import Kind
from rearguard_exporter.workers.own_file import OwnFile


@dataclass(frozen=True, slots=True)
class Who:
    """Whose counts are added up."""

    service: str
    version: str
    environment: str
    labels: Mapping[str, str]  # constant


class WorkersStore:
    """The counts of one monitor in the folder `path`. `limit` is each family's limit of series in an archive."""

    def __init__(self, path: Path, who: Who, limit: int) -> None:
        self.who = who
        self.folder = Folder(path, who.service, who.environment)
        self.limit = limit
        self.families: dict[str, Family] = {}
        """Those that this process keeps in slots, by name."""
        self._own: OwnFile | None = None
        self._same: dict[str, Any] | None = None
        self._is_told = False
        remapping.prepare()
        self._forget()
        tell_after_fork(self)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._numbers: dict[object, int] = {}  # of definitions in the own file
        self._points: dict[tuple[Published, Point], Counts] = {}
        self.unshared: list[tuple[Family, Key, Counts]] = []
        """Counts that found no room in a file; only this process sees them."""
        self._is_off = False
        self._pid = os.getpid()

    def forget_parent(self) -> None:
        """In a forked process: what was counted is the parent's. This one gets its own file when it counts."""
        if self._pid == os.getpid():
            return
        own, self._own = self._own, None
        self._forget()
        self.folder.forget()
        if own is not None:
            try:
                own.leave_to_parent()
            except OSError:
                report("leaving the parent's counts")

    @property
    def own(self) -> OwnFile | None:
        """The file of this process, which exists from now on; None where the folder cannot be used."""
        if self._own is None:
            with self._lock:
                self._begin()
        return self._own

    def _begin(self) -> None:
        if self._own is not None or self._is_off:
            return
        try:
            self._own = begin(self.folder, self.identity(), self.limit)
        except OSError as failure:
            self._is_off = True
            self.tell(failure)

    def tell(self, failure: OSError) -> None:
        """Say once that the folder cannot be used."""
        if not self._is_told:
            self._is_told = True
            log.warning(
                "rearguard_exporter: the workers' folder %s cannot be used: %s. What process %d counts from now on "
                "is shown only where this process answers; the application is not affected. Name a folder on a local "
                "disk or in memory that the workers' user may write to, with room (workers_dir, "
                "REARGUARD_WORKERS_DIR), and restart", self.folder.path, failure.strerror or failure, os.getpid(),
            )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """What is the same in all processes whose counts are added up."""
        if self._same is not None:
            return self._same
        who = self.who
        layout = layout_of(self.families)
        self._same = {
            "service": who.service,
            "version": who.version,
            "environment": who.environment,
            "labels": dict(who.labels),
            "layout": layout,
        }
        return self._same

    def keep(self, family: Family, key: Key, first: float) -> Counts:
        """New counts of this key, zeros but for the first one. Whatever is stored in them is shared."""
        values = (first, *(0.0,) * (family.width - 1))
        made = self._append(Kind.COUNTS, family, written_family, Kind.FAMILY, written_key(key), values)
        if made is None:
            made = array("d", values)
            with self._lock:
                self.unshared.append((family, key, made))
        return made

    def publish(self, samples: Mapping[tuple[Published, Point], float]) -> None:
        """Share these samples, instead of those that were published before."""
        with self._lock:
            for gone in self._points.keys() - samples.keys():
                self._points[gone][0] = math.nan
            for sample, value in samples.items():
                found = self._points.get(sample)
                if found is None:
                    family, point = sample
                    found = self._append(
                        Kind.POINT, family, written_published, Kind.METRIC, written_point(point), (value,)
                    )
                    if found is None:
                        continue
                    self._points[sample] = found
                found[0] = value

    def _append(
        self, kind: Kind, family: Any, written: Any, definition: Kind, key: bytes, values: tuple[float, ...]
    ) -> "Counts | None":
        """The doubles of a new record; None if there is no room for it."""
        own = self.own
        if own is None:
            return None
        try:
            with self._lock:
                number = self._numbers.get(family)
                if number is None:
                    number = len(self._numbers)
                    own.append(definition, number, written(family), ())
                    self._numbers[family] = number
                return own.append(kind, number, key, values)
        except OSError as failure:
            self.tell(failure)
            return None

    def look(self) -> Look:
        """All files that can be read; the own one is among them, whatever became of its name.

        Raises:
            OSError: the folder cannot be read.
        """
        with self._lock:
            for _ in range(TRIES):
                self.tend()
                self._fold()
                with contextlib.suppress(FileNotFoundError):
                    look = self.folder.look()
                    if self._own is None or self._is_there(self._own):
                        return look
            return self.folder.look()

    def _fold(self) -> None:
        try:
            with self.folder.in_charge(0.0) as is_in_charge:
                if is_in_charge:
                    fold(self.folder, self.limit)
        except FileNotFoundError:
            return  # somebody deletes it at this moment
        except OSError as failure:
            self.tell(failure)

    def tend(self) -> None:
        """Put the own file back if somebody deleted it, so that the others see it again. Call it now and then."""
        with self._lock:
            own = self._own
            if own is None or self._is_there(own):
                return
            try:
                self.folder.made_in(lambda: self._put_back(own))
            except OSError as failure:
                self.tell(failure)
                return
            log.warning(
                "rearguard_exporter: the workers' file %s was deleted while process %d uses it; it is written anew. "
                "What workers counted that have ended is lost if it was deleted, too", own.path, os.getpid(),
            )  # fmt: skip

    def _put_back(self, own: OwnFile) -> None:
        path, name = own.path, self.folder.path / (self.folder.new_name() + NEW)
        try:
            own.move_to(open_locked(name), name)
            name.rename(path)
        finally:
            own.path = path  # the name that its head tells, and the one to look for next time

    @staticmethod
    def _is_there(own: OwnFile) -> bool:
        try:
            return own.path.stat().st_ino == os.fstat(own.file).st_ino
        except OSError:
            return False
