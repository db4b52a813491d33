"""Contexts: the controllers that somebody has logged in to, each with its address and token, kept in one file.

Here: reading and writing that file. It belongs to its owner alone; one that others may read is refused, and so is a
folder that others may write to.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rearguard_controller.errors import RearguardError

USUAL = "default"
MOST = 1 << 20  # bytes of the file
OTHERS = stat.S_IRWXG | stat.S_IRWXO
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Context:
    """One controller: its address, the token for it, and the names of PEM files for HTTPS."""

    url: str
    token: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Contexts:
    """All contexts by name; `current` is the name of the one that is asked."""

    current: str | None = None
    known: Mapping[str, Context] = field(default_factory=dict)


def place(environment: Mapping[str, str] = os.environ) -> Path:
    """The file: below XDG_CONFIG_HOME, else below ~/.config.

    Raises:
        RearguardError: there is no home folder.
    """
    base = environment.get("XDG_CONFIG_HOME", "")
    if Path(base).is_absolute():  # as the XDG specification demands; others are not used
        return Path(base) / "rearguard" / "contexts.json"
    try:
        home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    except RuntimeError:
        raise RearguardError(
            "There is no home folder to keep contexts in.", hint="Set HOME or XDG_CONFIG_HOME."
        ) from None
    return home / ".config" / "rearguard" / "contexts.json"


def read(file: Path) -> Contexts:
    """The contexts that are kept; none if there is no such file.

    Raises:
        RearguardError: others may read the file or write to its folder, or it is not what it must be.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except OSError as error:
        raise RearguardError(f"The file {file} cannot be read: {error.strerror}.", hint=_ANEW) from None
    with os.fdopen(descriptor, "rb") as stream:
        _refuse_open(file, os.fstat(descriptor))
        content = stream.read(MOST + 1)
    try:
        return _understood(content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RearguardError(f"The file {file} holds no contexts.", hint=_ANEW) from None


def _understood(content: bytes) -> Contexts:
    if len(content) > MOST:
        raise ValueError
    given = json.loads(content)
    known = {str(name): Context(**entry) for name, entry in given["contexts"].items()}
    texts = [given["current"], *(text for entry in known.values() for text in asdict(entry).values())]
    if not all(isinstance(text, str | None) for text in texts):
        raise TypeError
    return Contexts(given["current"], known)


_ANEW = "Remove it, and log in again: rearguard login URL"


def change(file: Path, make: Callable[[Contexts], Contexts]) -> None:
    """Replace what is kept by what `make` makes of it; all of it, or nothing.

    Raises:
        RearguardError: as `read`, or the file cannot be written.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(file, error) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two logins at once: the second one sees what the first has kept
        _write(file, make(read(file)))
    except OSError as error:
        raise _unwritable(file, error) from None
    finally:
        os.close(folder)


def _write(file: Path, contexts: Contexts) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".contexts")  # for its owner alone
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            known = {name: asdict(context) for name, context in contexts.known.items()}
            json.dump({"current": contexts.current, "contexts": known}, stream, indent=2)
            stream.flush()
            os.fsync(descriptor)
        _refuse_open(file, Path(name).stat())  # the folder
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refuse_open(file: Path, found: os.stat_result) -> None:
    folder = file.parent.stat()
    if folder.st_mode & OTHERS_WRITE and not folder.st_mode & stat.S_ISVTX:
        raise RearguardError(
            f"Others may write to the folder {file.parent}, which holds tokens.", hint=f"Run: chmod 700 {file.parent}"
        )
    if not stat.S_ISREG(found.st_mode):
        raise RearguardError(f"{file} is no regular file.", hint=_ANEW)
    if found.st_uid != os.geteuid() or found.st_mode & OTHERS:
        raise RearguardError(
            f"Others may use the file {file}, which holds tokens.",
            hint=f"Run: chmod 600 {file}. If somebody may have read it, give out new tokens.",
        )


def _unwritable(file: Path, error: OSError) -> RearguardError:
    return RearguardError(
        f"{file} cannot be written: {error.strerror}.", hint="XDG_CONFIG_HOME names another folder."
    )
