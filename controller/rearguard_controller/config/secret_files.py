"""Files that hold secrets: an address, headers, tokens.

Here: reading them, and noticing that one has changed. Errors name the file and never show what it contains.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller.errors import ConfigError, RearguardError

CAP = 64 * 1024  # bytes that are read of such a file
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def host_of(url: str) -> str | None:
    """The host of an http or https address; None if the address cannot be used."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        usable = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return None
    if not usable or host is None or not _HOST.fullmatch(host) or any(not " " < char < "\x7f" for char in url):
        return None
    return host


def read_address(file: Path) -> str:
    """The one http or https address that a file holds.

    Raises:
        ConfigError: it cannot be read, or contains something else.
    """
    url = _text(file, "address").strip()
    if host_of(url) is None:
        raise ConfigError(
            f"the address file {file} holds no http or https address",
            hint="It must hold one line that looks like https://host/path.",
        )
    return url


FileMark = tuple[int, int, int]


def file_mark(path: Path) -> FileMark | None:
    """Time, size and inode, of which one changes when a file is written or replaced; None if it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, slots=True)
class TokenLine:
    """An entry of a token file, not checked; `name` is None where the token stands alone."""

    number: int
    name: str | None
    token: str


def read_token_lines(file: Path, *, hint: str) -> list[TokenLine]:
    """The entries of a file of `name:token` lines or tokens alone; empty lines and `#` comments are left out.

    Raises:
        RearguardError: it cannot be read, or is not UTF-8.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RearguardError(f"The token file {file} cannot be read: {type(error).__name__}.", hint=hint) from error
    entries = []
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            name, colon, token = entry.partition(":")
            entries.append(
                TokenLine(number, name.strip(), token.strip()) if colon else TokenLine(number, None, entry)
            )
    return entries


def read_headers(file: Path) -> dict[str, str]:
    """Headers of a file's lines `Name: value`; empty lines and those that begin with # are left out.

    Raises:
        ConfigError: it cannot be read, or a line is something else.
    """
    headers: dict[str, str] = {}
    for number, line in enumerate(_text(file, "headers").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, value = line.partition(":")
        if not separator or not HEADER_NAME.fullmatch(name.strip()) or not value.strip().isprintable():
            raise ConfigError(
                f"line {number} of the headers file {file} is not `Name: value`", hint="Write one header on a line."
            )
        headers[name.strip()] = value.strip()
    return headers


def _text(file: Path, what: str) -> str:
    try:
        return _start_of(file).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the {what} file {file} cannot be read ({type(error).__name__})",
            hint="Make it a file that the controller may read.",
        ) from (error if isinstance(error, OSError) else None)


def _start_of(file: Path) -> bytes:
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for its other end
        raise OSError
    with file.open("rb") as stream:
        return stream.read(CAP)
