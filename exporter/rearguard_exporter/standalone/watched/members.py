"""Which processes belong to what is watched: by number, number in a file, name, systemd unit or cgroup.

Here: looking into /proc and /sys/fs/cgroup. A unit is found by its cgroup, so that nothing asks systemd.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rearguard_exporter.standalone.config.files import UnreadableFileError, read_line

if TYPE_CHECKING:
    import psutil

CGROUPS = Path("/sys/fs/cgroup")
_HIERARCHIES = ("", "unified", "systemd", "memory")  # version 2; version 1 beside it, or alone
_CUT_OFF = 15  # characters of a name that Linux keeps; psutil finds the others where it can
_MOST_FOLDERS = 20_000  # of cgroups that are looked through for a unit


class Members:
    """Finds the processes. `way` is a key of the section `process`, and `value` what the user wrote there."""

    def __init__(self, way: str, value: str, cgroups: Path = CGROUPS) -> None:
        self._value = value
        self._cgroups = cgroups
        self._seen: dict[int, float] = {}  # `pid`: when the process began, at the first look
        finders: dict[str, Callable[[], list[int]]] = {
            "pid": self._of_pid,
            "pid_file": self._of_file,
            "name": self._of_name,
            "systemd_unit": self._of_cgroup,
            "cgroup": self._of_cgroup,
        }
        self._find = finders[way]
        self._is_unit = way == "systemd_unit"
        self._group: Path | None = None

    @property
    def group(self) -> Path | None:
        """The cgroup that was found, of a unit or a cgroup."""
        return self._group

    def find(self) -> list[psutil.Process]:
        """The processes that are there now, the oldest first; zombies are gone already."""
        import psutil  # noqa: PLC0415 - slow to import

        found = []
        for pid in self._find():
            try:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE and not self._is_another(pid, process.create_time()):
                    found.append(process)
            except psutil.Error:  # it ended meanwhile, or is hidden
                continue
        return sorted(found, key=lambda process: (process.create_time(), process.pid))

    def _is_another(self, pid: int, began: float) -> bool:
        """Whether the number given as `pid` was passed on to another process."""
        return self._find == self._of_pid and self._seen.setdefault(pid, began) != began

    def _of_pid(self) -> list[int]:
        return [int(self._value)]

    def _of_file(self) -> list[int]:
        try:
            text = read_line(Path(self._value))
        except UnreadableFileError:
            return []
        return [int(text)] if text.isascii() and text.isdigit() and len(text) < 10 else []  # noqa: PLR2004 - a pid

    def _of_name(self) -> list[int]:
        import psutil  # noqa: PLC0415 - slow to import

        own = os.getpid()
        return [
            process.info["pid"]
            for process in psutil.process_iter(["pid", "name"])
            if self._is_named(process.info["name"] or "") and process.info["pid"] != own
        ]

    def _is_named(self, name: str) -> bool:
        """Whether this is the name, which Linux cuts off."""
        return name == self._value or (len(self._value) == _CUT_OFF and name.startswith(self._value))

    def _of_cgroup(self) -> list[int]:
        if self._group is None or not self._group.is_dir():
            self._group = next(self._candidates(), None)
        if self._group is None:
            return []
        return [pid for folder in _below(self._group) for pid in _pids(folder / "cgroup.procs")]

    def _candidates(self) -> Iterator[Path]:
        for hierarchy in _HIERARCHIES:
            base = self._cgroups / hierarchy
            if self._is_unit:
                usual = base / "system.slice" / self._value
                if usual.is_dir():
                    yield usual
                yield from (folder for folder in _below(base) if folder.name == self._value)
            else:
                folder = base / self._value.removeprefix(str(self._cgroups)).lstrip("/")
                if (folder / "cgroup.procs").exists() and ".." not in folder.parts:
                    yield folder


def _below(folder: Path) -> Iterator[Path]:
    """A folder and all below it, up to a bound."""
    for count, (path, _, _) in enumerate(os.walk(folder)):
        if count >= _MOST_FOLDERS:
            return
        yield Path(path)


def _pids(file: Path) -> Iterator[int]:
    try:
        lines = file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return
    yield from (int(line) for line in lines if line.isdigit() and line != "0")
